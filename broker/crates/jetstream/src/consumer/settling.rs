//! Messages on their way to be settled: what clients said since the last record, in one record.

use std::collections::VecDeque;
use std::mem;

use hitherto_protocol::{Subject, Timestamp};

use super::Consumer;
use super::ack::reply_empty;
use super::lease::Lease;
use crate::command::{Command, Runs, Settled, Settlement};
use crate::output::Output;
use crate::{AckPolicy, StreamSeq};

/// What is to be settled.
#[derive(Debug, Default)]
pub(super) struct Settling {
    acked: Runs,
    dropped: Runs,
    exhausted: Runs,
    /// Who waits until the acknowledged ones are; the dropped ones.
    acked_replies: Vec<Subject>,
    dropped_replies: Vec<Subject>,
    /// Pending deliveries marked as settling, in a record or here.
    marked: usize,
}

impl Settling {
    pub(super) fn marked(&self) -> usize {
        self.marked
    }

    /// A delivery is no longer on its way to be settled: it is, or it is given again.
    pub(super) fn forget(&mut self, lease: Lease) {
        self.marked -= usize::from(lease.is_settling);
    }

    fn add(&mut self, seq: StreamSeq, how: Settlement, reply: Option<Subject>) {
        let (messages, replies) = match how {
            Settlement::Acked => (&mut self.acked, &mut self.acked_replies),
            Settlement::Dropped => (&mut self.dropped, &mut self.dropped_replies),
            Settlement::Exhausted => (&mut self.exhausted, &mut self.dropped_replies),
        };
        messages.push(seq, 0);
        replies.extend(reply);
    }
}

impl Consumer {
    /// Has the log settle a message; the client's answer waits for it. What is settled already is
    /// answered at once.
    pub(super) fn settle(
        &mut self,
        seq: StreamSeq,
        how: Settlement,
        reply: Option<Subject>,
        out: &mut VecDeque<Output>,
    ) {
        let all_before = how == Settlement::Acked && self.config.ack_policy == AckPolicy::All;
        let from = if all_before { StreamSeq(0) } else { seq };
        let mut is_pending = false;
        let mut is_news = false;
        // Backwards: what an acknowledgement of all before has marked ends the walk.
        for (_, pending) in self.progress.pending.range_mut(from..=seq).rev() {
            is_pending = true;
            if mem::replace(&mut pending.lease.is_settling, true) {
                break;
            }
            is_news = true;
            self.settling.marked += 1;
        }
        if !is_pending {
            reply_empty(reply, out);
        } else if is_news || reply.is_some() {
            self.settling.add(seq, how, reply);
        }
    }

    /// Proposes what was said since the last time.
    pub(super) fn propose_settled(&mut self, now: Timestamp, out: &mut VecDeque<Output>) {
        let settling = &mut self.settling;
        let parts = [
            (
                Settlement::Acked,
                mem::take(&mut settling.acked),
                mem::take(&mut settling.acked_replies),
            ),
            (
                Settlement::Dropped,
                mem::take(&mut settling.dropped),
                mem::take(&mut settling.dropped_replies),
            ),
            (
                Settlement::Exhausted,
                mem::take(&mut settling.exhausted),
                Vec::new(),
            ),
        ];
        for (how, messages, replies) in parts {
            if messages.is_empty() {
                continue;
            }
            let command = Command::Settled(Settled {
                consumer: self.name.clone(),
                incarnation: self.incarnation,
                messages,
                how,
                at: now,
            });
            out.push_back(Output::Propose { command, replies });
        }
    }
}
