//! Making and opening the stores of streams.

use std::path::PathBuf;
use std::sync::Arc;

use hitherto_jetstream::{GroupId, TableCache};
use hitherto_platform::Disk;
use hitherto_storage::{BlockCache, Error, Manifest, StreamStore, StreamStoreOptions};

use super::freezing::IndexBudget;
use super::stream_dirs;

/// Blocks read from disk that are kept in memory for all streams: 64 MiB.
const BLOCK_CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of one stream in memory at which they are written to its segments: 8 MiB.
pub(crate) const TAIL_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Where the streams lie, and how they are kept.
pub(crate) struct Stores {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) streams_dir: PathBuf,
    /// Pages of the indexes' tables, for all streams.
    pub(crate) tables: TableCache,
    pub(crate) index_budget: IndexBudget,
    options: StreamStoreOptions,
}

impl Stores {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        streams_dir: PathBuf,
        index_budget: IndexBudget,
    ) -> Self {
        Self {
            disk,
            streams_dir,
            tables: TableCache::default(),
            index_budget,
            options: StreamStoreOptions {
                cache: BlockCache::new(BLOCK_CACHE_BYTES),
                ..StreamStoreOptions::default()
            },
        }
    }

    /// A store without messages.
    pub(crate) fn create(&self, group: GroupId) -> Result<StreamStore, Error> {
        let dir = stream_dirs::path(&self.streams_dir, group);
        StreamStore::create(Arc::clone(&self.disk), &dir, self.options.clone())
    }

    /// The store a checkpoint describes.
    pub(crate) fn open(&self, group: GroupId, manifest: Manifest) -> Result<StreamStore, Error> {
        let dir = stream_dirs::path(&self.streams_dir, group);
        StreamStore::open(Arc::clone(&self.disk), &dir, self.options.clone(), manifest)
    }
}
