//! The configuration of a consumer in the form of the JetStream API.
//!
//! Only the form: which values are allowed stands in [`super::consumer_rules`]. Fields of
//! nats-server this version does not support are recognised and refused. The order of the fields
//! is that of nats-server 2.15.

use std::collections::BTreeMap;
use std::time::Duration;

use hitherto_protocol::{SubjectFilter, Timestamp};
use serde::{Deserialize, Serialize};

use super::{is_default, is_false, metadata, nanos, non_empty};

/// The configuration of a consumer.
///
/// [`ConsumerConfig::checked`] fills the defaults, which 0 and absent stand for in most fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumerConfig {
    /// The name of a durable consumer; `None` makes it ephemeral.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub durable_name: Option<String>,
    /// The name; equal to `durable_name` when both are there.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub name: Option<String>,
    /// A text for people.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub description: Option<String>,
    /// Where it starts.
    pub deliver_policy: DeliverPolicy,
    /// The first sequence for [`DeliverPolicy::ByStartSequence`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_seq: Option<u64>,
    /// The first time for [`DeliverPolicy::ByStartTime`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<Timestamp>,
    /// What has to be acknowledged.
    pub ack_policy: AckPolicy,
    /// How long it waits for an acknowledgement before it delivers again; zero with
    /// [`AckPolicy::None`].
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub ack_wait: Duration,
    /// How often a message is delivered at most; -1 means any number.
    #[serde(skip_serializing_if = "is_default")]
    pub max_deliver: i64,
    /// How long it waits after each delivery instead of `ack_wait`; the last one repeats.
    #[serde(with = "nanos::list", skip_serializing_if = "Vec::is_empty")]
    pub backoff: Vec<Duration>,
    /// The one subject filter; see [`ConsumerConfig::filters`].
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub filter_subject: Option<String>,
    /// Several subject filters; see [`ConsumerConfig::filters`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter_subjects: Vec<String>,
    /// How fast stored messages come.
    pub replay_policy: ReplayPolicy,
    /// How many bits per second a push consumer sends at most; 0 means any number.
    #[serde(skip_serializing_if = "is_default")]
    pub rate_limit_bps: u64,
    /// Which share of the acknowledgements is reported, such as `50%`.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub sample_freq: Option<String>,
    /// How many pull requests may wait.
    #[serde(skip_serializing_if = "is_default")]
    pub max_waiting: i64,
    /// How many messages may wait for their acknowledgement; -1 means any number, 0 belongs to
    /// [`AckPolicy::None`].
    #[serde(skip_serializing_if = "is_default")]
    pub max_ack_pending: i64,
    /// A push consumer asks its client now and then how far it has got, and waits for the answer.
    #[serde(skip_serializing_if = "is_false")]
    pub flow_control: bool,
    /// Deliveries carry headers and the size instead of the payload.
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
    /// The largest `batch` of a pull request; 0 means any.
    #[serde(skip_serializing_if = "is_default")]
    pub max_batch: i64,
    /// The longest `expires` of a pull request; zero means any.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub max_expires: Duration,
    /// The largest `max_bytes` of a pull request; 0 means any.
    #[serde(skip_serializing_if = "is_default")]
    pub max_bytes: i64,
    /// Where a push consumer sends its messages; `None` makes it a pull consumer.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub deliver_subject: Option<String>,
    /// The queue group whose members share the messages of a push consumer.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub deliver_group: Option<String>,
    /// After how long without a message a push consumer gives a sign of life; zero means never.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub idle_heartbeat: Duration,
    /// After how long without a request it is deleted; zero means never.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub inactive_threshold: Duration,
    /// On how many nodes its state lives; 0 means as its stream.
    pub num_replicas: i32,
    /// Its state was asked to live in memory. Differs from nats-server: that of a durable consumer, and
    /// of one that waits for acknowledgements, is kept on disk like any other.
    #[serde(skip_serializing_if = "is_false")]
    pub mem_storage: bool,
    /// Refused: for mirrors and sources of nats-server.
    #[serde(skip_serializing_if = "is_false")]
    pub direct: bool,
    /// Refused: for mirrors and sources of nats-server.
    #[serde(skip_serializing_if = "is_false")]
    pub sourcing: bool,
    /// Free keys and values, and those under `_nats.` the server sets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Until when it delivers nothing; `None` means it does not pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_until: Option<Timestamp>,
    /// Refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<String>,
    /// `none` and `None` are the same; everything else is refused.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub priority_policy: Option<String>,
    /// Refused unless zero.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub priority_timeout: Duration,
}

impl ConsumerConfig {
    /// Its subject filters in either form; empty means every message of the stream.
    pub fn filters(&self) -> Vec<&str> {
        let one = self
            .filter_subject
            .as_deref()
            .filter(|filter| !filter.is_empty());
        let many = self.filter_subjects.iter().map(String::as_str);
        one.into_iter().chain(many).collect()
    }

    /// The same, parsed. Those of a checked configuration are valid; an invalid one is left out.
    pub(crate) fn subject_filters(&self) -> Vec<SubjectFilter> {
        let filters = self.filters().into_iter();
        filters
            .filter_map(|text| SubjectFilter::try_from(text).ok())
            .collect()
    }

    /// The name, in whichever field it stands; `None` as long as an ephemeral one has none.
    pub fn consumer_name(&self) -> Option<&str> {
        self.name.as_deref().or(self.durable_name.as_deref())
    }

    /// Tells whether it stays when nobody asks for its messages.
    pub fn is_durable(&self) -> bool {
        self.durable_name.is_some()
    }

    /// The configuration as single replies show it, with the metadata keys that name this server.
    #[must_use]
    pub fn for_reply(&self) -> Self {
        let mut shown = self.clone();
        metadata::add_reply_keys(&mut shown.metadata);
        shown
    }
}

/// Where a consumer starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliverPolicy {
    /// At the first message.
    #[default]
    All,
    /// At the last message that matches its filters.
    Last,
    /// At the next message.
    New,
    /// At `opt_start_seq`.
    ByStartSequence,
    /// At the first message from `opt_start_time` on.
    ByStartTime,
    /// With the last message of every subject that matches its filters.
    LastPerSubject,
}

/// What has to be acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckPolicy {
    /// Nothing. The default of the raw API; client libraries ask for `explicit`.
    #[default]
    None,
    /// An acknowledgement counts for every earlier message too.
    All,
    /// Each message.
    Explicit,
    /// For mirrors and sources of nats-server. Refused.
    FlowControl,
}

/// How fast stored messages come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPolicy {
    /// As fast as they are asked for.
    #[default]
    Instant,
    /// With the gaps they were published at.
    Original,
}
