//! What the node tells about its streams on `$JS.EVENT.ADVISORY.>`, when somebody listens.
//!
//! Names and fields are those of nats-server 2.15 (`server/jetstream_events.go`). What is told about
//! consumers comes out of their state machine, what is told about requests out of `audit`.

use hitherto_jetstream::TypedEvent;
use hitherto_protocol::{Subject, Timestamp};
use serde::Serialize;

use crate::jetstream::Outlet;

/// What has happened to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StreamAction {
    Create,
    Modify,
    Delete,
}

#[derive(Serialize)]
struct StreamActed<'a> {
    stream: &'a str,
    action: StreamAction,
}

#[derive(Serialize)]
struct BatchAbandoned<'a> {
    account: &'a str,
    stream: &'a str,
    batch: &'a str,
    reason: &'static str,
}

/// Tells that a stream was created, changed or deleted.
pub(crate) fn tell_stream(stream: &str, action: StreamAction, now: Timestamp, outlet: &mut Outlet) {
    let word = match action {
        StreamAction::Create => "CREATED",
        StreamAction::Modify => "UPDATED",
        StreamAction::Delete => "DELETED",
    };
    let name = format!("STREAM.{word}.{stream}");
    tell(&name, outlet, || TypedEvent {
        kind: "io.nats.jetstream.advisory.v1.stream_action",
        id: format!("{name}.{}", now.unix_nanos()),
        timestamp: now,
        fields: StreamActed { stream, action },
    });
}

/// Tells that nothing of an open batch is stored.
pub(crate) fn tell_batch_abandoned(
    (account, stream): (&str, &str),
    (batch, reason): (&str, &'static str),
    now: Timestamp,
    outlet: &mut Outlet,
) {
    let name = format!("STREAM.BATCH_ABANDONED.{stream}");
    tell(&name, outlet, || TypedEvent {
        kind: "io.nats.jetstream.advisory.v1.stream_batch_abandoned",
        id: format!("{name}.{batch}.{}", now.unix_nanos()),
        timestamp: now,
        fields: BatchAbandoned {
            account,
            stream,
            batch,
            reason,
        },
    });
}

fn tell<'a, T: Serialize>(
    name: &str,
    outlet: &mut Outlet,
    advisory: impl FnOnce() -> TypedEvent<'a, T>,
) {
    let Ok(subject) = Subject::new(format!("$JS.EVENT.ADVISORY.{name}")) else {
        return;
    };
    if outlet.router().has_interest(&subject) {
        outlet.publish(&subject, advisory().to_bytes());
    }
}
