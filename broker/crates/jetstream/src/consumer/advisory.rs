//! What a consumer tells the world about itself: advisories and metrics.
//!
//! Subjects, types and fields are those of nats-server 2.15 (`server/jetstream_events.go`).

use hitherto_protocol::Timestamp;
use serde::Serialize;

use super::{Ack, Consumer};
use crate::output::Output;
use crate::{ConsumerSeq, StreamSeq, TypedEvent};

/// The consumer it is about, and the fields of each.
#[derive(Serialize)]
struct AboutConsumer<'a, T> {
    stream: &'a str,
    consumer: &'a str,
    #[serde(flatten)]
    fields: T,
}

/// The delivery an advisory speaks of.
#[derive(Serialize)]
pub(super) struct About {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) consumer_seq: Option<ConsumerSeq>,
    pub(super) stream_seq: StreamSeq,
    pub(super) deliveries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

impl About {
    pub(super) fn of(ack: &Ack) -> Self {
        Self {
            consumer_seq: Some(ack.consumer_seq),
            stream_seq: ack.stream_seq,
            deliveries: ack.deliveries,
            reason: None,
        }
    }
}

#[derive(Serialize)]
struct Acked {
    consumer_seq: ConsumerSeq,
    stream_seq: StreamSeq,
    /// Nanoseconds between the delivery and its acknowledgement.
    ack_time: u64,
    deliveries: u64,
}

#[derive(Serialize)]
struct Lifecycle {
    action: &'static str,
}

#[derive(Serialize)]
struct Paused {
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_until: Option<Timestamp>,
}

/// An event by its subject and its type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    prefix: &'static str,
    /// Between the prefix and the names.
    subject: &'static str,
    schema: &'static str,
}

pub(super) const MAX_DELIVERIES: Kind = Kind {
    prefix: ADVISORY,
    subject: "MAX_DELIVERIES",
    schema: "io.nats.jetstream.advisory.v1.max_deliver",
};

pub(super) const TERMINATED: Kind = Kind {
    prefix: ADVISORY,
    subject: "MSG_TERMINATED",
    schema: "io.nats.jetstream.advisory.v1.terminated",
};

pub(super) const NAKED: Kind = Kind {
    prefix: ADVISORY,
    subject: "MSG_NAKED",
    schema: "io.nats.jetstream.advisory.v1.nak",
};

const ADVISORY: &str = "$JS.EVENT.ADVISORY";
const METRIC: &str = "$JS.EVENT.METRIC";
const ACTION: &str = "io.nats.jetstream.advisory.v1.consumer_action";
const PAUSE: &str = "io.nats.jetstream.advisory.v1.consumer_pause";
const ACKED: &str = "io.nats.jetstream.metric.v1.consumer_ack";

impl Consumer {
    /// Something has happened to a delivery.
    pub(super) fn advise(&self, now: Timestamp, kind: Kind, about: About) -> Output {
        let unique = format!("{}.{}", about.stream_seq, about.deliveries);
        self.event(now, kind, &unique, about)
    }

    /// The consumer was created.
    pub(crate) fn created_advisory(&self) -> Output {
        let kind = Kind {
            prefix: ADVISORY,
            subject: "CREATED",
            schema: ACTION,
        };
        let fields = Lifecycle { action: "create" };
        let unique = self.created.unix_nanos().to_string();
        self.event(self.created, kind, &unique, fields)
    }

    /// The consumer is no more.
    pub(crate) fn deleted_advisory(&self, now: Timestamp) -> Output {
        let kind = Kind {
            prefix: ADVISORY,
            subject: "DELETED",
            schema: ACTION,
        };
        let fields = Lifecycle { action: "delete" };
        let unique = self.created.unix_nanos().to_string();
        self.event(now, kind, &unique, fields)
    }

    /// The consumer pauses from now on, or goes on.
    pub(crate) fn pause_advisory(&self, now: Timestamp) -> Output {
        let kind = Kind {
            prefix: ADVISORY,
            subject: "PAUSE",
            schema: PAUSE,
        };
        let fields = Paused {
            paused: self.is_paused(now),
            pause_until: self.config.pause_until,
        };
        let unique = now.unix_nanos().to_string();
        self.event(now, kind, &unique, fields)
    }

    /// How long the client took for a delivery that was sent at `sent_at`.
    pub(super) fn ack_metric(&self, now: Timestamp, ack: &Ack, sent_at: Timestamp) -> Output {
        let kind = Kind {
            prefix: METRIC,
            subject: "ACK",
            schema: ACKED,
        };
        let ack_time = now.saturating_duration_since(sent_at);
        let fields = Acked {
            consumer_seq: ack.consumer_seq,
            stream_seq: ack.stream_seq,
            ack_time: u64::try_from(ack_time.as_nanos()).unwrap_or(u64::MAX),
            deliveries: ack.deliveries,
        };
        let unique = ack.consumer_seq.to_string();
        self.event(now, kind, &unique, fields)
    }

    fn event(&self, now: Timestamp, kind: Kind, unique: &str, fields: impl Serialize) -> Output {
        let (stream, consumer) = (&self.stream, &self.name);
        let event = TypedEvent {
            kind: kind.schema,
            // Unique by content: the same event on another replica has the same id.
            id: format!("{}.{stream}.{consumer}.{unique}", kind.subject),
            timestamp: now,
            fields: AboutConsumer {
                stream,
                consumer,
                fields,
            },
        };
        let Kind {
            prefix, subject, ..
        } = kind;
        Output::Advisory {
            subject: format!("{prefix}.CONSUMER.{subject}.{stream}.{consumer}"),
            payload: event.to_bytes(),
        }
    }
}
