//! What a checkpoint says about the bodies of a stream.

use std::collections::BTreeSet;

use bytes::Bytes;
use hitherto_jetstream::StreamSeq;
use serde::{Deserialize, Serialize};

use super::deletes::DeleteSet;
use super::tables::TablesRecord;

/// The manifest this release reads, and with it the format of the segments it names: blocks with summaries,
/// records with checksums of their own.
pub(super) const VERSION: u32 = 4;

/// The segments of a stream with the lengths that are durable, and what is removed from them.
///
/// Everything in the directory that is not named here, or lies beyond a named length, is not
/// trusted; the log replays it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub(super) version: u32,
    /// In order of sequence; only the last may be unsealed.
    pub(super) segments: Vec<SegmentRecord>,
    /// Messages that do not fill a block yet, as a block; empty when there are none. Less than
    /// [`block_bytes`](super::StreamStoreOptions::block_bytes), so it may live here.
    pub(super) open_block: Bytes,
    /// Everything up to here is removed.
    pub(super) floor: StreamSeq,
    /// Those that never were included.
    pub(super) deletes: DeleteSet,
    /// Removed messages whose bytes are to be overwritten.
    #[serde(default)]
    pub(super) erasing: BTreeSet<u64>,
    /// First sequences of segments that are named no more, held erased messages, and whose files are to be
    /// overwritten before they go.
    #[serde(default)]
    pub(super) dropped_erased: BTreeSet<u64>,
    /// The last sequence ever appended; 0 when there is none.
    pub(super) last_seq: StreamSeq,
    /// The tables of the index.
    #[serde(default)]
    pub(super) tables: TablesRecord,
}

/// One segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentRecord {
    pub(super) first_seq: StreamSeq,
    pub(super) last_seq: StreamSeq,
    pub(super) count: u64,
    /// Durable bytes of the file.
    pub(super) len: u64,
    /// Whether the file is complete and ends with its footer.
    pub(super) sealed: bool,
    /// How often it was written anew; each time under another name.
    #[serde(default)]
    pub(super) rewrites: u32,
    /// Whether the file before the last rewrite must be overwritten before it is removed.
    #[serde(default)]
    pub(super) shred_before: bool,
}

impl Manifest {
    /// Returns the last sequence ever appended; 0 when there is none.
    pub fn last_seq(&self) -> StreamSeq {
        self.last_seq
    }

    /// Returns the bytes the named segments take on disk.
    pub fn stored_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Returns how many segments are named.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }
}
