//! The message bodies of one stream: the newest in memory, the rest in immutable segments.
//!
//! The owner appends what the state machine hands out, flushes when the tail has grown, and makes
//! a checkpoint now and then. Nothing here is on the path of an acknowledgement: until a
//! checkpoint names a message, the log still has it.
//!
//! Where blocks and segments end depends on the sizes of the messages alone, never on when
//! somebody flushed, so that replicas hold the same segments. Messages too few for a block are
//! never written as a shorter one; a checkpoint carries them in its manifest.
//!
//! Memory: the tail, the shared block cache, 40 bytes per block of the segments read so far, and one
//! bit per message at most for single deletes. Open files: the segment being written, those not
//! synced yet, the tables of the index, and the few the cache holds.
//!
//! Removed messages: everything up to the floor, and a set of single ones. A segment of which
//! nothing is left is dropped from the next manifest, and its file is removed after that manifest
//! was saved ([`StreamStore::checkpoint_saved`]): until then recovery may need it.

mod block;
mod block_index;
mod cache;
mod checkpoint;
mod deletes;
mod manifest;
mod metas;
mod places;
mod reading;
mod record;
mod rewrite;
mod segment;
mod segment_reader;
mod summary;
mod tables;
mod tail;
mod unreadable;
mod verify;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use bytes::Bytes;
use hitherto_jetstream::{StoredMessage, StreamSeq};
use hitherto_platform::Disk;

use self::block::{Block, BlockHeader, Packing};
use self::block_index::BlockRef;
use self::checkpoint::Shared;
use self::deletes::DeleteSet;
use self::manifest::SegmentRecord;
use self::segment::{Segment, segment_path};
use self::tables::Tables;
use self::tail::Tail;
use crate::Error;
use crate::files;

pub use self::cache::BlockCache;
pub use self::checkpoint::PendingCheckpoint;
pub use self::manifest::Manifest;
pub use self::metas::Metas;
pub use self::rewrite::{Rewrite, Rewritten, Shred};
pub use self::tables::{MergeTables, MergedFile};
pub use self::verify::{Finding, SegmentFile};

/// The largest gap in the sequences that is noted one by one: 16 Mi, some 256 KiB of memory. Only a purge that
/// moves the end of a stream makes a larger one, and it leaves no messages before it unless it is told to.
const GAP_SEQS_MAX: u64 = 16 * 1024 * 1024;

/// Blocks are gathered into writes of about this many bytes: 1 MiB.
const WRITE_BYTES: usize = 1024 * 1024;

/// How to keep the bodies of a stream. The sizes decide where segments and blocks end; replicas
/// of a stream must agree on them.
#[derive(Debug, Clone)]
pub struct StreamStoreOptions {
    /// A segment that reached this size is completed; 16 MiB.
    pub segment_bytes: u64,
    /// A block that reached this size is completed; 64 KiB.
    pub block_bytes: usize,
    /// Whether blocks are compressed from now on; see [`StreamStore::set_compression`].
    pub compression: bool,
    /// Where blocks read from disk are kept; share one between the stores of a node.
    pub cache: BlockCache,
}

impl Default for StreamStoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 16 * 1024 * 1024,
            block_bytes: 64 * 1024,
            compression: false,
            cache: BlockCache::default(),
        }
    }
}

/// The message bodies of one stream. Belongs to one thread.
#[derive(Debug)]
pub struct StreamStore {
    shared: Arc<Shared>,
    options: StreamStoreOptions,
    /// Distinguishes this store in the shared cache.
    cache_id: u64,
    tail: Tail,
    /// In order of sequence; only the last may be unsealed.
    segments: Vec<Segment>,
    /// Everything up to here is removed.
    floor: StreamSeq,
    deletes: DeleteSet,
    /// Removed messages whose bytes still are in a segment and are to be overwritten.
    erasing: BTreeSet<u64>,
    /// First sequences of segments that could not be rewritten.
    unrewritable: BTreeSet<u64>,
    /// The file a rewrite under way makes. No sweep may take it.
    rewriting: Option<(u64, u32)>,
    /// First sequences of dropped segments that held erased messages, as long as their files may be there.
    dropped_erased: BTreeSet<u64>,
    /// Old files that held erased messages.
    shreds: Vec<PathBuf>,
    last_seq: StreamSeq,
    /// The sequence that was read from a segment last.
    last_read: AtomicU64,
    /// Segments and tables created since the store was opened.
    created: u64,
    /// Of the stream's index.
    tables: Tables,
    /// Whether the directory may hold files that no manifest will name again.
    sweep: bool,
}

impl StreamStore {
    /// Creates an empty store. Segments that an earlier life left in the directory are ignored,
    /// overwritten, and removed after the first checkpoint.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Io`] when the directory cannot be made.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: StreamStoreOptions,
    ) -> Result<Self, Error> {
        files::create_dir(&*disk, dir)?;
        let shared = Shared {
            disk,
            dir: dir.to_owned(),
            poisoned: AtomicBool::new(false),
            names_synced: AtomicU64::new(0),
        };
        Ok(Self {
            shared: Arc::new(shared),
            cache_id: options.cache.register(),
            tail: Tail::new(options.block_bytes),
            options,
            segments: Vec::new(),
            floor: StreamSeq(0),
            deletes: DeleteSet::default(),
            erasing: BTreeSet::new(),
            unrewritable: BTreeSet::new(),
            rewriting: None,
            dropped_erased: BTreeSet::new(),
            shreds: Vec::new(),
            last_seq: StreamSeq(0),
            last_read: AtomicU64::new(u64::MAX),
            created: 0,
            tables: Tables::default(),
            sweep: true,
        })
    }

    /// Opens the store as a checkpoint left it. What was appended since is not there, also if it
    /// had been flushed: the log replays it.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a named segment is missing or too short, [`Error::NewerFormat`],
    /// [`Error::OlderFormat`], [`Error::Io`]. Blocks are verified when they are read.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: StreamStoreOptions,
        manifest: Manifest,
    ) -> Result<Self, Error> {
        files::check_format(dir, manifest.version, manifest::VERSION)?;
        let mut store = Self::create(disk, dir, options)?;
        for record in manifest.segments {
            store
                .segments
                .push(Segment::open(&*store.shared.disk, dir, record)?);
        }
        if !manifest.open_block.is_empty() {
            let damaged = |what| Error::damaged(dir, 0, what);
            let block = Block::decode(manifest.open_block).map_err(damaged)?;
            for record in 0..block.len() {
                store.tail.push(block.message(record).map_err(damaged)?);
            }
        }
        store.floor = manifest.floor;
        store.deletes = manifest.deletes;
        store.erasing = manifest.erasing;
        store.dropped_erased = manifest.dropped_erased;
        store.last_seq = manifest.last_seq;
        store.tables = Tables::new(manifest.tables);
        Ok(store)
    }

    /// Appends a message to the tail.
    ///
    /// # Panics
    /// When its sequence is not beyond [`StreamStore::last_seq`]: the state machine that counts
    /// would be broken, and storing more could only spread the damage.
    pub fn append(&mut self, message: StoredMessage) {
        assert!(
            message.seq > self.last_seq,
            "message {} is appended after {}",
            message.seq,
            self.last_seq
        );
        self.pass_over(message.seq.previous());
        self.last_seq = message.seq;
        self.tail.push(message);
    }

    /// Counts the sequences behind the last one, up to and including this one, as removed: they never were,
    /// and neither the floor nor the end of a segment may wait for them.
    fn pass_over(&mut self, seq: StreamSeq) {
        if seq <= self.last_seq {
            return;
        }
        if self.floor == self.last_seq {
            self.raise_floor(seq);
        } else if seq.0 - self.last_seq.0 <= GAP_SEQS_MAX {
            self.deletes.insert_range(self.last_seq.0 + 1..=seq.0);
        }
    }

    /// Removes one message, if it is there.
    pub fn remove(&mut self, seq: StreamSeq) {
        self.remove_range(seq.0..=seq.0);
    }

    /// Removes the messages of a range, as [`StreamStore::remove`] does each. At the old end of the stream it
    /// takes no memory, however many they are.
    pub fn remove_range(&mut self, range: RangeInclusive<u64>) {
        let (first, last) = range.into_inner();
        let last = last.min(self.last_seq.0);
        if last <= self.floor.0 {
            return;
        }
        if first <= self.floor.0 + 1 {
            self.raise_floor(StreamSeq(last));
            return;
        }
        for seq in first..=last {
            self.deletes.insert(seq);
        }
    }

    /// Removes every message up to and including `seq`.
    pub fn remove_through(&mut self, seq: StreamSeq) {
        if seq > self.floor {
            self.raise_floor(seq);
        }
    }

    /// Returns the last sequence ever appended; 0 when there is none.
    pub fn last_seq(&self) -> StreamSeq {
        self.last_seq
    }

    /// Says whether blocks written from now on are compressed. Those written before stay as they are
    /// until their segment is written anew.
    pub fn set_compression(&mut self, compression: bool) {
        self.options.compression = compression;
    }

    /// Returns about how many bytes the messages in memory take. The owner keeps it bounded by
    /// flushing; less than a block may stay.
    pub fn tail_bytes(&self) -> u64 {
        self.tail.bytes()
    }

    /// Writes the complete blocks of the tail to segments and frees them. Syncs nothing.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Io`]: what was not written stays in the tail, and a later flush
    /// tries again. [`Error::Poisoned`] after a failed sync.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.shared.check_poisoned()?;
        self.tail.drop_dead_blocks(self.floor);
        loop {
            if let Some(last) = self.segments.last_mut().filter(|last| !last.record.sealed)
                && last.is_full(self.options.segment_bytes)
            {
                last.seal(&*self.shared.disk)?;
            }
            if !self.flush_blocks()? {
                return Ok(());
            }
        }
    }

    /// Flushes and describes the store as it is now. The syncs are left to the result, which may
    /// go to another thread while this one goes on.
    ///
    /// # Errors
    /// As [`StreamStore::flush`].
    pub fn prepare_checkpoint(&mut self) -> Result<PendingCheckpoint, Error> {
        self.flush()?;
        self.seal_for_erasure()?;
        self.drop_dead_segments();
        let mut open_block = Vec::new();
        let messages = self.tail.open_block();
        if messages.len() > 0 {
            block::encode(&mut open_block, messages, Packing::Plain);
        }
        let unsynced = self.segments.iter_mut().filter_map(|segment| {
            segment.close_if_done();
            Some((segment.unsynced()?, segment.record.len))
        });
        Ok(PendingCheckpoint {
            unsynced: unsynced.collect(),
            tables: self.tables.unsynced(),
            manifest: Manifest {
                version: manifest::VERSION,
                segments: self.segments.iter().map(|segment| segment.record).collect(),
                open_block: Bytes::from(open_block),
                floor: self.floor,
                deletes: self.deletes.clone(),
                erasing: self.erasing.clone(),
                dropped_erased: self.dropped_erased.clone(),
                last_seq: self.last_seq,
                tables: self.tables.record(),
            },
            created: self.created,
            shared: self.shared.clone(),
        })
    }

    /// Removes the files that nobody needs any more. Call it only after `manifest` has been saved
    /// durably: recovery from an older one would miss them.
    ///
    /// # Errors
    /// [`Error::Io`]; what is left is removed after the next checkpoint.
    pub fn checkpoint_saved(&mut self, manifest: &Manifest) -> Result<(), Error> {
        if !self.sweep {
            return Ok(());
        }
        let live = self.segments.iter().map(|segment| &segment.record);
        let needed = rewrite::names(manifest.segments.iter().chain(live));
        let erased = self.segments.iter().map(|segment| &segment.record);
        let erased = rewrite::names(erased.filter(|record| record.shred_before));
        self.options.cache.close_files(self.cache_id);
        let Shared { disk, dir, .. } = &*self.shared;
        let (mut to_shred, mut dropped_erased) = (Vec::new(), BTreeSet::new());
        for name in files::list(&**disk, dir)? {
            if let Some(number) = tables::parse_name(&name)
                && !self.tables.needs(number, manifest)
            {
                let path = dir.join(&name);
                disk.remove_file(&path)
                    .map_err(|error| Error::io("remove", &path, error))?;
            }
            let Some(file) = rewrite::parse_name(&name) else {
                continue;
            };
            if needed.contains(&file) || self.rewriting == Some(file) {
                continue;
            }
            let path = dir.join(&name);
            let held_erased = |live: &(u64, u32)| live.0 == file.0 && live.1 > file.1;
            let is_dropped = self.dropped_erased.contains(&file.0);
            if is_dropped {
                dropped_erased.insert(file.0);
            }
            if is_dropped || erased.iter().any(held_erased) {
                to_shred.push(path);
                continue;
            }
            disk.remove_file(&path)
                .map_err(|error| Error::io("remove", &path, error))?;
        }
        // Segments that died since are named by this manifest and wait for the next. Those not overwritten
        // yet are looked for again, in case whoever does it fails.
        self.sweep = needed.len() > self.segments.len()
            || !to_shred.is_empty()
            || self.tables.has_superfluous(manifest);
        let still_needed = |first: &u64| needed.iter().any(|file| file.0 == *first);
        self.dropped_erased
            .retain(|first| dropped_erased.contains(first) || still_needed(first));
        self.shreds = to_shred;
        Ok(())
    }

    /// Deletes the store with all its messages.
    ///
    /// # Errors
    /// [`Error::Io`]; part of the files may be gone then.
    pub fn delete(self) -> Result<(), Error> {
        let Shared { disk, dir, .. } = &*self.shared;
        disk.remove_dir_all(dir)
            .map_err(|error| Error::io("remove", dir, error))?;
        files::sync_dir(&**disk, dir.parent().unwrap_or(Path::new("")))
    }

    fn packing(&self) -> Packing {
        match self.options.compression {
            true => Packing::Lz4,
            false => Packing::Plain,
        }
    }

    fn is_removed(&self, seq: StreamSeq) -> bool {
        seq <= self.floor || self.deletes.contains(seq.0)
    }

    /// Writes complete blocks with one write, as many as fit it and the segment; false when there
    /// are none.
    fn flush_blocks(&mut self) -> Result<bool, Error> {
        let Some(first) = self.tail.block(0, 0).and_then(|mut block| block.next()) else {
            return Ok(false);
        };
        let mut created = None;
        let packing = self.packing();
        let segment = match self.segments.last_mut().filter(|last| !last.record.sealed) {
            Some(segment) => segment,
            None => created.insert(Segment::create(&self.shared.dir, first.seq)),
        };
        let mut bytes = segment.head();
        let (mut blocks, mut messages, mut last_seq) = (Vec::new(), 0, first.seq);
        let room = self
            .options
            .segment_bytes
            .saturating_sub(segment.record.len);
        while bytes.len() < WRITE_BYTES && (blocks.is_empty() || (bytes.len() as u64) < room) {
            let Some(block) = self.tail.block(blocks.len(), messages) else {
                break;
            };
            let start = bytes.len();
            messages += block.len();
            block::encode(&mut bytes, block, packing);
            let header = BlockHeader::decode(&bytes[start..]).expect("was encoded just now");
            blocks.push(BlockRef::new(&header, segment.record.len + start as u64));
            last_seq = header.last_seq;
        }
        segment.append(&*self.shared.disk, &bytes, &blocks, last_seq)?;
        self.tail.drop_blocks(blocks.len());
        // A segment joins the list only with its first messages: until then the tail has them.
        self.created += u64::from(created.is_some());
        self.segments.extend(created);
        Ok(true)
    }

    /// Raises the floor to `seq`, and over the single deletes that follow it.
    fn raise_floor(&mut self, seq: StreamSeq) {
        self.floor = seq;
        while self.deletes.contains(self.floor.0 + 1) {
            self.floor.0 += 1;
        }
        self.deletes.forget_below(self.floor.0);
    }

    /// Forgets the complete segments of which nothing is left.
    fn drop_dead_segments(&mut self) {
        let (floor, before) = (self.floor, self.segments.len());
        let (deletes, erasing) = (&self.deletes, &mut self.erasing);
        let dropped = self.segments.extract_if(.., |segment| {
            let record = &segment.record;
            record.sealed && live_in(record, floor, deletes) == 0
        });
        for Segment { record, .. } in dropped {
            let all = erasing.len();
            erasing.retain(|seq| !(record.first_seq.0..=record.last_seq.0).contains(seq));
            if erasing.len() < all || record.shred_before {
                self.dropped_erased.insert(record.first_seq.0);
            }
        }
        self.sweep |= self.segments.len() < before;
    }
}

/// How many messages of a segment are not removed; more where a gap was too large to note.
fn live_in(record: &SegmentRecord, floor: StreamSeq, deletes: &DeleteSet) -> u64 {
    let (first, last) = (record.first_seq.0.max(floor.0 + 1), record.last_seq.0);
    match first <= last {
        true => last - first + 1 - deletes.count_in(first..=last),
        false => 0,
    }
}

/// Whoever drops a store may be about to remove its files.
impl Drop for StreamStore {
    fn drop(&mut self) {
        self.options.cache.forget(self.cache_id);
    }
}

#[cfg(test)]
mod tests;
