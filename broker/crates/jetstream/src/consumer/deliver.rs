//! Giving messages to those who take them: redeliveries first, then what is new, in stream order.
//!
//! One call is one round. It delivers at most [`ROUND_MESSAGES_MAX`] messages or [`ROUND_BYTES_MAX`]
//! bytes, so that a stream with much to deliver does not keep the others of its shard waiting, and
//! records them together.

use std::collections::VecDeque;
use std::mem;

use bytes::{BufMut as _, BytesMut};
use hitherto_protocol::{Subject, Timestamp, encode};

use super::Consumer;
use super::keys::HELD_MAX;
use super::lease::Lease;
use super::progress;
use crate::command::{Command, Delivered, Runs, Settlement};
use crate::index::Index;
use crate::output::{Delivery, Output, Status};
use crate::surroundings::{Fetched, digits};
use crate::{ConsumerSeq, MESSAGE_RECORD_BYTES, StreamSeq, Surroundings};

/// Messages of one round.
const ROUND_MESSAGES_MAX: u64 = 1_000;

/// Bytes of one round: 1 MiB, and the message that passes it.
const ROUND_BYTES_MAX: u64 = 1024 * 1024;

/// A message that could be delivered now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) seq: StreamSeq,
    /// Which delivery of it this would be, from 1.
    pub(super) deliveries: u64,
    pub(super) stored_at: Timestamp,
    pub(super) bytes: u64,
}

/// What was delivered and is not recorded, and where texts of acknowledgement subjects are built.
#[derive(Debug, Default)]
pub(super) struct Round {
    messages: Runs,
    first: ConsumerSeq,
    count: u64,
    bytes: u64,
    text: BytesMut,
}

impl Round {
    /// Nothing more is delivered in this round.
    pub(super) fn is_spent(&self) -> bool {
        self.count >= ROUND_MESSAGES_MAX || self.bytes >= ROUND_BYTES_MAX
    }

    /// A message is passed over; looking at so many bytes was part of the round.
    pub(super) fn pass_over(&mut self, seq: StreamSeq, bytes: u64) {
        self.messages.push(seq, 0);
        self.bytes += bytes;
    }

    fn add(&mut self, delivery: progress::Delivery, bytes: u64) {
        if self.count == 0 {
            self.first = delivery.consumer_seq;
        }
        self.count += 1;
        self.bytes += bytes;
        self.messages.push(delivery.stream_seq, delivery.deliveries);
    }
}

impl Consumer {
    /// Settles what clients have said, and delivers as far as there is something to deliver and somebody
    /// to take it. Returns whether there is more for another round.
    pub(crate) fn deliver(
        &mut self,
        now: Timestamp,
        index: &Index,
        around: &mut dyn Surroundings,
        out: &mut VecDeque<Output>,
    ) -> bool {
        if !self.propose_again(now, out) {
            return false;
        }
        self.propose_settled(now, out);
        if self.push.is_some() {
            self.serve_push(now, index, around, out);
        } else {
            self.serve_pulls(now, index, around, out);
        }
        let has_more = self.record(now, out);
        // What the search has found to be damaged or gone from the stream. Behind the record of the
        // round: what it does not tell the delivery of is not settled.
        self.propose_settled(now, out);
        self.deadlines.tidy(&self.progress.pending);
        has_more
    }

    /// Ends the round; `true` when it was spent.
    fn record(&mut self, now: Timestamp, out: &mut VecDeque<Output>) -> bool {
        let spent = self.round.is_spent();
        let delivered = mem::take(&mut self.round.count);
        self.round.bytes = 0;
        if delivered == 0 {
            // What was only passed over is recorded with the next delivery: a record without deliveries
            // could be missed without leaving a gap.
            return spent;
        }
        let messages = mem::take(&mut self.round.messages);
        if !self.is_volatile() {
            let first = self.round.first;
            let last = self.progress.delivered.consumer_seq;
            self.unrecorded.push(first, last, messages.clone());
            out.push_back(self.record_of(first, messages, now));
        }
        spent
    }

    /// Has the log record deliveries, of which `first` is the first.
    pub(super) fn record_of(&self, first: ConsumerSeq, messages: Runs, at: Timestamp) -> Output {
        Output::Propose {
            command: Command::Delivered(Delivered {
                consumer: self.name.clone(),
                incarnation: self.incarnation,
                first,
                messages,
                at,
            }),
            replies: Vec::new(),
        }
    }

    /// Delivers one message; it must be the candidate just found.
    pub(super) fn deliver_one(
        &mut self,
        now: Timestamp,
        to: Subject,
        (candidate, index): (Candidate, &Index),
        out: &mut VecDeque<Output>,
    ) {
        let delivery = self.count_delivery(now, (candidate, index));
        let ack_subject = self.ack_subject(delivery, candidate.stored_at);
        out.push_back(Output::Deliver(Delivery {
            consumer: self.key,
            to,
            stream_seq: candidate.seq,
            ack_subject,
            headers_only: self.config.headers_only,
        }));
    }

    /// Takes a delivery in, and has the round record it.
    pub(super) fn count_delivery(
        &mut self,
        now: Timestamp,
        (candidate, index): (Candidate, &Index),
    ) -> progress::Delivery {
        let delivery = progress::Delivery {
            stream_seq: candidate.seq,
            consumer_seq: self.progress.delivered.consumer_seq.next(),
            deliveries: candidate.deliveries,
            at: now,
        };
        let wait = self.ack_wait(candidate.deliveries);
        let needs_ack = self.needs_acks();
        if let Some(pending) = self.progress.deliver(delivery, needs_ack, true) {
            self.settling.forget(pending.lease);
            pending.lease = Lease {
                sent_at: now,
                ..Lease::default()
            };
            let due = now.saturating_add(wait);
            self.deadlines.set(candidate.seq, &mut pending.lease, due);
        }
        if candidate.deliveries == 1
            && let Some(keys) = &mut self.keys
            && let Some(subject) = index.subject(candidate.seq)
        {
            keys.delivered(candidate.seq, &subject);
        }
        self.round.add(delivery, candidate.bytes);
        self.pace.count(now, &candidate, self.config.rate_limit_bps);
        delivery
    }

    /// The text of [`AckSubject`](crate::ack_subject::AckSubject), written without a string of its own and
    /// without the machinery of formatting: there is one per delivery.
    fn ack_subject(&mut self, delivery: progress::Delivery, stored_at: Timestamp) -> Subject {
        /// Room for some hundred subjects.
        const TEXT_BYTES: usize = 8 * 1024;
        let text = &mut self.round.text;
        if text.capacity() < self.ack_prefix.len() + 5 * 21 {
            text.reserve(TEXT_BYTES);
        }
        text.put_slice(self.ack_prefix.as_bytes());
        encode::integer(text, delivery.deliveries);
        text.put_u8(b'.');
        encode::integer(text, delivery.stream_seq.0);
        text.put_u8(b'.');
        encode::integer(text, delivery.consumer_seq.0);
        text.put_slice(if stored_at.unix_nanos() < 0 {
            b".-"
        } else {
            b"."
        });
        encode::integer(text, stored_at.unix_nanos().unsigned_abs());
        text.put_u8(b'.');
        encode::integer(text, self.progress.undelivered);
        let text = text.split().freeze();
        Subject::from_bytes(text).expect("names of streams and consumers are tokens")
    }

    /// What `max_bytes` of a pull counts of a message: subject, ack subject, headers and payload, as
    /// clients count them (`server/consumer.go` of nats-server 2.15, `loopAndGatherMsgs`).
    pub(super) fn delivered_bytes(
        &self,
        candidate: &Candidate,
        index: &Index,
        around: &dyn Surroundings,
    ) -> u64 {
        let ack_subject = self.ack_subject_len(candidate) as u64;
        let lens = around.lens(candidate.seq);
        match (lens, index.subject(candidate.seq)) {
            (Some(lens), Some(subject)) => {
                let subject = subject.as_str().len() as u64;
                subject + ack_subject + lens.delivered(self.config.headers_only)
            }
            // What cannot be read is not delivered either.
            _ => candidate.bytes.saturating_sub(MESSAGE_RECORD_BYTES) + ack_subject,
        }
    }

    /// The length of the ack subject the candidate will have.
    fn ack_subject_len(&self, candidate: &Candidate) -> usize {
        let undelivered = self.progress.undelivered;
        let pending = undelivered.saturating_sub(u64::from(candidate.deliveries == 1));
        let nanos = candidate.stored_at.unix_nanos();
        let numbers = [
            candidate.deliveries,
            candidate.seq.0,
            self.progress.delivered.consumer_seq.next().0,
            nanos.unsigned_abs(),
            pending,
        ];
        let digits: usize = numbers.into_iter().map(digits).sum();
        self.ack_prefix.len() + digits + (numbers.len() - 1) + usize::from(nanos < 0)
    }

    /// The message to deliver next, if it may be now and can be read.
    pub(super) fn candidate(
        &mut self,
        now: Timestamp,
        index: &Index,
        around: &mut dyn Surroundings,
        out: &mut VecDeque<Output>,
    ) -> Option<Candidate> {
        loop {
            let found = self.next_candidate(now, index)?;
            match around.fetch(found.seq) {
                Fetched::Ready => {
                    self.read_pause = None;
                    return Some(found);
                }
                Fetched::Later => {
                    self.wait_for_disk(now);
                    return None;
                }
                Fetched::Damaged(problem) => self.give_up(now, (found, index), &problem, out),
            }
        }
    }

    fn next_candidate(&mut self, now: Timestamp, index: &Index) -> Option<Candidate> {
        if self.is_paused(now) || self.round.is_spent() || self.held_until > Some(now) {
            return None;
        }
        let found = match self.overdue_candidate(index) {
            Some(again) => Some(again),
            None if self.is_stalled() => None,
            None => self.next_new(index),
        }?;
        let config = &self.config;
        let replays = config.replays_original() && found.deliveries == 1;
        self.pace
            .allows(now, &found, replays.then_some(self.created))
            .then_some(found)
    }

    /// The next message for a first delivery.
    fn next_new(&mut self, index: &Index) -> Option<Candidate> {
        let seq = match self.progress.initial.front() {
            Some(seq) => *seq,
            None if self.keys.is_some() => self.next_free(index)?,
            None => self.search(index)?,
        };
        let entry = index.get(seq)?;
        Some(Candidate {
            seq,
            deliveries: 1,
            stored_at: entry.at,
            bytes: entry.bytes,
        })
    }

    /// The next message that has not been looked at.
    fn search(&mut self, index: &Index) -> Option<StreamSeq> {
        let from = self.progress.next_from().max(self.searched.next());
        let found = index.next(from, &self.selection);
        if found.is_none() {
            self.searched = index.last_seq();
        }
        found
    }

    /// The next message whose key is free; those before it whose key is busy are held.
    fn next_free(&mut self, index: &Index) -> Option<StreamSeq> {
        loop {
            if let Some(held) = self.keys.as_ref()?.first_free() {
                return Some(held);
            }
            if self.progress.held.len() >= HELD_MAX {
                return None;
            }
            let seq = self.search(index)?;
            let subject = index.subject(seq)?;
            let keys = self.keys.as_mut()?;
            if !keys.is_busy(&subject) {
                return Some(seq);
            }
            keys.hold(seq, &subject);
            self.progress.hold(seq);
            self.round.pass_over(seq, 0);
        }
    }

    fn overdue_candidate(&mut self, index: &Index) -> Option<Candidate> {
        while let Some(seq) = self.deadlines.first_overdue() {
            if let Some(pending) = self.progress.pending.get(&seq) {
                if let Some(entry) = index.get(seq) {
                    return Some(Candidate {
                        seq,
                        deliveries: pending.deliveries + 1,
                        stored_at: entry.at,
                        bytes: entry.bytes,
                    });
                }
                // The stream has removed the message: nobody can ever acknowledge it.
                self.settle(seq, Settlement::Dropped, None, &mut VecDeque::new());
            }
            self.deadlines.forget(seq);
        }
        None
    }

    /// Tells whether too much awaits acknowledgement for anything new. What is on its way to be settled
    /// does not count: it waits for the disk alone.
    fn is_stalled(&self) -> bool {
        let max = usize::try_from(self.config.max_ack_pending).unwrap_or(0);
        let waiting = self.progress.pending.len() - self.settling.marked();
        self.needs_acks() && max > 0 && waiting >= max
    }

    /// A sign of life, with the place of the last delivery, by which clients notice what they miss.
    pub(super) fn heartbeat(&self, to: Subject) -> Status {
        let delivered = self.progress.delivered;
        Status {
            code: 100,
            description: "Idle Heartbeat".into(),
            headers: vec![
                ("Nats-Last-Consumer", delivered.consumer_seq.to_string()),
                ("Nats-Last-Stream", delivered.stream_seq.to_string()),
            ],
            ..Status::to(to)
        }
    }
}
