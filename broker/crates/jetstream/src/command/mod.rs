//! What changes a stream: the commands that travel through its group's log.
//!
//! A command carries everything its effect depends on, the leader's clock included, so that every
//! replica and every replay decides the same. `codec` has the bytes.

mod codec;
mod runs;

use bytes::Bytes;
use hitherto_protocol::{Headers, Subject, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::codec::{APPEND_BYTES_MIN, CommandError, Commands, decode_all, encode_append};
pub use self::runs::{Run, Runs};
use crate::{ConsumerConfig, ConsumerSeq, StreamConfig, StreamSeq};

/// One change of a stream or of a consumer in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Append one message, if its headers' conditions hold.
    Append(Append),
    /// Append all messages with consecutive sequences, or none.
    AppendBatch(Vec<Append>),
    /// Any change that is rare.
    Control(Control),
    /// A consumer has delivered messages. Recorded after the fact.
    Delivered(Delivered),
    /// Messages need no further delivery by a consumer.
    Settled(Settled),
}

/// A message to append. Its headers hold the conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The leader's clock when it took the message in.
    pub at: Timestamp,
    /// What it was published to.
    pub subject: Subject,
    /// Its headers; `None` without any.
    pub headers: Option<Headers>,
    /// Its payload.
    pub payload: Bytes,
}

/// The rare changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Put a new configuration in force.
    Configure {
        /// The checked configuration.
        config: Box<StreamConfig>,
        /// The leader's clock.
        at: Timestamp,
    },
    /// Remove messages.
    Purge(Purge),
    /// Remove one message.
    DeleteMessage {
        /// Which.
        seq: StreamSeq,
        /// Overwrite its bytes as well.
        #[serde(default)]
        erase: bool,
    },
    /// Remove what is older than `max_age`.
    Expire {
        /// The leader's clock.
        at: Timestamp,
    },
    /// Create a consumer, or change its configuration.
    PutConsumer(PutConsumer),
    /// Remove a consumer.
    DeleteConsumer {
        /// Its name.
        name: String,
        /// Only this one of that name, see [`Settled::incarnation`]; `None` means whichever there is.
        incarnation: Option<u64>,
        /// The leader's clock.
        at: Timestamp,
    },
    /// Let a consumer deliver nothing for a while, or go on.
    PauseConsumer {
        /// Its name.
        name: String,
        /// Until when; `None` lets it go on.
        until: Option<Timestamp>,
        /// The leader's clock.
        at: Timestamp,
    },
    /// Say whether acks go before the sync from now on, see [`crate::Stream::is_relaxed`].
    Durability {
        /// They do. Otherwise everything before this record is synced with it.
        relaxed: bool,
        /// Go on behind this sequence: those up to it may have been given out, to messages that are lost.
        skip_to: Option<StreamSeq>,
    },
    /// Let a consumer begin anew: nothing is delivered or pending any more from a place on.
    ResetConsumer {
        /// Its name.
        name: String,
        /// The first message; `None` for the one after the ack floor.
        seq: Option<StreamSeq>,
        /// The leader's clock.
        at: Timestamp,
    },
}

/// What a purge removes. Without any restriction: everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Only subjects that match; `None` means all.
    pub filter: Option<String>,
    /// Only messages before this sequence.
    pub before: Option<StreamSeq>,
    /// Keep the newest so many of what would be removed.
    pub keep: Option<u64>,
}

/// A consumer to create or to change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PutConsumer {
    /// Its name.
    pub name: String,
    /// The checked configuration.
    pub config: Box<ConsumerConfig>,
    /// Whether it may, must or must not exist.
    pub action: PutAction,
    /// The leader's clock.
    pub at: Timestamp,
}

/// Whether a consumer to be put may exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PutAction {
    /// It may.
    #[default]
    CreateOrUpdate,
    /// Not with another configuration.
    Create,
    /// It must.
    Update,
}

/// Deliveries that have happened, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The consumer's name.
    pub consumer: String,
    /// Which consumer of that name: see [`Settled::incarnation`].
    pub incarnation: u64,
    /// The first delivery; the others follow without a gap.
    pub first: ConsumerSeq,
    /// The messages in the order of their deliveries, with the number of deliveries each has had by
    /// then.
    pub messages: Runs,
    /// When.
    pub at: Timestamp,
}

/// Messages that are done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The consumer's name.
    pub consumer: String,
    /// Which consumer of that name: counts the consumers the stream has ever had, from 1. A record of
    /// a removed consumer may come out of the log behind its successor's creation, and is not for it.
    pub incarnation: u64,
    /// The messages.
    pub messages: Runs,
    /// Why.
    pub how: Settlement,
    /// When.
    pub at: Timestamp,
}

/// Why a message needs no further delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Acknowledged; with ack policy `all` so is everything before it.
    Acked,
    /// Terminated by the client, or gone from the stream.
    Dropped,
    /// Delivered as often as `max_deliver` allows. Nobody has dealt with it: a work queue keeps it.
    Exhausted,
}
