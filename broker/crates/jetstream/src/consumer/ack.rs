//! What clients say about deliveries, and what is due when they say nothing.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hitherto_protocol::{Subject, Timestamp};
use serde::Serialize;

use super::Consumer;
use crate::ack_subject::AckKind;
use crate::api;
use crate::command::{Command, Control, Settled, Settlement};
use crate::output::{Output, Status};
use crate::{ConsumerSeq, StreamSeq};

/// What a client says about a delivery.
///
/// The delivery count is not compared with the current one, as on nats-server: a late answer to an
/// earlier delivery of the same message counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The consumer's name.
    pub consumer: String,
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

/// The fields the advisories of deliveries have in common.
#[derive(Serialize)]
struct Advisory<'a> {
    r#type: &'static str,
    /// Unique by content: the same event on another replica has the same id.
    id: String,
    timestamp: Timestamp,
    stream: &'a str,
    consumer: &'a str,
    stream_seq: StreamSeq,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_seq: Option<ConsumerSeq>,
    deliveries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The delivery an advisory speaks of.
struct About {
    stream_seq: StreamSeq,
    /// `None` when it speaks of all deliveries of the message.
    consumer_seq: Option<ConsumerSeq>,
    deliveries: u64,
}

impl About {
    fn of(ack: &Ack) -> Self {
        Self {
            stream_seq: ack.stream_seq,
            consumer_seq: Some(ack.consumer_seq),
            deliveries: ack.deliveries,
        }
    }
}

impl Consumer {
    /// Takes what a client says about a delivery.
    pub(crate) fn handle_ack(&mut self, now: Timestamp, ack: Ack, out: &mut VecDeque<Output>) {
        self.active_at = now;
        match &ack.kind {
            AckKind::Ack => {
                let settled = self.settled(now, &ack, Settlement::Acked);
                self.settle(settled, ack.reply, out);
            }
            AckKind::Next(body) => {
                self.settle(self.settled(now, &ack, Settlement::Acked), None, out);
                if let Some(reply) = ack.reply {
                    self.pull_next(now, body, reply, out);
                }
            }
            AckKind::Term { reason } => {
                if self.is_pending(ack.stream_seq) {
                    let reason = reason.clone();
                    out.push_back(self.advisory(now, &TERMINATED, &About::of(&ack), reason));
                }
                let settled = self.settled(now, &ack, Settlement::Dropped);
                self.settle(settled, ack.reply, out);
            }
            AckKind::Nak { delay } => {
                self.handle_nak(now, *delay, &ack, out);
                reply_empty(ack.reply, out);
            }
            AckKind::Progress => {
                if let Some(pending) = self.progress.pending.get(&ack.stream_seq) {
                    let wait = self.ack_wait(pending.deliveries);
                    self.deadlines.set(ack.stream_seq, now.saturating_add(wait));
                }
                reply_empty(ack.reply, out);
            }
        }
    }

    fn settled(&self, now: Timestamp, ack: &Ack, how: Settlement) -> Settled {
        Settled {
            consumer: self.name.clone(),
            incarnation: self.incarnation,
            stream_seq: ack.stream_seq,
            how,
            at: now,
        }
    }

    /// Has the log settle a message; the client's answer waits for it. What is settled already is
    /// answered at once.
    fn settle(&self, settled: Settled, reply: Option<Subject>, out: &mut VecDeque<Output>) {
        if self.is_pending(settled.stream_seq) {
            let command = Command::Settled(settled);
            out.push_back(Output::Propose { command, reply });
        } else {
            reply_empty(reply, out);
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
                to: reply,
                code: 400,
                description: format!("Bad Request - {}", error.description),
                headers: Vec::new(),
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
        let Some(pending) = self.progress.pending.get(&seq) else {
            return;
        };
        let deliveries = pending.deliveries;
        out.push_back(self.advisory(now, &NAKED, &About::of(ack), None));
        match delay {
            Some(delay) if !delay.is_zero() => {
                self.deadlines.set(seq, now.saturating_add(delay));
            }
            _ => self.give_again(now, seq, deliveries, out),
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp, out: &mut VecDeque<Output>) {
        self.expire_requests(now, out);
        for seq in self.deadlines.take_due(now) {
            if let Some(pending) = self.progress.pending.get(&seq) {
                let deliveries = pending.deliveries;
                self.give_again(now, seq, deliveries, out);
            }
        }
        if self.inactive_at().is_some_and(|at| at <= now) {
            self.leaving = true;
            out.push_back(Output::Propose {
                command: Command::Control(Control::DeleteConsumer {
                    name: self.name.clone(),
                }),
                reply: None,
            });
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Timestamp> {
        [
            self.waiting.next_timeout(),
            self.deadlines.next(),
            self.inactive_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Marks a message for another delivery, unless it has had all it may have.
    fn give_again(
        &mut self,
        now: Timestamp,
        seq: StreamSeq,
        deliveries: u64,
        out: &mut VecDeque<Output>,
    ) {
        self.ready = true;
        let max = u64::try_from(self.config.max_deliver).unwrap_or(0);
        if max == 0 || deliveries < max {
            self.deadlines.deliver_again(seq);
            return;
        }
        self.deadlines.clear(seq);
        let about = About {
            stream_seq: seq,
            consumer_seq: None,
            deliveries,
        };
        out.push_back(self.advisory(now, &MAX_DELIVERIES, &about, None));
        self.drop_pending(now, seq, Settlement::Exhausted, out);
    }

    fn expire_requests(&mut self, now: Timestamp, out: &mut VecDeque<Output>) {
        self.waiting.retain(|request| {
            let expired = request.expires.is_some_and(|at| at <= now);
            if expired {
                out.push_back(request.status_pending(408, "Request Timeout"));
                self.active_at = now;
            }
            !expired
        });
        let delivered = self.progress.delivered;
        for request in self.waiting.iter_mut() {
            if request.next_heartbeat.is_some_and(|at| at <= now) {
                request.rearm(now);
                out.push_back(Output::Status(Status {
                    to: request.reply.clone(),
                    code: 100,
                    description: "Idle Heartbeat".to_owned(),
                    headers: vec![
                        ("Nats-Last-Consumer", delivered.consumer_seq.to_string()),
                        ("Nats-Last-Stream", delivered.stream_seq.to_string()),
                    ],
                }));
            }
        }
    }

    /// When the consumer has been unused for too long; `None` while it is in use or may stay.
    fn inactive_at(&self) -> Option<Timestamp> {
        let threshold = self.config.inactive_threshold;
        let idle = !self.leaving && !threshold.is_zero() && self.waiting.is_empty();
        idle.then(|| self.active_at.saturating_add(threshold))
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

    fn advisory(
        &self,
        now: Timestamp,
        kind: &AdvisoryKind,
        about: &About,
        reason: Option<String>,
    ) -> Output {
        let (stream, consumer) = (&self.stream, &self.name);
        let advisory = Advisory {
            r#type: kind.schema,
            id: format!(
                "{}.{stream}.{consumer}.{}.{}",
                kind.subject, about.stream_seq, about.deliveries
            ),
            timestamp: now,
            stream,
            consumer,
            stream_seq: about.stream_seq,
            consumer_seq: about.consumer_seq,
            deliveries: about.deliveries,
            reason,
        };
        let payload = serde_json::to_vec(&advisory).expect("plain fields always serialize");
        Output::Advisory {
            subject: format!(
                "$JS.EVENT.ADVISORY.CONSUMER.{}.{stream}.{consumer}",
                kind.subject
            ),
            payload: payload.into(),
        }
    }
}

struct AdvisoryKind {
    subject: &'static str,
    schema: &'static str,
}

const MAX_DELIVERIES: AdvisoryKind = AdvisoryKind {
    subject: "MAX_DELIVERIES",
    schema: "io.nats.jetstream.advisory.v1.max_deliver",
};

const TERMINATED: AdvisoryKind = AdvisoryKind {
    subject: "MSG_TERMINATED",
    schema: "io.nats.jetstream.advisory.v1.terminated",
};

const NAKED: AdvisoryKind = AdvisoryKind {
    subject: "MSG_NAKED",
    schema: "io.nats.jetstream.advisory.v1.nak",
};

fn reply_empty(reply: Option<Subject>, out: &mut VecDeque<Output>) {
    if let Some(to) = reply {
        out.push_back(Output::Reply {
            to,
            payload: Bytes::new(),
        });
    }
}
