//! Wire types of the JetStream API, only the fields the framework needs.
//!
//! Durations are nanoseconds. Unknown fields of answers are ignored.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The stream has no message, stream or consumer of that kind; `err_code` of the error table.
pub(super) const ERR_WRONG_LAST_SEQUENCE: u32 = 10_071;
/// A condition lost against an append still in flight on a replicated stream.
pub(super) const ERR_WRONG_LAST_SEQUENCE_IN_FLIGHT: u32 = 10_164;

/// Present in every refused answer.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorEnvelope {
    #[serde(default)]
    pub(super) error: Option<ApiError>,
}

/// An error of the JetStream error table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) err_code: u32,
    #[serde(default)]
    pub(crate) description: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (JetStream error {})",
            self.description, self.err_code
        )
    }
}

/// The answer to a stored message.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PubAck {
    /// Sequence of the message, of the last one for a batch.
    pub(crate) seq: u64,
}

/// What the framework asks of a stream, and compares.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StreamConfig {
    pub(super) name: String,
    #[serde(default)]
    pub(super) subjects: Option<Vec<String>>,
    #[serde(default)]
    pub(super) retention: String,
    #[serde(default = "unlimited")]
    pub(super) max_msgs: i64,
    #[serde(default = "unlimited")]
    pub(super) max_bytes: i64,
    #[serde(default = "unlimited")]
    pub(super) max_msgs_per_subject: i64,
    #[serde(default)]
    pub(super) max_age: i64,
    #[serde(default)]
    pub(super) storage: String,
    #[serde(default)]
    pub(super) discard: String,
    #[serde(default)]
    pub(super) num_replicas: u32,
    #[serde(default)]
    pub(super) allow_direct: bool,
    #[serde(default)]
    pub(super) allow_atomic: bool,
}

const fn unlimited() -> i64 {
    -1
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamInfo {
    pub(super) config: StreamConfig,
    pub(super) created: String,
}

#[derive(Debug, Serialize)]
pub(super) struct CreateConsumer<'a> {
    pub(super) stream_name: &'a str,
    pub(super) config: &'a ConsumerConfig,
}

/// Settings of a pull consumer.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ConsumerConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) durable_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) deliver_policy: DeliverPolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opt_start_seq: Option<u64>,
    pub(crate) ack_policy: AckPolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ack_wait: Option<Nanos>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_deliver: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_ack_pending: Option<usize>,
    pub(crate) filter_subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inactive_threshold: Option<Nanos>,
    pub(crate) replay_policy: &'static str,
}

/// Where a consumer starts.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliverPolicy {
    #[default]
    All,
    ByStartSequence,
}

/// How deliveries are acknowledged.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AckPolicy {
    #[default]
    None,
    Explicit,
}

/// A duration on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nanos(pub(crate) Duration);

impl Serialize for Nanos {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ConsumerInfo {
    pub(super) name: String,
    #[serde(default)]
    pub(super) num_pending: u64,
    #[serde(default)]
    pub(super) ack_floor: AckFloor,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct AckFloor {
    #[serde(default)]
    pub(super) stream_seq: u64,
}

/// Body of `CONSUMER.MSG.NEXT`.
#[derive(Debug, Serialize)]
pub(super) struct PullRequest {
    pub(super) batch: usize,
    pub(super) expires: Nanos,
}

/// Body of a batched `DIRECT.GET` (ADR-31).
#[derive(Debug, Serialize)]
pub(super) struct DirectGetBatch<'a> {
    pub(super) seq: u64,
    pub(super) next_by_subj: &'a str,
    pub(super) batch: usize,
}

/// Body of a `DIRECT.GET` of the last message under a filter.
#[derive(Debug, Serialize)]
pub(super) struct DirectGetLast<'a> {
    pub(super) last_by_subj: &'a str,
}

/// An answer whose content does not matter.
#[derive(Debug, Deserialize)]
pub(super) struct Done {}
