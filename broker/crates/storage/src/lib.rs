//! What survives a crash: the write-ahead log, the message bodies, the checkpoints.
//!
//! * [`Wal`]: one log per node. A batch is durable when [`Wal::append`] returns, and only then may
//!   anything be acknowledged.
//! * [`StreamStore`]: the message bodies of one stream, written behind in large immutable segments.
//!   It may lag behind the log; what it lacks is replayed.
//! * [`Checkpoints`]: per group, how far the state machine had come and which segments belong to
//!   it. Recovery is the checkpoint plus a replay of the log behind it.
//!
//! All three reach the disk through [`hitherto_platform::Disk`], all calls block, and none retries.
//! Damage is reported with file and offset ([`Error::Damaged`]); nothing is ever repaired by
//! cutting away what somebody may have been promised. The crate knows neither what the log's
//! entries say nor how they are replicated, and must not know tokio, `cluster` or `broker`.
//!
//! # Examples
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use hitherto_jetstream::{GroupId, LogIndex};
//! use hitherto_platform::FaultyDisk;
//! use hitherto_storage::{Wal, WalEntry, WalOptions};
//!
//! # fn main() -> Result<(), hitherto_storage::Error> {
//! let disk = FaultyDisk::new();
//! let (mut wal, replay) = Wal::open(Arc::new(disk.clone()), Path::new("/wal"), WalOptions::default())?;
//! assert_eq!(replay.count(), 0);
//! wal.append(&[WalEntry::plain(GroupId(1), LogIndex(1), b"first")])?;
//!
//! disk.crash();
//! let (_, replay) = Wal::open(Arc::new(disk), Path::new("/wal"), WalOptions::default())?;
//! let entries: Result<Vec<_>, _> = replay.collect();
//! assert_eq!(entries?[0].body, "first");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod checkpoints;
mod error;
mod files;
mod stream_store;
mod wal;

pub use checkpoints::{Checkpoint, Checkpoints, StoreId};
pub use error::Error;
pub use stream_store::{
    BlockCache, Finding, Manifest, MergeTables, MergedFile, Metas, PendingCheckpoint, Rewrite,
    Rewritten, SegmentFile, Shred, StreamStore, StreamStoreOptions,
};
pub use wal::{
    Entry, EntryKind, Replay, UNSYNCED_BYTES_MAX, Wal, WalEntry, WalFileReader, WalFileSummary,
    WalOptions, WalPosition, WalRange, WalReader, WalSummary,
};
