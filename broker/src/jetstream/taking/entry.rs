//! What is known of a stream outside its owner.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hitherto_jetstream::{GroupId, Storage};

use crate::jetstream::orders::ShardQueue;
use crate::jetstream::telling::Refusals;

/// What is known of a stream outside its owner.
pub(crate) struct StreamEntry {
    pub(crate) name: String,
    pub(crate) group: GroupId,
    pub(crate) shard: Arc<ShardQueue>,
    pub(crate) storage: Storage,
    /// This node serves the stream: it leads its group, or keeps it alone. Others only keep what it takes in.
    pub(crate) leads: AtomicBool,
    /// The stream answers direct gets.
    pub(crate) allow_direct: AtomicBool,
    /// What the account's usage adds up from; the owner writes it now and then.
    pub(crate) usage: StreamUsage,
    pub(crate) refusals: Refusals,
}

/// Numbers about one stream, as of a moment ago.
#[derive(Debug, Default)]
pub(crate) struct StreamUsage {
    pub(crate) messages: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// What it may hold at most; 0 without `max_bytes`.
    pub(crate) reserved_bytes: AtomicU64,
    pub(crate) consumers: AtomicU64,
}

impl StreamEntry {
    pub(crate) fn new(
        name: String,
        group: GroupId,
        storage: Storage,
        shard: Arc<ShardQueue>,
    ) -> Self {
        Self {
            name,
            group,
            shard,
            storage,
            leads: AtomicBool::new(false),
            allow_direct: AtomicBool::new(false),
            usage: StreamUsage::default(),
            refusals: Refusals::default(),
        }
    }

    /// Tells whether this node serves the stream.
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Ordering::Acquire)
    }

    pub(crate) fn answers_direct_gets(&self) -> bool {
        self.allow_direct.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for StreamEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEntry")
            .field("name", &self.name)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
