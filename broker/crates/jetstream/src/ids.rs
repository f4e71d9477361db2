//! The numbers that name places: in a stream, in a consumer's deliveries, in a group's log.

use std::fmt;

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
    /// The sequence of a message in its stream, from 1. 0 stands for "before the first".
    StreamSeq(u64)
}
number! {
    /// The sequence of a delivery of one consumer, from 1. 0 stands for "before the first".
    ConsumerSeq(u64)
}
number! {
    /// A replicated group: one log, one state machine. 0 is the meta group.
    GroupId(u32)
}
number! {
    /// The place of an entry in its group's log, from 1. 0 stands for "before the first".
    LogIndex(u64)
}

/// A node of a cluster, by 128 bits that no other node has or had. Its text, 32 hexadecimal digits, is what
/// replies name it by as a peer.
///
/// Differs from nats-server: its peers have 8 characters, which cannot hold the bits. Clients take them as
/// they are.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeId(pub u128);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl StreamSeq {
    /// The sequence after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The sequence before this one; 0 stays 0.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl ConsumerSeq {
    /// The sequence after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The sequence before this one; 0 stays 0.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl GroupId {
    /// The group that knows the streams.
    pub const META: Self = Self(0);
}

impl LogIndex {
    /// The index after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
