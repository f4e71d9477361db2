//! What the node tells about its streams on `$JS.EVENT.ADVISORY.>`, when somebody listens.
//!
//! Names and fields are those of nats-server 2.15 (`server/jetstream_events.go`). What is told about
//! consumers comes out of their state machine.

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
struct StreamAdvisory<'a> {
    r#type: &'static str,
    id: String,
    timestamp: Timestamp,
    stream: &'a str,
    action: StreamAction,
}

#[derive(Serialize)]
struct BatchAdvisory<'a> {
    r#type: &'static str,
    id: String,
    timestamp: Timestamp,
    account: &'static str,
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
    tell(&name, outlet, || StreamAdvisory {
        r#type: "io.nats.jetstream.advisory.v1.stream_action",
        id: format!("{name}.{}", now.unix_nanos()),
        timestamp: now,
        stream,
        action,
    });
}

/// Tells that nothing of an open batch is stored.
pub(crate) fn tell_batch_abandoned(
    stream: &str,
    (batch, reason): (&str, &'static str),
    now: Timestamp,
    outlet: &mut Outlet,
) {
    let name = format!("STREAM.BATCH_ABANDONED.{stream}");
    tell(&name, outlet, || BatchAdvisory {
        r#type: "io.nats.jetstream.advisory.v1.stream_batch_abandoned",
        id: format!("{name}.{batch}.{}", now.unix_nanos()),
        timestamp: now,
        account: crate::account::ORDINARY_ACCOUNT,
        stream,
        batch,
        reason,
    });
}

fn tell<T: Serialize>(name: &str, outlet: &mut Outlet, advisory: impl FnOnce() -> T) {
    let Ok(subject) = Subject::new(format!("$JS.EVENT.ADVISORY.{name}")) else {
        return;
    };
    if outlet.router().has_interest(&subject) {
        let payload = serde_json::to_vec(&advisory()).expect("plain fields always serialize");
        outlet.publish(&subject, payload.into());
    }
}
