//! What is due, and when the next thing is.

use std::collections::VecDeque;

use hitherto_protocol::Timestamp;

use super::Consumer;
use crate::command::{Command, Control};
use crate::output::Output;

impl Consumer {
    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp, out: &mut VecDeque<Output>) {
        self.expire_requests(now, out);
        self.beat(now, out);
        for seq in self.deadlines.take_due(now, &mut self.progress.pending) {
            self.give_again(now, seq, out);
        }
        if self.pace.waits_until().is_some_and(|at| at <= now) {
            self.pace.stop_waiting();
        }
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
        }
        if self.pause_ends_at.take_if(|at| *at <= now).is_some() {
            out.push_back(self.pause_advisory(now));
        }
        if self.inactive_at().is_some_and(|at| at <= now) {
            self.leaving = true;
            if self.is_volatile() {
                return;
            }
            out.push_back(Output::Propose {
                command: Command::Control(Control::DeleteConsumer {
                    name: self.name.clone(),
                    incarnation: Some(self.incarnation),
                    at: now,
                }),
                replies: Vec::new(),
            });
        }
    }

    /// When [`Consumer::handle_timeout`] has something to do next; `None` when nothing is due ever.
    pub(crate) fn next_timeout(&self) -> Option<Timestamp> {
        [
            self.waiting.next_timeout(),
            self.push.as_ref().and_then(|push| push.next_heartbeat),
            self.deadlines.next(),
            self.pace.waits_until(),
            self.held_until,
            self.pause_ends_at,
            self.inactive_at(),
            self.unrecorded.again_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Tells whether it has been unused for too long, and no log is asked to remove it.
    pub(crate) fn is_to_go(&self) -> bool {
        self.leaving && self.is_volatile()
    }

    /// Delivers nothing until then: a receiver has too much waiting, or the disk cannot be read.
    pub(crate) fn hold_back(&mut self, until: Timestamp) {
        self.held_until = self.held_until.max(Some(until));
    }

    /// When the consumer has been unused for too long; `None` while it is in use or may stay.
    fn inactive_at(&self) -> Option<Timestamp> {
        let threshold = self.config.inactive_threshold;
        let is_used = !self.waiting.is_empty() || self.is_bound();
        let may_go = !self.leaving && !threshold.is_zero() && !is_used;
        let at = self.active_at.saturating_add(threshold);
        may_go.then_some(at.max(self.unrecorded.again_at().unwrap_or(at)))
    }
}
