//! The segment file: a header, blocks, and once complete a footer with the index of the blocks.
//!
//! ```text
//! header (28 bytes)  magic u64, version u32, reserved u32, first seq u64, crc u32
//! blocks             see `block.rs`
//! index              per block: first seq u64, first ts i64, offset u64, length u32, count u32
//! trailer (28 bytes) magic u64, version u32, blocks u32, index offset u64,
//!                    crc u32 of the index and the trailer before it
//! ```
//! A segment is written once, front to back. Only the last one of a stream lacks its footer.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hitherto_jetstream::{MessageMeta, StreamSeq};
use hitherto_platform::{Disk, DiskFile, OpenMode};
use hitherto_protocol::Timestamp;

use super::block::{self, Block, BlockHeader};
use super::manifest::SegmentRecord;
use crate::Error;
use crate::files::{self, u32_at, u64_at};

pub(super) const HEADER_BYTES: usize = 28;
const INDEX_ENTRY_BYTES: usize = 32;
const TRAILER_BYTES: usize = 28;
const HEADER_MAGIC: u64 = u64::from_le_bytes(*b"HITHSEG\0");
const TRAILER_MAGIC: u64 = u64::from_le_bytes(*b"HITHEND\0");
const VERSION: u32 = 1;

/// Where a block is: 32 bytes of memory per 64 KiB of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockRef {
    pub(super) first_seq: StreamSeq,
    pub(super) first_at: Timestamp,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) count: u32,
}

/// A segment as its owner sees it.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) record: SegmentRecord,
    path: PathBuf,
    /// Held while the file is written or not yet synced. Later reads open the file anew, so that
    /// open files do not grow with the stream.
    file: Option<Arc<OpenSegment>>,
    /// Read at first use.
    index: OnceCell<Vec<BlockRef>>,
    /// Whether the file may hold bytes of an earlier life behind `record.len`.
    stale_end: bool,
}

/// The open file of a segment, shared with the checkpoints that sync it.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) path: PathBuf,
    file: Box<dyn DiskFile>,
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
            index: OnceCell::from(Vec::new()),
            stale_end: true,
        }
    }

    /// A segment that is written anew: without a length yet, or complete and durable.
    pub(super) fn rewritten(dir: &Path, record: SegmentRecord) -> Self {
        let index = match record.len {
            0 => OnceCell::from(Vec::new()),
            _ => OnceCell::new(),
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
        let index = OnceCell::new();
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
        let index = self.index(disk)?;
        let mut footer = Vec::with_capacity(index.len() * INDEX_ENTRY_BYTES + TRAILER_BYTES);
        for block in index {
            footer.extend_from_slice(&block.first_seq.0.to_le_bytes());
            footer.extend_from_slice(&block.first_at.unix_nanos().to_le_bytes());
            footer.extend_from_slice(&block.offset.to_le_bytes());
            footer.extend_from_slice(&block.len.to_le_bytes());
            footer.extend_from_slice(&block.count.to_le_bytes());
        }
        let blocks = u32::try_from(index.len()).expect("a segment has far less than 4 G blocks");
        footer.extend_from_slice(&TRAILER_MAGIC.to_le_bytes());
        footer.extend_from_slice(&VERSION.to_le_bytes());
        footer.extend_from_slice(&blocks.to_le_bytes());
        footer.extend_from_slice(&self.record.len.to_le_bytes());
        let crc = crc32c::crc32c(&footer);
        footer.extend_from_slice(&crc.to_le_bytes());
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

    /// Returns where the block that may hold `seq` is.
    pub(super) fn find(&self, disk: &dyn Disk, seq: StreamSeq) -> Result<Option<BlockRef>, Error> {
        let index = self.index(disk)?;
        let after = index.partition_point(|block| block.first_seq <= seq);
        Ok(after.checked_sub(1).map(|block| index[block]))
    }

    /// Reads and verifies a block.
    pub(super) fn read(&self, disk: &dyn Disk, at: BlockRef) -> Result<Block, Error> {
        let mut bytes = vec![0; at.len as usize];
        self.read_exact(disk, &mut bytes, at.offset)?;
        let block = Block::decode(Bytes::from(bytes));
        block.map_err(|what| self.damaged(at.offset, what))
    }

    /// Returns what an index needs to know of the messages of a block: from its summary, or from the
    /// messages themselves when the summary is damaged. `guess` is the number of bytes the summary
    /// may take with the header, and becomes what it took.
    pub(super) fn metas(
        &self,
        disk: &dyn Disk,
        at: BlockRef,
        guess: &mut usize,
    ) -> Result<Vec<MessageMeta>, Error> {
        let mut head = vec![0; (*guess).clamp(block::HEADER_BYTES, at.len as usize)];
        self.read_exact(disk, &mut head, at.offset)?;
        let header = BlockHeader::decode(&head);
        if let Some(header) = header.filter(|header| BlockRef::new(header, at.offset) == at) {
            if header.head_len() > head.len() {
                head.resize(header.head_len().min(at.len as usize), 0);
                self.read_exact(disk, &mut head, at.offset)?;
            }
            if let Some(metas) = header.metas(&head) {
                *guess = header.head_len();
                return Ok(metas);
            }
        }
        let block = self.read(disk, at)?;
        let metas = (0..block.len()).map(|record| block.meta(record));
        metas
            .collect::<Result<_, _>>()
            .map_err(|what| self.damaged(at.offset, what))
    }

    pub(super) fn damaged(&self, offset: u64, what: &'static str) -> Error {
        Error::damaged(&self.path, offset, what)
    }

    /// Returns the index of the blocks, reading it if need be.
    pub(super) fn index(&self, disk: &dyn Disk) -> Result<&[BlockRef], Error> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        match self.check_head(disk) {
            // The blocks say everything once more, and each has a checksum of its own.
            Ok(()) | Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        let index = match self.record.sealed {
            true => self.read_footer(disk).or_else(|error| match error {
                Error::Damaged { .. } => self.rebuild_footer(disk).map_err(|_| error),
                _ => Err(error),
            })?,
            false => self.walk_blocks(disk)?,
        };
        self.check_count(&index)?;
        Ok(self.index.get_or_init(|| index))
    }

    /// Verifies what frames the blocks; a segment without either still reads.
    pub(super) fn verify_ends(&self, disk: &dyn Disk) -> Vec<Error> {
        let footer = match self.record.sealed {
            true => self.read_footer(disk).map(drop),
            false => Ok(()),
        };
        [self.check_head(disk), footer]
            .into_iter()
            .filter_map(Result::err)
            .collect()
    }

    fn check_count(&self, index: &[BlockRef]) -> Result<(), Error> {
        let count: u64 = index.iter().map(|block| u64::from(block.count)).sum();
        if count != self.record.count {
            return Err(self.damaged(0, "the segment holds another number of messages"));
        }
        Ok(())
    }

    /// Finds the blocks of a sealed segment whose footer is unreadable. Their number of messages
    /// must be the one the manifest knows.
    fn rebuild_footer(&self, disk: &dyn Disk) -> Result<Vec<BlockRef>, Error> {
        let mut index = Vec::new();
        let mut offset = HEADER_BYTES as u64;
        let mut bytes = [0; block::HEADER_BYTES];
        while offset + (block::HEADER_BYTES as u64) <= self.record.len {
            self.read_exact(disk, &mut bytes, offset)?;
            let Some(header) = BlockHeader::decode(&bytes) else {
                break;
            };
            index.push(BlockRef::new(&header, offset));
            offset += header.block_len() as u64;
        }
        self.check_count(&index)?;
        Ok(index)
    }

    fn check_head(&self, disk: &dyn Disk) -> Result<(), Error> {
        let mut head = [0; HEADER_BYTES];
        self.read_exact(disk, &mut head, 0)?;
        let intact = u64_at(&head, 0) == HEADER_MAGIC
            && u64_at(&head, 16) == self.record.first_seq.0
            && u32_at(&head, 24) == crc32c::crc32c(&head[..24]);
        if !intact {
            return Err(self.damaged(0, "the header of the segment is unreadable"));
        }
        let found = u32_at(&head, 8);
        if found > VERSION {
            return Err(Error::NewerFormat {
                file: self.path.clone(),
                found,
                supported: VERSION,
            });
        }
        Ok(())
    }

    fn read_footer(&self, disk: &dyn Disk) -> Result<Vec<BlockRef>, Error> {
        let trailer_at = self.record.len.saturating_sub(TRAILER_BYTES as u64);
        let damaged = || self.damaged(trailer_at, "the footer of the segment is unreadable");
        let mut trailer = [0; TRAILER_BYTES];
        self.read_exact(disk, &mut trailer, trailer_at)?;
        let index_at = u64_at(&trailer, 16);
        let index_len = u64::from(u32_at(&trailer, 12)) * INDEX_ENTRY_BYTES as u64;
        if u64_at(&trailer, 0) != TRAILER_MAGIC
            || index_at.checked_add(index_len) != Some(trailer_at)
        {
            return Err(damaged());
        }
        let mut bytes = vec![0; usize::try_from(index_len).map_err(|_| damaged())?];
        self.read_exact(disk, &mut bytes, index_at)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &trailer[..24]);
        if crc != u32_at(&trailer, 24) {
            return Err(damaged());
        }
        Ok(bytes
            .chunks_exact(INDEX_ENTRY_BYTES)
            .map(decode_index_entry)
            .collect())
    }

    /// Rebuilds the index of an incomplete segment from its block headers.
    fn walk_blocks(&self, disk: &dyn Disk) -> Result<Vec<BlockRef>, Error> {
        let mut index = Vec::new();
        let mut offset = HEADER_BYTES as u64;
        let mut bytes = [0; block::HEADER_BYTES];
        while offset < self.record.len {
            self.read_exact(disk, &mut bytes, offset)?;
            let header = BlockHeader::decode(&bytes);
            let header = header.ok_or_else(|| self.damaged(offset, "no block starts here"))?;
            index.push(BlockRef::new(&header, offset));
            offset += header.block_len() as u64;
        }
        if offset != self.record.len {
            return Err(self.damaged(offset, "the blocks do not end where the segment does"));
        }
        Ok(index)
    }

    fn read_exact(&self, disk: &dyn Disk, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        let read = match &self.file {
            Some(open) => open.file.read_exact_at(buf, offset),
            None => files::open(disk, &self.path, OpenMode::Read)?.read_exact_at(buf, offset),
        };
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged(offset, "the segment file is cut"),
            _ => Error::io("read", &self.path, error),
        })
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
                let file = files::open(disk, &self.path, mode)?;
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

impl BlockRef {
    pub(super) fn new(header: &BlockHeader, offset: u64) -> Self {
        let len = u32::try_from(header.block_len()).expect("block headers admit 2 GiB at most");
        let BlockHeader {
            first_seq,
            first_at,
            count,
            ..
        } = *header;
        Self {
            first_seq,
            first_at,
            offset,
            len,
            count,
        }
    }
}

fn decode_index_entry(bytes: &[u8]) -> BlockRef {
    let nanos = i64::from_le_bytes(bytes[8..16].try_into().expect("the range is 8 bytes long"));
    BlockRef {
        first_seq: StreamSeq(u64_at(bytes, 0)),
        first_at: Timestamp::from_unix_nanos(nanos),
        offset: u64_at(bytes, 16),
        len: u32_at(bytes, 24),
        count: u32_at(bytes, 28),
    }
}
