//! When an unanswered delivery is given again.
//!
//! The deadline of a delivery stands in its [`Lease`]; the heap only says where to look next. An entry
//! of the heap whose time is no longer that of the lease is stale and passed over, so that an
//! acknowledgement need not search the heap.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use hitherto_protocol::Timestamp;

use super::lease::Lease;
use super::progress::Pending;
use crate::StreamSeq;

/// Deliveries by deadline, and those past theirs.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Timestamp, StreamSeq)>>,
    /// To be delivered again, before anything new.
    overdue: BTreeSet<StreamSeq>,
}

impl Deadlines {
    /// Stale entries that may be in the heap beyond one for each pending delivery.
    const STALE_MAX: usize = 1024;

    /// Sets or moves the deadline of a delivery; it is not overdue any more.
    pub(super) fn set(&mut self, seq: StreamSeq, lease: &mut Lease, at: Timestamp) {
        lease.due = Some(at);
        self.heap.push(Reverse((at, seq)));
        self.forget(seq);
    }

    /// Marks a delivery to be given again now.
    pub(super) fn deliver_again(&mut self, seq: StreamSeq, lease: &mut Lease) {
        lease.due = None;
        self.overdue.insert(seq);
    }

    /// The delivery is settled, or not to be given again.
    pub(super) fn forget(&mut self, seq: StreamSeq) {
        if !self.overdue.is_empty() {
            self.overdue.remove(&seq);
        }
    }

    /// Takes what is due by `now`.
    pub(super) fn take_due(
        &mut self,
        now: Timestamp,
        pending: &mut BTreeMap<StreamSeq, Pending>,
    ) -> Vec<StreamSeq> {
        let mut due = Vec::new();
        while let Some(&Reverse((at, seq))) = self.heap.peek()
            && at <= now
        {
            self.heap.pop();
            if let Some(pending) = pending.get_mut(&seq)
                && pending.lease.due == Some(at)
            {
                pending.lease.due = None;
                due.push(seq);
            }
        }
        due
    }

    /// The first overdue delivery; it stays overdue until it is set or forgotten.
    pub(super) fn first_overdue(&self) -> Option<StreamSeq> {
        self.overdue.first().copied()
    }

    /// Drops stale entries, so that [`Deadlines::next`] is exact and memory follows what is pending.
    /// Constant time per delivery on average.
    pub(super) fn tidy(&mut self, pending: &BTreeMap<StreamSeq, Pending>) {
        let is_live = |at: Timestamp, seq: StreamSeq| {
            let pending = pending.get(&seq);
            pending.is_some_and(|pending| pending.lease.due == Some(at))
        };
        while let Some(&Reverse((at, seq))) = self.heap.peek()
            && !is_live(at, seq)
        {
            self.heap.pop();
        }
        if self.heap.len() > 2 * pending.len() + Self::STALE_MAX {
            self.heap.retain(|&Reverse((at, seq))| is_live(at, seq));
        }
    }

    /// The next deadline; a little early where an entry is stale.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
