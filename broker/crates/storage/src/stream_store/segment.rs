//! The segment file: a header, blocks, and once complete a footer with the index of the blocks.
//!
//! ```text
//! header (28 bytes)  magic u64, version u32, reserved u32, first seq u64, crc u32
//! blocks             see `block.rs`
//! footer             see `block_index.rs`
//! ```
//! A segment is written once, front to back. Only the last one of a stream lacks its footer.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use hitherto_jetstream::StreamSeq;
use hitherto_platform::{Disk, DiskFile, OpenMode};

use super::block_index::{self, BlockRef};
use super::manifest::SegmentRecord;
use super::segment_reader::SegmentReader;
use crate::Error;
use crate::files::{self, u32_at, u64_at};

pub(super) const HEADER_BYTES: usize = 28;
const HEADER_MAGIC: u64 = u64::from_le_bytes(*b"HITHSEG\0");
const VERSION: u32 = 2;

/// A segment as its owner sees it.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) record: SegmentRecord,
    path: PathBuf,
    /// Held while the file is written or not yet synced. Later reads use another handle, of which
    /// there are few, so that open files do not grow with the stream.
    file: Option<Arc<OpenSegment>>,
    /// Read at first use.
    index: OnceLock<Vec<BlockRef>>,
    /// Whether the file may hold bytes of an earlier life behind `record.len`.
    stale_end: bool,
}

/// The open file of a segment, shared with the checkpoints that sync it.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// The length known to be durable.
    synced_len: AtomicU64,
}

impl OpenSegment {
    /// Makes the file durable up to `len`, which is already written.
    pub(super) fn sync(&self, len: u64) -> Result<(), Error> {
        if self.synced_len.load(Ordering::Acquire) < len {
            self.file
                .sync_data()
                .map_err(|error| Error::io("sync", &self.path, error))?;
            self.synced_len.fetch_max(len, Ordering::AcqRel);
        }
        Ok(())
    }
}

pub(super) fn segment_path(dir: &Path, first_seq: StreamSeq) -> PathBuf {
    dir.join(format!("seg-{:020}.dat", first_seq.0))
}

impl Segment {
    /// Starts a segment. Nothing is on disk until blocks are appended.
    pub(super) fn create(dir: &Path, first_seq: StreamSeq) -> Self {
        Self {
            record: SegmentRecord {
                first_seq,
                last_seq: first_seq,
                count: 0,
                len: 0,
                sealed: false,
                rewrites: 0,
                shred_before: false,
            },
            path: segment_path(dir, first_seq),
            file: None,
            index: OnceLock::from(Vec::new()),
            stale_end: true,
        }
    }

    /// A segment that is written anew: without a length yet, or complete and durable.
    pub(super) fn rewritten(dir: &Path, record: SegmentRecord) -> Self {
        let index = match record.len {
            0 => OnceLock::from(Vec::new()),
            _ => OnceLock::new(),
        };
        Self {
            record,
            path: record.path(dir),
            file: None,
            index,
            stale_end: true,
        }
    }

    /// Takes up a segment named by a manifest.
    pub(super) fn open(disk: &dyn Disk, dir: &Path, record: SegmentRecord) -> Result<Self, Error> {
        let path = record.path(dir);
        let file = match disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::damaged(&path, 0, "the segment file is missing"));
            }
            Err(error) => return Err(Error::io("open", &path, error)),
        };
        let len = file
            .len()
            .map_err(|error| Error::io("measure", &path, error))?;
        if len < record.len {
            return Err(Error::damaged(
                &path,
                len,
                "the segment file is shorter than it was",
            ));
        }
        let index = OnceLock::new();
        Ok(Self {
            record,
            path,
            file: None,
            index,
            stale_end: true,
        })
    }

    pub(super) fn is_full(&self, segment_bytes: u64) -> bool {
        self.record.len >= segment_bytes
    }

    /// Returns the bytes the next append must begin with: the file header, once.
    pub(super) fn head(&self) -> Vec<u8> {
        if self.record.len > 0 {
            return Vec::new();
        }
        let mut head = Vec::with_capacity(HEADER_BYTES);
        head.extend_from_slice(&HEADER_MAGIC.to_le_bytes());
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&[0; 4]);
        head.extend_from_slice(&self.record.first_seq.0.to_le_bytes());
        let crc = crc32c::crc32c(&head);
        head.extend_from_slice(&crc.to_le_bytes());
        head
    }

    /// Appends encoded blocks with one write; `blocks` have their offsets in the file. On an error
    /// the segment is as before, and the same call may be made again.
    pub(super) fn append(
        &mut self,
        disk: &dyn Disk,
        bytes: &[u8],
        blocks: &[BlockRef],
        last_seq: StreamSeq,
    ) -> Result<(), Error> {
        self.index(disk)?;
        self.write(disk, bytes)?;
        self.record.len += bytes.len() as u64;
        self.record.count += blocks
            .iter()
            .map(|block| u64::from(block.count))
            .sum::<u64>();
        self.record.last_seq = last_seq;
        let index = self.index.get_mut().expect("was loaded above");
        index.extend_from_slice(blocks);
        Ok(())
    }

    /// Completes the segment with its footer.
    pub(super) fn seal(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        let footer = block_index::encode(self.index(disk)?, VERSION, self.record.len);
        self.write(disk, &footer)?;
        self.record.len += footer.len() as u64;
        self.record.sealed = true;
        Ok(())
    }

    /// The file to sync for a checkpoint, `None` when all of it is durable.
    pub(super) fn unsynced(&self) -> Option<Arc<OpenSegment>> {
        let synced =
            |file: &&Arc<OpenSegment>| file.synced_len.load(Ordering::Acquire) < self.record.len;
        self.file.as_ref().filter(synced).cloned()
    }

    /// Closes the file of a complete, durable segment.
    pub(super) fn close_if_done(&mut self) {
        if self.record.sealed && self.unsynced().is_none() {
            self.file = None;
        }
    }

    /// Opens the file for reading, or returns the handle that is held anyway.
    pub(super) fn open_file(&self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>, Error> {
        match &self.file {
            Some(open) => Ok(Arc::clone(&open.file)),
            None => Ok(files::open(disk, &self.path, OpenMode::Read)?.into()),
        }
    }

    /// Opens the segment for reading.
    pub(super) fn reader(&self, disk: &dyn Disk) -> Result<SegmentReader<'_>, Error> {
        Ok(SegmentReader::new(self, self.open_file(disk)?))
    }

    pub(super) fn damaged(&self, offset: u64, what: &'static str) -> Error {
        Error::damaged(&self.path, offset, what)
    }

    /// Returns where the block that may hold `seq` is.
    pub(super) fn find(&self, disk: &dyn Disk, seq: StreamSeq) -> Result<Option<BlockRef>, Error> {
        let found = self.find_range(disk, seq)?;
        Ok(found.map(|(block, _)| block))
    }

    /// Returns the block that holds `seq`, if one does, and the first sequence behind it.
    pub(super) fn find_range(
        &self,
        disk: &dyn Disk,
        seq: StreamSeq,
    ) -> Result<Option<(BlockRef, StreamSeq)>, Error> {
        let index = self.index(disk)?;
        let after = index.partition_point(|block| block.first_seq <= seq);
        // Where one block ends exactly stands in its header, which may be what is damaged.
        let end = index.get(after).map(|next| next.first_seq);
        let end = end.unwrap_or(self.record.last_seq.next());
        Ok(after.checked_sub(1).map(|block| (index[block], end)))
    }

    /// Returns the index of the blocks, reading it if need be.
    pub(super) fn index(&self, disk: &dyn Disk) -> Result<&[BlockRef], Error> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let reader = self.reader(disk)?;
        match self.check_head(&reader) {
            // The blocks say everything once more, and each has a checksum of its own.
            Ok(()) | Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        let index = match self.record.sealed {
            true => block_index::read(&reader)?,
            false => block_index::walk(&reader)?,
        };
        Ok(self.index.get_or_init(|| index))
    }

    /// Verifies what frames the blocks; a segment without either still reads.
    pub(super) fn verify_ends(&self, reader: &SegmentReader<'_>) -> Vec<Error> {
        let footer = match self.record.sealed {
            true => block_index::read_footer(reader).map(drop),
            false => Ok(()),
        };
        [self.check_head(reader), footer]
            .into_iter()
            .filter_map(Result::err)
            .collect()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn check_head(&self, reader: &SegmentReader<'_>) -> Result<(), Error> {
        let mut head = [0; HEADER_BYTES];
        reader.read_exact(&mut head, 0)?;
        let intact = u64_at(&head, 0) == HEADER_MAGIC
            && u64_at(&head, 16) == self.record.first_seq.0
            && u32_at(&head, 24) == crc32c::crc32c(&head[..24]);
        if !intact {
            return Err(self.damaged(0, "the header of the segment is unreadable"));
        }
        files::check_format(&self.path, u32_at(&head, 8), VERSION)
    }

    fn write(&mut self, disk: &dyn Disk, bytes: &[u8]) -> Result<(), Error> {
        let len = self.record.len;
        let open = match &self.file {
            Some(open) => open,
            None => {
                let mode = if len == 0 {
                    OpenMode::Create
                } else {
                    OpenMode::ReadWrite
                };
                let file = files::open(disk, &self.path, mode)?.into();
                // What a manifest named is durable; a new file has nothing yet.
                let (path, synced_len) = (self.path.clone(), AtomicU64::new(len));
                self.file.insert(Arc::new(OpenSegment {
                    path,
                    file,
                    synced_len,
                }))
            }
        };
        if self.stale_end {
            open.file
                .set_len(len)
                .map_err(|error| Error::io("cut", &self.path, error))?;
            self.stale_end = false;
        }
        open.file
            .write_at(bytes, len)
            .map_err(|error| Error::io("write", &self.path, error))
    }
}
