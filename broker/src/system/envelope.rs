//! The form of answers and events: which server says it, and what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hitherto_jetstream::TypedEvent;
use hitherto_protocol::Timestamp;
use serde::Serialize;

use crate::monitor::{Monitor, Refused};

/// The capabilities of a server as bits (`ServerCapability` in nats-server 2.15 `server/events.go`): it has
/// JetStream.
const JETSTREAM: u64 = 1;

/// Which server says something (`ServerInfo` there).
#[derive(Debug, Clone, Serialize)]
pub(super) struct ServerMark {
    name: String,
    host: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    ver: String,
    jetstream: bool,
    #[serde(skip_serializing_if = "is_zero")]
    flags: u64,
    seq: u64,
    time: Timestamp,
}

/// Marks what this server says, with ascending numbers.
#[derive(Debug)]
pub(super) struct Marker {
    monitor: Arc<Monitor>,
    said: AtomicU64,
}

/// An answer.
#[derive(Debug, Serialize)]
pub(super) struct Answer<T> {
    server: ServerMark,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<AnswerError>,
}

/// Why there is none.
#[derive(Debug, Serialize)]
pub(super) struct AnswerError {
    code: u16,
    description: String,
}

impl Marker {
    pub(super) fn new(monitor: Arc<Monitor>) -> Self {
        Self {
            monitor,
            said: AtomicU64::new(0),
        }
    }

    /// The mark of the next thing that is said.
    pub(super) fn mark(&self) -> ServerMark {
        let info = self.monitor.info();
        let jetstream = self.monitor.has_jetstream();
        ServerMark {
            name: info.server_name.clone(),
            host: info.host.clone(),
            id: info.server_id.clone(),
            cluster: info.cluster.clone(),
            ver: info.version.clone(),
            jetstream,
            flags: if jetstream { JETSTREAM } else { 0 },
            seq: self.said.fetch_add(1, Ordering::Relaxed) + 1,
            time: self.monitor.now(),
        }
    }

    /// An answer with a document.
    pub(super) fn document(&self, document: &impl Serialize) -> Bytes {
        json(&Answer {
            server: self.mark(),
            data: Some(document),
            error: None,
        })
    }

    /// An answer with a document, or why there is none.
    pub(super) fn result<T: Serialize>(&self, result: Result<T, Refused>) -> Bytes {
        match result {
            Ok(document) => self.document(&document),
            Err(Refused(description)) => self.refusal(500, description),
        }
    }

    /// An answer without a document: it was done.
    pub(super) fn done(&self) -> Bytes {
        json(&Answer {
            server: self.mark(),
            data: None::<()>,
            error: None,
        })
    }

    /// An answer that says why not. The code is one of HTTP.
    pub(super) fn refusal(&self, code: u16, description: String) -> Bytes {
        json(&Answer {
            server: self.mark(),
            data: None::<()>,
            error: Some(AnswerError { code, description }),
        })
    }
}

/// The bytes of something that is said.
pub(super) fn json(said: &impl Serialize) -> Bytes {
    let bytes = serde_json::to_vec(said);
    Bytes::from(bytes.expect("what a server says has string keys only"))
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Something that has happened now.
pub(super) fn happened<T>(
    monitor: &Monitor,
    kind: &'static str,
    fields: T,
) -> TypedEvent<'static, T> {
    TypedEvent {
        kind,
        id: monitor.event_id(),
        timestamp: monitor.now(),
        fields,
    }
}
