//! Messages that cannot be read when it is their turn.
//!
//! An error that may pass settles nothing and counts as no delivery: the consumer waits, longer each time.
//! A damaged message is given up by the consumer and kept by the stream, as one that was delivered too
//! often.

use std::collections::VecDeque;
use std::time::Duration;

use hitherto_protocol::Timestamp;

use super::Consumer;
use super::advisory::{About, TERMINATED};
use super::deliver::Candidate;
use crate::command::Settlement;
use crate::index::Index;
use crate::output::Output;

/// The first pause after a read that failed: 100 ms. Each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: 5 s.
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Consumer {
    /// Delivers nothing for a while, since the next message cannot be read.
    pub(super) fn wait_for_disk(&mut self, now: Timestamp) {
        let longer = |pause: Duration| (pause * 2).min(PAUSE_MAX);
        let pause = self.read_pause.map_or(PAUSE, longer);
        self.read_pause = Some(pause);
        self.hold_back(now.saturating_add(pause));
    }

    /// Goes on without a damaged message.
    pub(super) fn give_up(
        &mut self,
        now: Timestamp,
        (candidate, index): (Candidate, &Index),
        problem: &str,
        out: &mut VecDeque<Output>,
    ) {
        let Candidate {
            seq, deliveries, ..
        } = candidate;
        // The attempt counts, with the number that the delivery would have had.
        let about = About {
            consumer_seq: Some(self.progress.delivered.consumer_seq.next()),
            stream_seq: seq,
            deliveries,
            reason: Some(format!("the message cannot be read: {problem}")),
        };
        out.push_back(self.advise(now, TERMINATED, about));
        if deliveries == 1 && self.keys.is_none() {
            self.progress.pass_over(seq, true);
            self.round.pass_over(seq, candidate.bytes);
            return;
        }
        if deliveries == 1 {
            // In a record of an ordered consumer, passed over would mean held.
            self.count_delivery(now, (candidate, index));
        }
        if let Some(pending) = self.progress.pending.get_mut(&seq) {
            pending.lease.due = None;
        }
        self.deadlines.forget(seq);
        self.settle(seq, Settlement::Exhausted, None, out);
    }
}
