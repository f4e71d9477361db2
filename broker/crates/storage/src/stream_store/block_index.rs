//! The index of the blocks of a segment, which its footer holds once the segment is complete.
//!
//! ```text
//! index              per block: first seq u64, first ts i64, offset u64, length u32, count u32,
//!                    bytes before the records u32, packing u32
//! trailer (28 bytes) magic u64, version u32, blocks u32, index offset u64,
//!                    crc u32 of the index and the trailer before it
//! ```

use hitherto_jetstream::StreamSeq;
use hitherto_protocol::Timestamp;

use super::block::{self, BlockHeader, Packing};
use super::record::timestamp_at;
use super::segment;
use super::segment_reader::SegmentReader;
use crate::Error;
use crate::files::{u32_at, u64_at};

const ENTRY_BYTES: usize = 40;
const TRAILER_MAGIC: u64 = u64::from_le_bytes(*b"HITHEND\0");

/// Bytes of the trailer, the last of a complete segment.
const TRAILER_BYTES: usize = 28;

/// Where a block is and what must be known to read it: 40 bytes of memory per 64 KiB of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockRef {
    pub(super) first_seq: StreamSeq,
    pub(super) first_at: Timestamp,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) count: u32,
    /// Bytes of its header and its summary.
    pub(super) head_len: u32,
    pub(super) packing: Packing,
}

impl BlockRef {
    pub(super) fn new(header: &BlockHeader, offset: u64) -> Self {
        let fits = |len| u32::try_from(len).expect("block headers admit 2 GiB at most");
        Self {
            first_seq: header.first_seq,
            first_at: header.first_at,
            offset,
            len: fits(header.block_len()),
            count: header.count,
            head_len: fits(header.head_len()),
            packing: header.packing,
        }
    }

    fn decode(entry: &[u8]) -> Option<Self> {
        let found = Self {
            first_seq: StreamSeq(u64_at(entry, 0)),
            first_at: timestamp_at(entry, 8),
            offset: u64_at(entry, 16),
            len: u32_at(entry, 24),
            count: u32_at(entry, 28),
            head_len: u32_at(entry, 32),
            packing: Packing::of(u32_at(entry, 36))?,
        };
        (found.head_len <= found.len).then_some(found)
    }
}

/// The footer of a segment whose blocks end at `index_at`.
pub(super) fn encode(index: &[BlockRef], version: u32, index_at: u64) -> Vec<u8> {
    let mut footer = Vec::with_capacity(index.len() * ENTRY_BYTES + TRAILER_BYTES);
    for block in index {
        footer.extend_from_slice(&block.first_seq.0.to_le_bytes());
        footer.extend_from_slice(&block.first_at.unix_nanos().to_le_bytes());
        footer.extend_from_slice(&block.offset.to_le_bytes());
        footer.extend_from_slice(&block.len.to_le_bytes());
        footer.extend_from_slice(&block.count.to_le_bytes());
        footer.extend_from_slice(&block.head_len.to_le_bytes());
        footer.extend_from_slice(&(block.packing as u32).to_le_bytes());
    }
    let blocks = u32::try_from(index.len()).expect("a segment has far less than 4 G blocks");
    footer.extend_from_slice(&TRAILER_MAGIC.to_le_bytes());
    footer.extend_from_slice(&version.to_le_bytes());
    footer.extend_from_slice(&blocks.to_le_bytes());
    footer.extend_from_slice(&index_at.to_le_bytes());
    let crc = crc32c::crc32c(&footer);
    footer.extend_from_slice(&crc.to_le_bytes());
    footer
}

/// Reads the index of a complete segment.
pub(super) fn read(reader: &SegmentReader<'_>) -> Result<Vec<BlockRef>, Error> {
    let index = read_footer(reader).or_else(|error| match error {
        Error::Damaged { .. } => rebuild(reader).map_err(|_| error),
        _ => Err(error),
    })?;
    check_count(reader, &index)?;
    Ok(index)
}

/// Reads the footer of a complete segment.
pub(super) fn read_footer(reader: &SegmentReader<'_>) -> Result<Vec<BlockRef>, Error> {
    let trailer_at = reader.len().saturating_sub(TRAILER_BYTES as u64);
    let damaged = || reader.damaged(trailer_at, "the footer of the segment is unreadable");
    let mut trailer = [0; TRAILER_BYTES];
    reader.read_exact(&mut trailer, trailer_at)?;
    let (index_at, len) = range(&trailer, trailer_at).ok_or_else(damaged)?;
    let mut bytes = vec![0; len];
    reader.read_exact(&mut bytes, index_at)?;
    decode(&bytes, &trailer).ok_or_else(damaged)
}

/// Finds the blocks of an incomplete segment by their headers.
pub(super) fn walk(reader: &SegmentReader<'_>) -> Result<Vec<BlockRef>, Error> {
    let (index, end) = walk_headers(reader)?;
    if end < reader.len() {
        return Err(reader.damaged(end, "no block starts here"));
    }
    if end > reader.len() {
        return Err(reader.damaged(end, "the blocks do not end where the segment does"));
    }
    check_count(reader, &index)?;
    Ok(index)
}

/// Finds the blocks of a complete segment whose footer is unreadable. Their number of messages must be the
/// one the manifest knows.
fn rebuild(reader: &SegmentReader<'_>) -> Result<Vec<BlockRef>, Error> {
    let (index, _) = walk_headers(reader)?;
    check_count(reader, &index)?;
    Ok(index)
}

/// The blocks up to where no block starts, or the segment ends, and where that is.
fn walk_headers(reader: &SegmentReader<'_>) -> Result<(Vec<BlockRef>, u64), Error> {
    let (mut index, mut offset) = (Vec::new(), segment::HEADER_BYTES as u64);
    let mut bytes = [0; block::HEADER_BYTES];
    while offset + (block::HEADER_BYTES as u64) <= reader.len() {
        reader.read_exact(&mut bytes, offset)?;
        let Some(header) = BlockHeader::decode(&bytes) else {
            break;
        };
        index.push(BlockRef::new(&header, offset));
        offset += header.block_len() as u64;
    }
    Ok((index, offset))
}

fn check_count(reader: &SegmentReader<'_>, index: &[BlockRef]) -> Result<(), Error> {
    let count: u64 = index.iter().map(|block| u64::from(block.count)).sum();
    if count != reader.count() {
        return Err(reader.damaged(0, "the segment holds another number of messages"));
    }
    Ok(())
}

/// Where the index lies, and how long it is, by a trailer found at `trailer_at`; `None` when it is not one.
fn range(trailer: &[u8; TRAILER_BYTES], trailer_at: u64) -> Option<(u64, usize)> {
    let index_at = u64_at(trailer, 16);
    let len = u64::from(u32_at(trailer, 12)) * ENTRY_BYTES as u64;
    let ours = u64_at(trailer, 0) == TRAILER_MAGIC && index_at.checked_add(len) == Some(trailer_at);
    Some((index_at, usize::try_from(len).ok()?)).filter(|_| ours)
}

/// Decodes the index; `None` when it is not what was written.
fn decode(index: &[u8], trailer: &[u8; TRAILER_BYTES]) -> Option<Vec<BlockRef>> {
    let crc = crc32c::crc32c_append(crc32c::crc32c(index), &trailer[..24]);
    if crc != u32_at(trailer, 24) {
        return None;
    }
    index
        .chunks_exact(ENTRY_BYTES)
        .map(BlockRef::decode)
        .collect()
}
