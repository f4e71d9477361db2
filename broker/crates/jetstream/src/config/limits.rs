//! What one node allows its streams, and what it allows its account.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Storage;

/// Upper bounds a node sets for every stream, and for all of them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many streams there may be.
    pub streams_max: usize,
    /// The largest `num_replicas`: 1 for a node on its own.
    pub replicas_max: u32,
    /// Bytes the node has for all streams.
    pub node: ByStorage<Option<u64>>,
    /// Bytes the account may use of them.
    pub account: ByStorage<Option<u64>>,
    /// The largest `max_bytes` of one stream that sets it.
    pub stream: ByStorage<Option<u64>>,
    /// Every stream has to set `max_bytes`.
    pub max_bytes_required: bool,
    /// The longest `duplicate_window`; a stream that says nothing gets no more. `None` means any.
    pub duplicate_window_max: Option<Duration>,
    /// Bounds for consumers.
    pub consumers: ConsumerBounds,
}

/// Upper bounds for the consumers of every stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerBounds {
    /// How many one stream may have, whatever its `max_consumers`; `None` means any number.
    pub count_max: Option<usize>,
    /// The largest `max_ack_pending`; a consumer that says nothing gets no more. `None` means any.
    pub ack_pending_max: Option<i64>,
    /// The largest `max_batch` of a pull consumer, and its default; `None` means any.
    pub request_batch_max: Option<i64>,
}

/// One value for each kind of storage. A limit of `None` means any number of bytes, and one of 0 no stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByStorage<T> {
    /// For streams with [`Storage::File`].
    pub file: T,
    /// For streams with [`Storage::Memory`].
    pub memory: T,
}

impl<T> ByStorage<T> {
    /// The value for this kind.
    pub fn of(&self, storage: Storage) -> &T {
        match storage {
            Storage::File => &self.file,
            Storage::Memory => &self.memory,
        }
    }

    /// The same, to change it.
    pub fn of_mut(&mut self, storage: Storage) -> &mut T {
        match storage {
            Storage::File => &mut self.file,
            Storage::Memory => &mut self.memory,
        }
    }
}

/// 10,000 streams of any size; one replica.
impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_max: 10_000,
            replicas_max: 1,
            node: ByStorage::default(),
            account: ByStorage::default(),
            stream: ByStorage::default(),
            max_bytes_required: false,
            duplicate_window_max: None,
            consumers: ConsumerBounds::default(),
        }
    }
}
