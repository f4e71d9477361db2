//! When an unanswered delivery is given again.

use std::collections::{BTreeMap, BTreeSet};

use hitherto_protocol::Timestamp;

use crate::StreamSeq;

/// Deadlines of pending deliveries, and the deliveries that are past theirs.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    by_time: BTreeSet<(Timestamp, StreamSeq)>,
    by_seq: BTreeMap<StreamSeq, Timestamp>,
    /// To be delivered again, before anything new.
    overdue: BTreeSet<StreamSeq>,
}

impl Deadlines {
    /// Sets or moves the deadline of a delivery; it is not overdue any more.
    pub(super) fn set(&mut self, seq: StreamSeq, at: Timestamp) {
        self.clear(seq);
        self.by_seq.insert(seq, at);
        self.by_time.insert((at, seq));
    }

    /// Forgets a delivery.
    pub(super) fn clear(&mut self, seq: StreamSeq) {
        self.overdue.remove(&seq);
        if let Some(at) = self.by_seq.remove(&seq) {
            self.by_time.remove(&(at, seq));
        }
    }

    /// Moves what is due by `now` to the overdue. Returns it.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<StreamSeq> {
        let mut due = Vec::new();
        while let Some(&(at, seq)) = self.by_time.first() {
            if at > now {
                break;
            }
            self.by_time.pop_first();
            self.by_seq.remove(&seq);
            due.push(seq);
        }
        due
    }

    pub(super) fn deliver_again(&mut self, seq: StreamSeq) {
        self.clear(seq);
        self.overdue.insert(seq);
    }

    /// The first overdue delivery; it stays overdue until it is set or cleared.
    pub(super) fn first_overdue(&self) -> Option<StreamSeq> {
        self.overdue.first().copied()
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }
}
