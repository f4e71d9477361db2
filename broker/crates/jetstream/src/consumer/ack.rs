//! What clients say about deliveries, and what is due when they say nothing.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use hitherto_protocol::{Subject, Timestamp};

use super::Consumer;
use super::advisory::{About, MAX_DELIVERIES, NAKED, TERMINATED};
use crate::ack_subject::AckKind;
use crate::api;
use crate::command::Settlement;
use crate::output::{Output, Status};
use crate::{AckPolicy, ConsumerSeq, StreamSeq};

/// What a client says about a delivery.
///
/// The delivery count is compared with the current one for [`AckKind::Progress`] alone; any other late
/// answer to an earlier delivery of the same message counts, as on nats-server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The consumer's name.
    pub consumer: ByteString,
    /// The message.
    pub stream_seq: StreamSeq,
    /// The delivery.
    pub consumer_seq: ConsumerSeq,
    /// Which delivery of the message it was, from 1.
    pub deliveries: u64,
    /// What is said.
    pub kind: AckKind,
    /// Where the client waits for an answer; `None` when it does not.
    pub reply: Option<Subject>,
}

impl Consumer {
    /// Takes what a client says about a delivery.
    pub(crate) fn handle_ack(&mut self, now: Timestamp, ack: Ack, out: &mut VecDeque<Output>) {
        self.active_at = now;
        match &ack.kind {
            AckKind::Ack => {
                self.sample(now, &ack, out);
                self.settle(ack.stream_seq, Settlement::Acked, ack.reply, out);
            }
            AckKind::Next(body) => {
                self.sample(now, &ack, out);
                self.settle(ack.stream_seq, Settlement::Acked, None, out);
                if let Some(reply) = ack.reply {
                    self.pull_next(now, body, reply, out);
                }
            }
            AckKind::Term { reason } => {
                if self.progress.pending.contains_key(&ack.stream_seq) {
                    let about = About {
                        reason: reason.clone(),
                        ..About::of(&ack)
                    };
                    out.push_back(self.advise(now, TERMINATED, about));
                }
                // With ack policy `all` it counts for every message before, as an ack does.
                let how = match self.config.ack_policy {
                    AckPolicy::All => Settlement::Acked,
                    AckPolicy::None | AckPolicy::Explicit | AckPolicy::FlowControl => {
                        Settlement::Dropped
                    }
                };
                self.settle(ack.stream_seq, how, ack.reply, out);
            }
            AckKind::Nak { delay } => {
                self.handle_nak(now, *delay, &ack, out);
                reply_empty(ack.reply, out);
            }
            AckKind::Progress => self.handle_progress(now, &ack, out),
            AckKind::Unknown => reply_empty(ack.reply, out),
        }
    }

    /// Reports the time of the acknowledgement, for the share that was asked for.
    fn sample(&self, now: Timestamp, ack: &Ack, out: &mut VecDeque<Output>) {
        if self.sampled_percent == 0 || !is_sampled(ack.consumer_seq, self.sampled_percent) {
            return;
        }
        if let Some(pending) = self.progress.pending.get(&ack.stream_seq)
            && pending.lease.settling.is_none()
        {
            out.push_back(self.ack_metric(now, ack, pending.lease.sent_at));
        }
    }

    fn pull_next(
        &mut self,
        now: Timestamp,
        body: &Bytes,
        reply: Subject,
        out: &mut VecDeque<Output>,
    ) {
        match api::parse_next_request(body) {
            Ok(request) => self.handle_pull(now, request.into_pull(reply), out),
            Err(error) => out.push_back(Output::Status(Status {
                code: 400,
                description: format!("Bad Request - {}", error.description).into(),
                ..Status::to(reply)
            })),
        }
    }

    fn handle_nak(
        &mut self,
        now: Timestamp,
        delay: Option<Duration>,
        ack: &Ack,
        out: &mut VecDeque<Output>,
    ) {
        let seq = ack.stream_seq;
        let Some(pending) = self.progress.pending.get_mut(&seq) else {
            return;
        };
        match delay {
            Some(delay) if !delay.is_zero() => {
                let at = now.saturating_add(delay);
                self.deadlines.set(seq, &mut pending.lease, at);
                out.push_back(self.advise(now, NAKED, About::of(ack)));
            }
            _ => {
                out.push_back(self.advise(now, NAKED, About::of(ack)));
                self.give_again(now, seq, out);
            }
        }
    }

    /// Gives the client its ack wait once more, if the message is still its own.
    ///
    /// Differs from nats-server, which extends the lease of whoever has the message now, and never
    /// says that it did not: an empty answer means that the lease holds, a status 409 that it does
    /// not.
    fn handle_progress(&mut self, now: Timestamp, ack: &Ack, out: &mut VecDeque<Output>) {
        let wait = self.ack_wait(ack.deliveries);
        let pending = self.progress.pending.get_mut(&ack.stream_seq);
        let held = pending.filter(|pending| {
            pending.deliveries == ack.deliveries && pending.lease.settling.is_none()
        });
        let Some(pending) = held else {
            if let Some(reply) = &ack.reply {
                out.push_back(Output::Status(Status {
                    code: 409,
                    description: "Lease Lost".into(),
                    ..Status::to(reply.clone())
                }));
            }
            return;
        };
        let due = now.saturating_add(wait);
        self.deadlines.set(ack.stream_seq, &mut pending.lease, due);
        reply_empty(ack.reply.clone(), out);
    }

    /// Marks a message for another delivery, unless it has had all it may have.
    pub(super) fn give_again(
        &mut self,
        now: Timestamp,
        seq: StreamSeq,
        out: &mut VecDeque<Output>,
    ) {
        let Some(pending) = self.progress.pending.get_mut(&seq) else {
            return;
        };
        let deliveries = pending.deliveries;
        let max = u64::try_from(self.config.max_deliver).unwrap_or(0);
        if max == 0 || deliveries < max {
            self.deadlines.deliver_again(seq, &mut pending.lease);
            return;
        }
        pending.lease.due = None;
        self.deadlines.forget(seq);
        let about = About {
            stream_seq: seq,
            consumer_seq: None,
            deliveries,
            reason: None,
        };
        out.push_back(self.advise(now, MAX_DELIVERIES, about));
        self.settle(seq, Settlement::Exhausted, None, out);
    }

    /// How long the nth delivery waits for its acknowledgement: the nth back-off, or the last one.
    pub(super) fn ack_wait(&self, deliveries: u64) -> Duration {
        let nth = usize::try_from(deliveries.saturating_sub(1)).unwrap_or(usize::MAX);
        let backoff = &self.config.backoff;
        backoff
            .get(nth)
            .or(backoff.last())
            .copied()
            .unwrap_or(self.config.ack_wait)
    }
}

/// Spreads the share evenly without a random source: consecutive deliveries fall apart.
fn is_sampled(delivery: ConsumerSeq, percent: u64) -> bool {
    const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;
    (delivery.0.wrapping_mul(GOLDEN_RATIO) >> 32) % 100 < percent
}

pub(super) fn reply_empty(reply: Option<Subject>, out: &mut VecDeque<Output>) {
    if let Some(to) = reply {
        out.push_back(Output::Reply {
            to,
            payload: Bytes::new(),
        });
    }
}
