//! The replicated part of a consumer: what it was given, and what is settled.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::Consumer;
use super::lease::Lease;
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
    /// The owner's alone, and not stored: it stands here so that each delivery is looked up once.
    #[serde(skip)]
    pub(super) lease: Lease,
}

/// What a consumer was given, and what is settled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The newest first delivery, and the newest delivery of all. Consumer sequences have no gaps.
    pub(super) delivered: Place,
    /// Everything up to here is settled. Never moves back, but by a reset.
    pub(super) ack_floor: Place,
    /// Deliveries not settled, by stream sequence. Every key is above the ack floor.
    pub(super) pending: BTreeMap<StreamSeq, Pending>,
    /// With deliver policy `last_per_subject`: what is still to deliver of the messages that were the
    /// newest of their subjects when the consumer was created.
    pub(super) initial: VecDeque<StreamSeq>,
    /// Passed over by later first deliveries, since their key was busy; see `keys`. Still undelivered.
    #[serde(default)]
    pub(super) held: BTreeSet<StreamSeq>,
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

/// One delivery.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery {
    pub(super) stream_seq: StreamSeq,
    pub(super) consumer_seq: ConsumerSeq,
    /// How often the message has been delivered, this time included.
    pub(super) deliveries: u64,
    pub(super) at: Timestamp,
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

    /// Counts a removed message, which matches, out if it was still to be delivered. Returns whether it
    /// was.
    pub(super) fn forget_undelivered(&mut self, seq: StreamSeq) -> bool {
        let waiting = match self.initial.binary_search(&seq) {
            Ok(place) => self.initial.remove(place).is_some(),
            Err(_) => self.held.remove(&seq) || seq >= self.next_from(),
        };
        if waiting {
            self.undelivered = self.undelivered.saturating_sub(1);
        }
        waiting
    }

    /// Takes in a delivery, the next of the consumer. Returns what is pending of it, if its
    /// acknowledgement is waited for.
    ///
    /// `counted` is false when the message was removed, and thereby counted out, before the record
    /// of its first delivery came out of the log.
    pub(super) fn deliver(
        &mut self,
        delivery: Delivery,
        needs_ack: bool,
        counted: bool,
    ) -> Option<&mut Pending> {
        let seq = delivery.stream_seq;
        self.delivered.consumer_seq = delivery.consumer_seq;
        self.last_delivered_at = Some(delivery.at);
        if delivery.deliveries > 1 {
            let pending = self.pending.get_mut(&seq)?;
            pending.deliveries = delivery.deliveries;
            return Some(pending);
        }
        if self.initial.front().is_some_and(|first| *first <= seq) {
            self.initial.pop_front();
        }
        if counted {
            self.undelivered = self.undelivered.saturating_sub(1);
        }
        if !self.held.remove(&seq) {
            self.delivered.stream_seq = seq;
        }
        if !needs_ack {
            self.ack_floor = self.delivered;
            return None;
        }
        let pending = Pending {
            consumer_seq: delivery.consumer_seq,
            deliveries: 1,
            lease: Lease::default(),
        };
        Some(self.pending.entry(seq).insert_entry(pending).into_mut())
    }

    /// Passes a message over that stays undelivered; it must not have been looked at before.
    pub(super) fn hold(&mut self, seq: StreamSeq) {
        self.held.insert(seq);
        self.delivered.stream_seq = seq;
    }

    /// Looks again from the first of these messages on, which were passed over and are in no record yet:
    /// a replica that has the log alone knows nothing of them.
    pub(super) fn take_back_holds(&mut self, seqs: impl Iterator<Item = StreamSeq>) {
        let mut first = None;
        for seq in seqs {
            self.held.remove(&seq);
            first.get_or_insert(seq);
        }
        if let Some(first) = first {
            self.delivered.stream_seq = first.previous();
        }
    }

    /// Settles one message, or all up to it; adds them to `gone`.
    fn settle(&mut self, seq: StreamSeq, all_before: bool, gone: &mut Vec<(StreamSeq, Pending)>) {
        if !all_before {
            gone.extend(self.pending.remove(&seq).map(|pending| (seq, pending)));
            return;
        }
        while let Some(first) = self.pending.first_entry()
            && *first.key() <= seq
        {
            gone.push(first.remove_entry());
        }
    }

    /// Moves the floor to just below the first pending message, as nats-server does
    /// (`server/consumer.go` 2.15, `processAckMsgLocked`).
    fn raise_floor(&mut self, is_ordered: bool) {
        let mut floor = match self.pending.first_key_value() {
            None => self.delivered,
            Some((seq, pending)) => Place {
                stream_seq: seq.previous(),
                consumer_seq: pending.consumer_seq.previous(),
            },
        };
        if is_ordered {
            // Deliveries do not follow the stream.
            let deliveries = self.pending.values().map(|pending| pending.consumer_seq);
            let first = deliveries.min().map(ConsumerSeq::previous);
            floor.consumer_seq = first.unwrap_or(floor.consumer_seq);
            let held = self.held.first().map(|seq| seq.previous());
            floor.stream_seq = held.unwrap_or(floor.stream_seq).min(floor.stream_seq);
        }
        self.ack_floor.stream_seq = self.ack_floor.stream_seq.max(floor.stream_seq);
        self.ack_floor.consumer_seq = self.ack_floor.consumer_seq.max(floor.consumer_seq);
    }
}

impl Consumer {
    /// Replays deliveries. On the owner that made them nothing changes.
    ///
    /// Where a record is missing before this one, since the disk was full when it was its turn, this
    /// one is passed over: the messages of both are delivered again then. Taken, it would carry the
    /// place in the stream past the first messages, which nobody would get again.
    ///
    /// Returns the messages the consumer is done with by the delivery alone.
    pub(crate) fn apply_delivered(
        &mut self,
        delivered: &Delivered,
        index: &Index,
    ) -> Vec<StreamSeq> {
        let known = self.progress.delivered.consumer_seq;
        if delivered.incarnation != self.incarnation || delivered.first > known.next() {
            return Vec::new();
        }
        let needs_ack = self.needs_acks();
        let mut consumer_seq = delivered.first;
        for run in delivered.messages.iter() {
            for stream_seq in run.seqs() {
                if run.deliveries == 0 {
                    if stream_seq > self.progress.delivered.stream_seq {
                        self.replay_hold(stream_seq, index);
                    }
                    continue;
                }
                if consumer_seq > known {
                    let delivery = Delivery {
                        stream_seq,
                        consumer_seq,
                        deliveries: run.deliveries,
                        at: delivered.at,
                    };
                    let counted = index.contains(stream_seq);
                    self.progress.deliver(delivery, needs_ack, counted);
                }
                consumer_seq = consumer_seq.next();
            }
        }
        if needs_ack {
            return Vec::new();
        }
        let newest = delivered.messages.seqs().max();
        self.progress.recorded = self.progress.recorded.max(newest.unwrap_or_default());
        delivered.messages.seqs().collect()
    }

    /// Settles messages for good. Returns those the consumer has dealt with, for the retention of
    /// the stream.
    pub(crate) fn apply_settled(&mut self, settled: &Settled) -> Vec<StreamSeq> {
        if settled.incarnation != self.incarnation {
            return Vec::new();
        }
        let all_before =
            settled.how == Settlement::Acked && self.config.ack_policy == AckPolicy::All;
        let mut gone = Vec::new();
        for seq in settled.messages.seqs() {
            self.progress.settle(seq, all_before, &mut gone);
        }
        if gone.is_empty() {
            return Vec::new();
        }
        self.progress.raise_floor(self.keys.is_some());
        self.progress.last_acked_at = self.progress.last_acked_at.max(Some(settled.at));
        for (seq, pending) in &gone {
            self.deadlines.forget(*seq);
            self.settling.forget(pending.lease);
            if let Some(keys) = &mut self.keys {
                keys.settled(*seq);
            }
        }
        match settled.how {
            Settlement::Acked | Settlement::Dropped => gone.iter().map(|(seq, _)| *seq).collect(),
            Settlement::Exhausted => Vec::new(),
        }
    }

    /// A message that was removed since is not held any more.
    fn replay_hold(&mut self, seq: StreamSeq, index: &Index) {
        if index.contains(seq) {
            self.progress.hold(seq);
        } else {
            self.progress.delivered.stream_seq = seq;
        }
    }

    /// Tells whether a message that matches the filters is still to be delivered or answered for, by
    /// the replicated state alone. Cheap: asked of every consumer for every acknowledgement in a
    /// stream with retention `interest`.
    pub(crate) fn needs(&self, seq: StreamSeq) -> bool {
        let progress = &self.progress;
        let wanted = seq >= progress.live_from || progress.initial.binary_search(&seq).is_ok();
        if self.needs_acks() {
            progress.pending.contains_key(&seq)
                || progress.held.contains(&seq)
                || (wanted && seq > progress.delivered.stream_seq)
        } else {
            wanted && seq > progress.recorded
        }
    }
}
