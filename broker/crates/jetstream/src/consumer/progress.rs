//! What a consumer was given, and what is settled.
//!
//! A consumer has this twice. `recorded` is what its records say that have come out of the log, and is
//! changed by nothing else: what depends on it is the same on every replica. `progress` is the owner's
//! own, ahead of it by the deliveries whose records are under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::Consumer;
use super::lease::Lease;
use crate::command::{Delivered, Run, Settled, Settlement};
use crate::index::{Index, Selection};
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

    /// Counts what is still to be delivered; the filters may be others than before.
    pub(super) fn count_undelivered(&mut self, selection: &Selection, index: &Index) {
        let waiting = (self.initial.len() + self.held.len()) as u64;
        self.undelivered = index.count(self.next_from(), selection) + waiting;
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

    /// Passes a message over for good; it must not have been looked at before.
    pub(super) fn pass_over(&mut self, seq: StreamSeq, counted: bool) {
        if self.initial.front().is_some_and(|first| *first <= seq) {
            self.initial.pop_front();
        }
        if counted {
            self.undelivered = self.undelivered.saturating_sub(1);
        }
        self.delivered.stream_seq = seq;
    }

    /// A message that matches was removed from the stream: it is neither delivered nor answered for any
    /// more. Returns what was pending of it.
    pub(super) fn message_removed(&mut self, seq: StreamSeq, is_ordered: bool) -> Option<Pending> {
        if self.forget_undelivered(seq) {
            return None;
        }
        let pending = self.pending.remove(&seq)?;
        self.raise_floor(is_ordered);
        Some(pending)
    }

    /// Takes in a delivery from a record, unless it is known. Returns whether it is over already, since
    /// the message was removed before the record came out of the log.
    fn replay(&mut self, delivery: Delivery, needs_ack: bool, exists: bool) -> bool {
        if delivery.consumer_seq <= self.delivered.consumer_seq {
            return false;
        }
        self.deliver(delivery, needs_ack, exists);
        !exists && self.pending.remove(&delivery.stream_seq).is_some()
    }

    /// Takes in from a record that a message was passed over, unless it is known: by an ordered consumer
    /// for now, by others for good. One that was removed since is not held any more.
    fn replay_passed_over(&mut self, seq: StreamSeq, exists: bool, is_ordered: bool) {
        if seq <= self.delivered.stream_seq {
            return;
        }
        if exists && is_ordered {
            self.hold(seq);
        } else {
            self.pass_over(seq, exists);
        }
    }

    /// Tells whether a message that matches the filters has not been delivered for the first time.
    pub(super) fn is_undelivered(&self, seq: StreamSeq) -> bool {
        seq >= self.next_from()
            || self.held.contains(&seq)
            || self.initial.binary_search(&seq).is_ok()
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
    pub(super) fn raise_floor(&mut self, is_ordered: bool) {
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

/// What a record of settlements has led to.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// The messages the consumer has dealt with, for the retention of the stream.
    pub(crate) done: Vec<StreamSeq>,
    /// It names messages that no record before it tells the delivery of, or it is of a past incarnation.
    /// They are not settled.
    pub(crate) is_premature: bool,
}

impl Consumer {
    /// Takes in deliveries from the log. The owner that made them knows them, but not that they are
    /// recorded.
    ///
    /// Where a record is missing before this one, since the disk was full when it was its turn, this
    /// one is passed over. Taken, it would carry the place in the stream past the first messages, which
    /// nobody would get again. The owner closes the gap, see `unrecorded`.
    ///
    /// Returns the messages the consumer is done with by the delivery alone.
    pub(crate) fn apply_delivered(
        &mut self,
        delivered: &Delivered,
        index: &Index,
    ) -> Vec<StreamSeq> {
        let known = self.recorded.delivered.consumer_seq;
        if delivered.incarnation != self.incarnation || delivered.first > known.next() {
            return Vec::new();
        }
        let (needs_ack, is_ordered) = (self.needs_acks(), self.keys.is_some());
        let mut consumer_seq = delivered.first;
        let mut gone = false;
        for run in delivered.messages.iter() {
            for stream_seq in run.seqs() {
                let exists = index.contains(stream_seq);
                if run.deliveries == 0 {
                    for progress in [&mut self.recorded, &mut self.progress] {
                        progress.replay_passed_over(stream_seq, exists, is_ordered);
                    }
                    continue;
                }
                let delivery = Delivery {
                    stream_seq,
                    consumer_seq,
                    deliveries: run.deliveries,
                    at: delivered.at,
                };
                gone |= self.recorded.replay(delivery, needs_ack, exists);
                gone |= self.progress.replay(delivery, needs_ack, exists);
                consumer_seq = consumer_seq.next();
            }
        }
        self.unrecorded
            .forget_through(self.recorded.delivered.consumer_seq);
        if gone {
            self.recorded.raise_floor(self.keys.is_some());
            self.progress.raise_floor(self.keys.is_some());
        }
        if needs_ack {
            return Vec::new();
        }
        let given = delivered.messages.iter().filter(|run| run.deliveries > 0);
        given.flat_map(Run::seqs).collect()
    }

    /// Settles messages for good, of those whose delivery is recorded.
    pub(crate) fn apply_settled(&mut self, settled: &Settled) -> Applied {
        let mut applied = Applied::default();
        if settled.incarnation != self.incarnation {
            // Of its past before a reset: what it names may be delivered again.
            applied.is_premature = true;
            return applied;
        }
        let all_before =
            settled.how == Settlement::Acked && self.config.ack_policy == AckPolicy::All;
        let mut gone = Vec::new();
        for seq in settled.messages.seqs() {
            applied.is_premature |= self.recorded.is_undelivered(seq);
            self.recorded.settle(seq, all_before, &mut gone);
        }
        if gone.is_empty() {
            return applied;
        }
        for (seq, _) in &gone {
            if let Some(pending) = self.progress.pending.remove(seq) {
                self.forget_pending(*seq, pending);
            }
        }
        for progress in [&mut self.recorded, &mut self.progress] {
            progress.raise_floor(self.keys.is_some());
            progress.last_acked_at = progress.last_acked_at.max(Some(settled.at));
        }
        applied.done = match settled.how {
            Settlement::Acked | Settlement::Dropped => gone.iter().map(|(seq, _)| *seq).collect(),
            Settlement::Exhausted => Vec::new(),
        };
        applied
    }

    /// What the owner knew of a delivery that is not pending any more is forgotten.
    pub(super) fn forget_pending(&mut self, seq: StreamSeq, pending: Pending) {
        self.deadlines.forget(seq);
        self.settling.forget(pending.lease);
        if let Some(keys) = &mut self.keys {
            keys.settled(seq);
        }
    }

    /// Tells whether a message that matches the filters is still to be delivered or answered for, by
    /// the records alone. Cheap: asked of every consumer for every acknowledgement in a stream with
    /// retention `interest`.
    pub(crate) fn needs(&self, seq: StreamSeq) -> bool {
        let recorded = &self.recorded;
        let wanted = seq >= recorded.live_from || recorded.initial.binary_search(&seq).is_ok();
        recorded.pending.contains_key(&seq)
            || recorded.held.contains(&seq)
            || (wanted && seq > recorded.delivered.stream_seq)
    }
}
