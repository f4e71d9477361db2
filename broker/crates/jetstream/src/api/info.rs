//! What a stream and a consumer are and hold at one moment.
//!
//! The order of the fields and which of them are left out follow nats-server 2.15.

use std::collections::BTreeMap;
use std::time::Duration;

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::ClusterInfo;
use crate::config::{ConsumerConfig, StreamConfig, nanos};

/// A stream at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// Its configuration; see [`StreamConfig::for_reply`].
    pub config: StreamConfig,
    /// When it was created.
    pub created: Timestamp,
    /// What it holds.
    pub state: StreamState,
    /// Where it lives; `None` leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    /// When this was asked.
    pub ts: Timestamp,
    /// The request this answers made it or found it equal; only in the reply to a creation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub did_create: bool,
}

/// What a stream holds.
///
/// Without messages `first_seq` is `last_seq + 1`, or 0 as long as there never was one; the times
/// are then [`Timestamp::ZERO`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    /// How many messages.
    pub messages: u64,
    /// Their size.
    pub bytes: u64,
    /// The sequence of the first message.
    pub first_seq: u64,
    /// The time of the first message.
    pub first_ts: Timestamp,
    /// The sequence of the last message there ever was.
    pub last_seq: u64,
    /// Its time.
    pub last_ts: Timestamp,
    /// How many subjects; 0 is left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub num_subjects: u64,
    /// How many messages each subject holds; only when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<BTreeMap<String, u64>>,
    /// How many sequences between the first and the last are gone; 0 is left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub num_deleted: u64,
    /// Which ones; only when asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<u64>,
    /// What cannot be read because its bytes are damaged; left out when nothing is known to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostMessages>,
    /// How many consumers it has.
    pub consumer_count: usize,
}

/// Messages a stream has in its index and cannot read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostMessages {
    /// Their sequences, ascending; the first [`LostMessages::LISTED_MAX`].
    pub msgs: Vec<u64>,
    /// The size of all of them.
    pub bytes: u64,
}

impl LostMessages {
    /// Sequences that are listed: 10,000.
    pub const LISTED_MAX: usize = 10_000;
}

/// A consumer at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerInfo {
    /// Its stream.
    pub stream_name: String,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Its configuration; see [`ConsumerConfig::for_reply`].
    pub config: ConsumerConfig,
    /// The last delivery.
    pub delivered: SequenceInfo,
    /// The last delivery before which everything is acknowledged.
    pub ack_floor: SequenceInfo,
    /// How many deliveries wait for their acknowledgement.
    pub num_ack_pending: u64,
    /// How many of them have been delivered before.
    pub num_redelivered: u64,
    /// How many pull requests wait.
    pub num_waiting: u64,
    /// How many messages that match its filters have not been delivered.
    pub num_pending: u64,
    /// Where it lives; `None` leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    /// Somebody listens on its deliver subject.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub push_bound: bool,
    /// It delivers nothing for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// For how long; `None` while it does not pause.
    #[serde(
        default,
        with = "nanos::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub pause_remaining: Option<Duration>,
    /// When this was asked.
    pub ts: Timestamp,
}

/// The answer to a reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerReset {
    /// The consumer, as it is now.
    #[serde(flatten)]
    pub info: ConsumerInfo,
    /// The sequence it begins at.
    pub reset_seq: u64,
}

/// The answer to a pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerPaused {
    /// It pauses.
    pub paused: bool,
    /// Until when; the past when it does not.
    pub pause_until: Timestamp,
    /// For how long; `None` while it does not pause.
    #[serde(
        default,
        with = "nanos::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub pause_remaining: Option<Duration>,
}

/// A place in the deliveries of a consumer and in its stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceInfo {
    /// The sequence of the delivery.
    pub consumer_seq: u64,
    /// The sequence in the stream.
    pub stream_seq: u64,
    /// When it was; `None` before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
