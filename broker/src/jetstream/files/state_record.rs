//! The state of a group as its checkpoint keeps it: MessagePack with field names.

use hitherto_jetstream::{MetaSnapshot, StreamSnapshot};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A snapshot on its way to the disk.
pub(crate) enum StateSnapshot {
    Meta(MetaSnapshot),
    Stream(Box<StreamSnapshot>),
}

impl StateSnapshot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Meta(snapshot) => encode(snapshot),
            Self::Stream(snapshot) => encode(snapshot),
        }
    }
}

/// Reads a snapshot back.
pub(crate) fn decode<S: DeserializeOwned>(state: &[u8]) -> Result<S, rmp_serde::decode::Error> {
    rmp_serde::from_slice(state)
}

fn encode(snapshot: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(snapshot).expect("a snapshot holds numbers, strings, lists and maps")
}
