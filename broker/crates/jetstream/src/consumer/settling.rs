//! Messages on their way to be settled: what clients said since the last record, in one record.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use hitherto_protocol::{Subject, Timestamp};

use super::Consumer;
use super::ack::reply_empty;
use super::lease::Lease;
use super::progress::Pending;
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
        self.marked -= usize::from(lease.settling.is_some());
    }

    /// Records of settlements may be lost: all deliveries on their way to be settled are to be proposed
    /// again. To settle one twice changes nothing. Who waited for a lost record is not answered.
    pub(super) fn add_again(&mut self, pending: &BTreeMap<StreamSeq, Pending>) {
        if self.marked == 0 {
            return;
        }
        for (seq, pending) in pending {
            if let Some(how) = pending.lease.settling {
                self.add(*seq, how, None);
            }
        }
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
    /// answered at once. What is still to be delivered cannot be settled and is not answered, as on
    /// nats-server 2.15 (`server/consumer.go`, `processAckMsg`): after a crash a client may speak of a
    /// delivery that is going to be made again.
    ///
    /// With ack policy `all` the last message that is pending by now is recorded: later deliveries are
    /// not meant.
    pub(super) fn settle(
        &mut self,
        seq: StreamSeq,
        how: Settlement,
        reply: Option<Subject>,
        out: &mut VecDeque<Output>,
    ) {
        if self.progress.is_undelivered(seq) {
            return;
        }
        let all_before = how == Settlement::Acked && self.config.ack_policy == AckPolicy::All;
        let from = if all_before { StreamSeq(0) } else { seq };
        let mut last_pending = None;
        let mut is_news = false;
        // Backwards: what an acknowledgement of all before has marked ends the walk.
        for (seq, pending) in self.progress.pending.range_mut(from..=seq).rev() {
            last_pending.get_or_insert(*seq);
            if pending.lease.settling.is_some() {
                break;
            }
            pending.lease.settling = Some(how);
            is_news = true;
            self.settling.marked += 1;
        }
        match last_pending {
            None => reply_empty(reply, out),
            Some(seq) if is_news || reply.is_some() => self.settling.add(seq, how, reply),
            Some(_) => {}
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
