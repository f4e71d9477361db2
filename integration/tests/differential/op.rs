//! One operation of a round, as a client would send it.

use std::fmt;

use serde_json::Value;

/// Stands for the round in names, subjects and bodies, so that rounds do not meet.
pub(crate) const ROUND: &str = "@";

/// One operation. `@` in its texts stands for the round.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// A call of the JetStream API: `$JS.API.` and `call`.
    Api { call: String, body: String },
    /// A publish into a stream that asks for its ack.
    Publish {
        subject: String,
        headers: Vec<(&'static str, String)>,
        payload: String,
    },
    /// A read past the API: `$JS.API.DIRECT.GET.` and `call`.
    Direct { call: String, body: Value },
    /// A pull that does not wait.
    Pull {
        stream: String,
        consumer: String,
        body: Value,
        batch: usize,
    },
    /// An ack of one of the round's deliveries, answered by the server.
    Ack { delivery: usize, kind: String },
}

impl Op {
    /// Whether it may be repeated without changing anything.
    pub(crate) fn only_reads(&self) -> bool {
        match self {
            Self::Direct { .. } => true,
            Self::Api { call, .. } => {
                let reads = ["INFO", "NAMES", "LIST", "GET"];
                call.split('.').take(3).any(|token| reads.contains(&token))
            }
            Self::Publish { .. } | Self::Pull { .. } | Self::Ack { .. } => false,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api { call, body } => write!(f, "$JS.API.{call} {body}"),
            Self::Publish {
                subject,
                headers,
                payload,
            } => write!(f, "publish {subject} {headers:?} {} bytes", payload.len()),
            Self::Direct { call, body } => write!(f, "$JS.API.DIRECT.GET.{call} {body}"),
            Self::Pull {
                stream,
                consumer,
                body,
                ..
            } => write!(f, "pull {stream} {consumer} {body}"),
            Self::Ack { delivery, kind } => write!(f, "ack delivery {delivery}: {kind}"),
        }
    }
}
