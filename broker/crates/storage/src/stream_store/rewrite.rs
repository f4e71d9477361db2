//! Writing a segment anew without what was removed from it: to get the room back when most of it is
//! dead, and to make erased messages unreadable for good.
//!
//! A rewrite is a new file beside the old one, made and synced on any thread from what is removed *and
//! committed*. The store then names the new file; its next checkpoint makes that durable, and only
//! after it the old file goes. A crash anywhere before leaves the old file in use. The old file of a
//! segment that held erased messages is overwritten before it is removed.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hitherto_jetstream::{StoredMessage, StreamSeq};
use hitherto_platform::{Disk, OpenMode};

use super::block::{self, BlockHeader, Packing};
use super::block_index::BlockRef;
use super::deletes::DeleteSet;
use super::manifest::SegmentRecord;
use super::segment::Segment;
use super::{StreamStore, WRITE_BYTES, record};
use crate::Error;
use crate::files;

/// A segment to write anew. Does not need its store.
pub struct Rewrite {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    record: SegmentRecord,
    floor: StreamSeq,
    removed: DeleteSet,
    block_bytes: usize,
    packing: Packing,
    erases: bool,
}

/// A segment that was written anew, for [`StreamStore::finish_rewrite`].
#[derive(Debug)]
pub struct Rewritten {
    old: SegmentRecord,
    new: SegmentRecord,
}

/// A file that nobody names any more and whose bytes must not be found again.
#[derive(Debug)]
pub struct Shred {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl StreamStore {
    /// Removes one message, if it is there, and has its bytes overwritten: in memory now, in a segment
    /// by the next [`StreamStore::begin_rewrite`] and what follows it.
    pub fn erase(&mut self, seq: StreamSeq) {
        if self.is_removed(seq) || seq > self.last_seq {
            return;
        }
        if !self.tail.blank(seq) {
            self.erasing.insert(seq.0);
        }
        self.remove(seq);
    }

    /// Begins to write the next segment anew that is worth it: one with messages to erase, or a complete
    /// one of which half or more is dead. `None` when there is none, or one is under way. It ends with
    /// [`StreamStore::finish_rewrite`].
    pub fn begin_rewrite(&mut self) -> Option<Rewrite> {
        if self.rewriting.is_some() {
            return None;
        }
        let rewrite = self
            .segments
            .iter()
            .filter(|segment| segment.record.sealed)
            .filter(|segment| !self.unrewritable.contains(&segment.record.first_seq.0))
            .find_map(|segment| self.rewrite(&segment.record))?;
        let new = rewrite.new_record();
        self.rewriting = Some((new.first_seq.0, new.rewrites));
        Some(rewrite)
    }

    /// Puts a segment that was written anew in the place of the old one, unless that is no longer
    /// there. After a failure the old one stays, and if it is damaged it is left alone until the store is
    /// opened again. Tells whether the store uses the new file.
    pub fn finish_rewrite(
        &mut self,
        rewrite: &Rewrite,
        outcome: Result<Option<Rewritten>, Error>,
    ) -> bool {
        self.rewriting = None;
        // Whatever became of it, one of the two files is superfluous.
        self.sweep = true;
        match outcome {
            Ok(Some(rewritten)) => self.take_rewrite(rewrite, &rewritten),
            Err(Error::Damaged { .. }) => {
                self.unrewritable.insert(rewrite.record.first_seq.0);
                false
            }
            // No room, too many open files, or no time: later it may work.
            Ok(None) | Err(_) => false,
        }
    }

    fn take_rewrite(&mut self, rewrite: &Rewrite, rewritten: &Rewritten) -> bool {
        let Rewritten { old, mut new } = *rewritten;
        let Some(place) = self.segments.iter().position(|s| s.record == old) else {
            return false;
        };
        // Also messages erased since the rewrite began: the old file has them, and so has the new one, which
        // is written anew in its turn.
        let range = range(&old);
        new.shred_before |= self.erasing.range(range.clone()).next().is_some();
        self.erasing
            .retain(|seq| !range.contains(seq) || !rewrite.leaves_out(StreamSeq(*seq)));
        self.segments[place] = Segment::rewritten(&self.shared.dir, new);
        // Blocks are known by their place in a file, which is another one now.
        self.options.cache.forget(self.cache_id);
        self.cache_id = self.options.cache.register();
        true
    }

    /// The files whose bytes are to be overwritten before they go.
    pub fn take_shreds(&mut self) -> Vec<Shred> {
        let shred = |path| Shred {
            disk: self.shared.disk.clone(),
            path,
        };
        std::mem::take(&mut self.shreds)
            .into_iter()
            .map(shred)
            .collect()
    }

    /// Takes back files that were not overwritten after all.
    pub fn return_shreds(&mut self, shreds: Vec<Shred>) {
        let paths = shreds.into_iter().map(|shred| shred.path);
        self.shreds.extend(paths);
    }

    /// Completes the open segment when it holds messages to erase: only complete ones are rewritten.
    pub(super) fn seal_for_erasure(&mut self) -> Result<(), Error> {
        let erasing = &self.erasing;
        let holds = |segment: &&mut Segment| {
            !segment.record.sealed && erasing.range(range(&segment.record)).next().is_some()
        };
        match self.segments.last_mut().filter(holds) {
            Some(segment) => segment.seal(&*self.shared.disk),
            None => Ok(()),
        }
    }

    fn rewrite(&self, record: &SegmentRecord) -> Option<Rewrite> {
        let erases = self.erasing.range(range(record)).next().is_some();
        let live = super::live_in(record, self.floor, &self.deletes);
        let dead = record.count.saturating_sub(live);
        let is_mostly_dead = record.count > 0 && dead.saturating_mul(2) >= record.count;
        // Of a segment that is dead as a whole nothing is kept: the next checkpoint drops it.
        let is_wanted = (erases || is_mostly_dead) && live > 0;
        is_wanted.then(|| Rewrite {
            disk: self.shared.disk.clone(),
            dir: self.shared.dir.clone(),
            record: *record,
            floor: self.floor,
            removed: self.deletes.clone(),
            block_bytes: self.options.block_bytes,
            packing: self.packing(),
            erases: erases || record.shred_before,
        })
    }
}

impl Rewrite {
    /// Writes the new file and makes it durable. `pace` gets the number of bytes of each read and
    /// write, may wait, and ends the rewrite with `false`; then there is no result.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`], or [`Error::Damaged`] when the old file is: what is damaged is not
    /// thrown away.
    pub fn run(&self, pace: &mut dyn FnMut(u64) -> bool) -> Result<Option<Rewritten>, Error> {
        let written = self.write(pace);
        if !matches!(written, Ok(Some(_))) {
            // Nobody names it. If this fails the next sweep removes it.
            self.disk
                .remove_file(&self.new_record().path(&self.dir))
                .ok();
        }
        written
    }

    /// Tells whether the new file is made without this message.
    fn leaves_out(&self, seq: StreamSeq) -> bool {
        seq <= self.floor || self.removed.contains(seq.0)
    }

    /// The sequences of the segment.
    pub fn sequences(&self) -> RangeInclusive<u64> {
        range(&self.record)
    }

    fn new_record(&self) -> SegmentRecord {
        SegmentRecord {
            count: 0,
            len: 0,
            sealed: false,
            rewrites: self.record.rewrites + 1,
            shred_before: self.erases,
            ..self.record
        }
    }

    fn write(&self, pace: &mut dyn FnMut(u64) -> bool) -> Result<Option<Rewritten>, Error> {
        let disk = &*self.disk;
        let old = Segment::open(disk, &self.dir, self.record)?;
        let mut new = Segment::rewritten(&self.dir, self.new_record());
        let mut blocks = Blocks::default();
        let reader = old.reader(disk)?;
        for at in old.index(disk)? {
            let read = reader.read(at)?;
            for place in 0..read.len() {
                let message = read
                    .message(place)
                    .map_err(|what| old.damaged(at.offset, what))?;
                if !self.leaves_out(message.seq) {
                    blocks.push(message, self.block_bytes, self.packing);
                }
            }
            if !pace(u64::from(at.len)) {
                return Ok(None);
            }
            if blocks.bytes.len() >= WRITE_BYTES && !self.append(&mut new, &mut blocks, pace)? {
                return Ok(None);
            }
        }
        blocks.complete(self.packing);
        if !self.append(&mut new, &mut blocks, pace)? {
            return Ok(None);
        }
        new.seal(disk)?;
        if let Some(file) = new.unsynced() {
            file.sync(new.record.len)?;
        }
        files::sync_dir(disk, &self.dir)?;
        Ok(Some(Rewritten {
            old: self.record,
            new: new.record,
        }))
    }

    fn append(
        &self,
        new: &mut Segment,
        blocks: &mut Blocks,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, Error> {
        let last_seq = new.record.last_seq;
        let mut bytes = new.head();
        let start = new.record.len + bytes.len() as u64;
        bytes.append(&mut blocks.bytes);
        let mut refs = std::mem::take(&mut blocks.refs);
        for block in &mut refs {
            block.offset += start;
        }
        new.append(&*self.disk, &bytes, &refs, last_seq)?;
        Ok(pace(bytes.len() as u64))
    }
}

impl Shred {
    /// Overwrites the file with zeros, makes that durable, and removes it. One that is gone already is
    /// fine.
    ///
    /// # Errors
    /// [`Error::Io`]; the file may be there still.
    pub fn run(&self) -> Result<(), Error> {
        let Self { disk, path } = self;
        let failed = |error| Error::io("overwrite", path, error);
        let file = match disk.open(path, OpenMode::ReadWrite) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        let (len, zeros, mut offset) = (file.len().map_err(failed)?, vec![0; WRITE_BYTES], 0);
        while offset < len {
            let rest = usize::try_from(len - offset).unwrap_or(usize::MAX);
            file.write_at(&zeros[..rest.min(WRITE_BYTES)], offset)
                .map_err(failed)?;
            offset += WRITE_BYTES as u64;
        }
        file.sync_data().map_err(failed)?;
        disk.remove_file(path)
            .map_err(|error| Error::io("remove", path, error))
    }
}

/// Messages on their way into blocks, cut as the tail cuts them.
#[derive(Default)]
struct Blocks {
    open: Vec<StoredMessage>,
    open_bytes: usize,
    /// Complete blocks, and where they are in `bytes`.
    bytes: Vec<u8>,
    refs: Vec<BlockRef>,
}

impl Blocks {
    fn push(&mut self, message: StoredMessage, block_bytes: usize, packing: Packing) {
        self.open_bytes += record::len(&message);
        self.open.push(message);
        if self.open_bytes >= block_bytes {
            self.complete(packing);
        }
    }

    fn complete(&mut self, packing: Packing) {
        if self.open.is_empty() {
            return;
        }
        let start = self.bytes.len();
        block::encode(&mut self.bytes, self.open.iter(), packing);
        let header = BlockHeader::decode(&self.bytes[start..]).expect("was encoded just now");
        self.refs.push(BlockRef::new(&header, start as u64));
        self.open.clear();
        self.open_bytes = 0;
    }
}

fn range(record: &SegmentRecord) -> RangeInclusive<u64> {
    record.first_seq.0..=record.last_seq.0
}

/// The segment file a name stands for: its first sequence, and how often it was rewritten.
pub(super) fn parse_name(name: &str) -> Option<(u64, u32)> {
    let middle = name.strip_prefix("seg-")?.strip_suffix(".dat")?;
    match middle.split_once('-') {
        None => Some((middle.parse().ok()?, 0)),
        Some((first, rewrites)) => Some((first.parse().ok()?, rewrites.parse().ok()?)),
    }
}

/// The segments a manifest names and those of the store, by file name.
pub(super) fn names<'a>(records: impl Iterator<Item = &'a SegmentRecord>) -> BTreeSet<(u64, u32)> {
    records
        .map(|record| (record.first_seq.0, record.rewrites))
        .collect()
}

impl SegmentRecord {
    /// The file of the segment.
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        match self.rewrites {
            0 => super::segment_path(dir, self.first_seq),
            rewrites => dir.join(format!("seg-{:020}-{rewrites}.dat", self.first_seq.0)),
        }
    }
}

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewrite")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
