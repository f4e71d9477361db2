//! The replicated part of a consumer: what it was given, and what is settled.

use std::collections::{BTreeMap, VecDeque};

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::Consumer;
use crate::command::{Delivered, Settled, Settlement};
use crate::index::Index;
use crate::{AckPolicy, ConsumerSeq, StreamSeq};

/// A place in the stream and in the consumer's deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) stream_seq: StreamSeq,
    pub(super) consumer_seq: ConsumerSeq,
}

/// A delivery that awaits its acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Of the first delivery.
    pub(super) consumer_seq: ConsumerSeq,
    /// How often, at least 1.
    pub(super) deliveries: u64,
}

/// What a consumer was given, and what is settled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The newest first delivery, and the newest delivery of all. Consumer sequences have no gaps.
    pub(super) delivered: Place,
    /// Everything up to here is settled. Never moves back.
    pub(super) ack_floor: Place,
    /// Deliveries not settled, by stream sequence. Every key is above the ack floor.
    pub(super) pending: BTreeMap<StreamSeq, Pending>,
    /// With deliver policy `last_per_subject`: what is still to deliver of the messages that were the
    /// newest of their subjects when the consumer was created.
    pub(super) initial: VecDeque<StreamSeq>,
    /// Messages from here on are delivered as they stand in the stream.
    pub(super) live_from: StreamSeq,
    /// The newest first delivery whose record came out of the log. Without acknowledgements it is
    /// what retention goes by: the owner delivers ahead of its records.
    #[serde(default)]
    pub(super) recorded: StreamSeq,
    /// Messages that match and have not been delivered (`num_pending`).
    pub(super) undelivered: u64,
    pub(super) last_delivered_at: Option<Timestamp>,
    pub(super) last_acked_at: Option<Timestamp>,
}

impl Progress {
    pub(super) fn redelivered(&self) -> u64 {
        let again = |pending: &&Pending| pending.deliveries > 1;
        self.pending.values().filter(again).count() as u64
    }

    /// The first sequence that has not been looked at for a first delivery.
    pub(super) fn next_from(&self) -> StreamSeq {
        self.delivered.stream_seq.next().max(self.live_from)
    }

    /// Counts a removed message out if it was still to be delivered. Returns whether it was.
    pub(super) fn forget_undelivered(
        &mut self,
        seq: StreamSeq,
        matches: impl FnOnce() -> bool,
    ) -> bool {
        let waiting = match self.initial.binary_search(&seq) {
            Ok(place) => self.initial.remove(place).is_some(),
            Err(_) => seq >= self.next_from() && matches(),
        };
        if waiting {
            self.undelivered = self.undelivered.saturating_sub(1);
        }
        waiting
    }

    /// Records a first delivery.
    ///
    /// `counted` is false when the message was removed, and thereby counted out, before the record
    /// came out of the log.
    pub(super) fn deliver_first(&mut self, delivered: &Delivered, needs_ack: bool, counted: bool) {
        if self
            .initial
            .front()
            .is_some_and(|seq| *seq <= delivered.stream_seq)
        {
            self.initial.pop_front();
        }
        if counted {
            self.undelivered = self.undelivered.saturating_sub(1);
        }
        self.delivered.stream_seq = delivered.stream_seq;
        self.deliver_any(delivered);
        if needs_ack {
            let pending = Pending {
                consumer_seq: delivered.consumer_seq,
                deliveries: 1,
            };
            self.pending.insert(delivered.stream_seq, pending);
        } else {
            self.ack_floor = self.delivered;
        }
    }

    /// Records a further delivery of a message that is still pending.
    pub(super) fn deliver_again(&mut self, delivered: &Delivered) {
        self.deliver_any(delivered);
        if let Some(pending) = self.pending.get_mut(&delivered.stream_seq) {
            pending.deliveries = pending.deliveries.max(delivered.deliveries);
        }
    }

    fn deliver_any(&mut self, delivered: &Delivered) {
        self.delivered.consumer_seq = self.delivered.consumer_seq.max(delivered.consumer_seq);
        self.last_delivered_at = self.last_delivered_at.max(Some(delivered.at));
    }

    /// Settles one message, or all up to it. Returns which.
    pub(super) fn settle(&mut self, seq: StreamSeq, all_before: bool) -> Vec<StreamSeq> {
        let settled: Vec<_> = if all_before {
            self.pending.range(..=seq).map(|(seq, _)| *seq).collect()
        } else {
            self.pending.get(&seq).map(|_| seq).into_iter().collect()
        };
        for seq in &settled {
            self.pending.remove(seq);
        }
        if !settled.is_empty() {
            self.raise_floor();
        }
        settled
    }

    /// Moves the floor to just below the first pending message, as nats-server does
    /// (`server/consumer.go` 2.15, `processAckMsgLocked`).
    fn raise_floor(&mut self) {
        let floor = match self.pending.first_key_value() {
            None => self.delivered,
            Some((seq, pending)) => Place {
                stream_seq: seq.previous(),
                consumer_seq: pending.consumer_seq.previous(),
            },
        };
        self.ack_floor.stream_seq = self.ack_floor.stream_seq.max(floor.stream_seq);
        self.ack_floor.consumer_seq = self.ack_floor.consumer_seq.max(floor.consumer_seq);
    }
}

impl Consumer {
    /// Replays a delivery. On the owner that made it nothing changes.
    ///
    /// Where a record is missing before this one, since the disk was full when it was its turn, this
    /// one is passed over: both messages are delivered again then. Taken, it would carry the place in
    /// the stream past the first message, which nobody would get again.
    ///
    /// Returns the message if the consumer is done with it by the delivery alone.
    pub(crate) fn apply_delivered(
        &mut self,
        delivered: &Delivered,
        index: &Index,
    ) -> Option<StreamSeq> {
        let expected = self.progress.delivered.consumer_seq.next();
        if delivered.incarnation != self.incarnation || delivered.consumer_seq > expected {
            return None;
        }
        if delivered.deliveries > 1 {
            self.progress.deliver_again(delivered);
        } else if delivered.consumer_seq == expected {
            let needs_ack = self.needs_acks();
            let counted = index.contains(delivered.stream_seq);
            self.progress.deliver_first(delivered, needs_ack, counted);
        }
        self.progress.recorded = self.progress.recorded.max(delivered.stream_seq);
        (!self.needs_acks()).then_some(delivered.stream_seq)
    }

    /// Settles messages for good. Returns those the consumer has dealt with, for the retention of
    /// the stream.
    pub(crate) fn apply_settled(&mut self, settled: &Settled) -> Vec<StreamSeq> {
        if settled.incarnation != self.incarnation {
            return Vec::new();
        }
        let all_before =
            settled.how == Settlement::Acked && self.config.ack_policy == AckPolicy::All;
        let gone = self.progress.settle(settled.stream_seq, all_before);
        if !gone.is_empty() {
            self.progress.last_acked_at = self.progress.last_acked_at.max(Some(settled.at));
            self.ready = true;
        }
        for seq in &gone {
            self.deadlines.clear(*seq);
        }
        match settled.how {
            Settlement::Acked | Settlement::Dropped => gone,
            Settlement::Exhausted => Vec::new(),
        }
    }

    /// Tells whether a message that matches the filters is still to be delivered or answered for, by
    /// the replicated state alone. Cheap: asked of every consumer for every acknowledgement in a
    /// stream with retention `interest`.
    pub(crate) fn needs(&self, seq: StreamSeq) -> bool {
        let progress = &self.progress;
        let wanted = seq >= progress.live_from || progress.initial.binary_search(&seq).is_ok();
        if self.needs_acks() {
            progress.pending.contains_key(&seq) || (wanted && seq > progress.delivered.stream_seq)
        } else {
            wanted && seq > progress.recorded
        }
    }
}
