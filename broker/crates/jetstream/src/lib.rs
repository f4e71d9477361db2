//! JetStream as pure state machines. Being built; the ids and the stored form of a message stand.

#![forbid(unsafe_code)]

use std::fmt;

use bytes::Bytes;
use hitherto_protocol::{Headers, Subject, Timestamp};
use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The sequence of a message in its stream, from 1.
    StreamSeq(u64)
}
number! {
    /// The sequence of a delivery of one consumer, from 1.
    ConsumerSeq(u64)
}
number! {
    /// A replicated group: one log, one state machine.
    GroupId(u32)
}
number! {
    /// The place of an entry in its group's log, from 1.
    LogIndex(u64)
}

/// A message of a stream as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its sequence in the stream.
    pub seq: StreamSeq,
    /// When the leader took it in.
    pub at: Timestamp,
    /// What it was published to.
    pub subject: Subject,
    /// Its headers; `None` when it was published without any.
    pub headers: Option<Headers>,
    /// Its payload.
    pub payload: Bytes,
}

/// What the index of a stream needs to know of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageMeta {
    /// Its sequence in the stream.
    pub seq: StreamSeq,
    /// When the leader took it in.
    pub at: Timestamp,
    /// What it was published to.
    pub subject: Subject,
    /// The size it counts with against the limits of its stream.
    pub bytes: u64,
}
