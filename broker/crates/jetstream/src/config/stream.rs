//! The configuration of a stream in the form of the JetStream API.
//!
//! Only the form: which values are allowed stands in [`super::stream_rules`]. Fields of nats-server
//! this version does not support are kept as raw JSON, so that they are recognised and refused
//! rather than dropped. The order of the fields is that of nats-server 2.15.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Placement, Republish, TransformConfig};
use super::{is_default, is_false, metadata, nanos, non_empty};

/// The configuration of a stream.
///
/// -1 means unlimited for the `max_*` numbers. [`StreamConfig::checked`] fills the defaults; the
/// type's own default is a configuration without a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamConfig {
    /// The name; one token, at most 255 bytes.
    pub name: String,
    /// A text for people.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub description: Option<String>,
    /// The subject filters whose messages it stores; empty means its own name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// What decides when a message goes.
    pub retention: Retention,
    /// How many consumers it may have.
    pub max_consumers: i64,
    /// How many messages it may hold.
    pub max_msgs: i64,
    /// How many bytes it may hold.
    pub max_bytes: i64,
    /// How old a message may get; zero means any age.
    #[serde(with = "nanos")]
    pub max_age: Duration,
    /// How many messages it may hold on one subject.
    pub max_msgs_per_subject: i64,
    /// The largest message in bytes, headers included.
    pub max_msg_size: i32,
    /// Which messages go when it is full.
    pub discard: Discard,
    /// Where it was asked to live.
    ///
    /// Differs from nats-server: a memory stream is kept on disk like any other. Nothing is lost
    /// that a client could have counted on, and a restart keeps it.
    pub storage: Storage,
    /// On how many nodes it lives; 0 means 1.
    pub num_replicas: u32,
    /// No publish is answered.
    #[serde(skip_serializing_if = "is_false")]
    pub no_ack: bool,
    /// How long a message id is remembered; zero means the default, 2 minutes or `max_age` if that
    /// is shorter.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub duplicate_window: Duration,
    /// Where it is asked to live; kept and shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Value>,
    /// Refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Value>,
    /// How stored messages are compressed.
    pub compression: Compression,
    /// The sequence of the first message; 0 means 1.
    #[serde(skip_serializing_if = "is_default")]
    pub first_seq: u64,
    /// Under which subject messages are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_transform: Option<TransformConfig>,
    /// Where stored messages are published again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub republish: Option<Republish>,
    /// Messages may be read through `$JS.API.DIRECT.GET`.
    pub allow_direct: bool,
    /// Refused, as it needs a mirror.
    pub mirror_direct: bool,
    /// `max_msgs_per_subject` refuses new messages too; needs [`Discard::New`].
    #[serde(skip_serializing_if = "is_false")]
    pub discard_new_per_subject: bool,
    /// Nothing comes in and nothing goes; for good.
    pub sealed: bool,
    /// Single messages cannot be deleted.
    pub deny_delete: bool,
    /// It cannot be purged.
    pub deny_purge: bool,
    /// A message may take the place of those before it (`Nats-Rollup`).
    pub allow_rollup_hdrs: bool,
    /// What its consumers get by default and may have at most.
    pub consumer_limits: ConsumerLimits,
    /// A message may say how long it stays (`Nats-TTL`, ADR-43). Cannot be taken back.
    pub allow_msg_ttl: bool,
    /// How long a marker stays that is left behind when the last message of a subject went for its
    /// age; zero leaves none.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub subject_delete_marker_ttl: Duration,
    /// Refused.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_counter: bool,
    /// Batches may be published that are stored as a whole or not at all (ADR-50).
    #[serde(skip_serializing_if = "is_false")]
    pub allow_atomic: bool,
    /// Refused.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_schedules: bool,
    /// When a publish may be acknowledged.
    #[serde(skip_serializing_if = "is_default")]
    pub persist_mode: PersistMode,
    /// Refused.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_batched: bool,
    /// Free keys and values, and those under `_nats.` the server sets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Only in a request: an adjusted value is an error.
    #[serde(skip_serializing)]
    pub pedantic: bool,
}

impl StreamConfig {
    /// The configuration as single replies show it, with the metadata keys that name this server.
    #[must_use]
    pub fn for_reply(&self) -> Self {
        let mut shown = self.clone();
        metadata::add_reply_keys(&mut shown.metadata);
        shown
    }
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: None,
            subjects: Vec::new(),
            retention: Retention::Limits,
            max_consumers: -1,
            max_msgs: -1,
            max_bytes: -1,
            max_age: Duration::ZERO,
            max_msgs_per_subject: -1,
            max_msg_size: -1,
            discard: Discard::Old,
            storage: Storage::File,
            num_replicas: 1,
            no_ack: false,
            duplicate_window: Duration::ZERO,
            placement: None,
            mirror: None,
            sources: None,
            compression: Compression::None,
            first_seq: 0,
            subject_transform: None,
            republish: None,
            allow_direct: false,
            mirror_direct: false,
            discard_new_per_subject: false,
            sealed: false,
            deny_delete: false,
            deny_purge: false,
            allow_rollup_hdrs: false,
            consumer_limits: ConsumerLimits::default(),
            allow_msg_ttl: false,
            subject_delete_marker_ttl: Duration::ZERO,
            allow_msg_counter: false,
            allow_atomic: false,
            allow_msg_schedules: false,
            persist_mode: PersistMode::Default,
            allow_batched: false,
            metadata: BTreeMap::new(),
            pedantic: false,
        }
    }
}

/// What decides when a message of a stream goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retention {
    /// The limits of the stream.
    #[default]
    Limits,
    /// The limits, and that every consumer that wants it has dealt with it.
    Interest,
    /// The limits, and that its consumer has dealt with it.
    WorkQueue,
}

/// Which messages go when a stream is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Discard {
    /// The oldest.
    #[default]
    Old,
    /// None; the new message is refused.
    New,
}

/// Where a stream is asked to live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory; see [`StreamConfig::storage`].
    Memory,
}

/// When a publish may be acknowledged.
///
/// See [`StreamConfig::is_relaxed`], which the metadata of a stream may ask for as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersistMode {
    /// When it is as safe as the node makes it.
    #[default]
    #[serde(alias = "")]
    Default,
    /// Before it is synced, which follows soon.
    Async,
}

/// How stored messages are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// The S2 format; completed segments only.
    S2,
}

/// What the consumers of a stream get by default and may have at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumerLimits {
    /// For `inactive_threshold`; zero means no limit.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub inactive_threshold: Duration,
    /// For `max_ack_pending`; 0 means no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ack_pending: i64,
}
