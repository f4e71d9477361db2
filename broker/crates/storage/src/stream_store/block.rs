//! The block: some 64 KiB of messages, the unit segments are read in order in.
//!
//! ```text
//! header (60 bytes)  magic u32, version u16, packing u16, records length u32, count u32,
//!                    first seq u64, last seq u64, first ts i64, last ts i64,
//!                    summary length u32, crc u32 of the header before it and the summary,
//!                    crc u32 of the header before it and the records
//! summary            what an index needs to know, see `summary.rs`
//! records            one per message, see `record.rs`
//! ```
//! Packing 0 means records as they are; 1 means all of them compressed with LZ4 behind their length u32,
//! and the records length is what they take then. The checksums are those of the stored bytes.
//!
//! One crc over all records is what reading in order checks: less work than the checksum of each.
//!
//! Little endian. Timestamps are nanoseconds since 1970 and need not be in order.

use std::sync::Arc;

use bytes::Bytes;
use hitherto_jetstream::{MessageMeta, StoredMessage, StreamSeq};
use hitherto_protocol::Timestamp;

use super::block_index::BlockRef;
use super::places::Places;
use super::record::{self, Record, timestamp_at};
use super::summary;
use crate::files::{u32_at, u64_at};

/// Bytes of a block header.
pub(super) const HEADER_BYTES: usize = 60;

/// The largest block this format admits: 2 GiB. It bounds what a damaged header can ask for.
const BLOCK_BYTES_MAX: usize = 1 << 31;

/// A byte of LZ4 stands for at most so many. It bounds what damaged bytes can ask for.
const LZ4_RATIO_MAX: usize = 255;

const MAGIC: u32 = u32::from_le_bytes(*b"HBLK");
const VERSION: u16 = 3;
const SUMMARY_CRC_AT: usize = 52;
const CRC_AT: usize = 56;

/// How the records of a block are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain = 0,
    Lz4 = 1,
}

impl Packing {
    pub(super) fn of(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Plain),
            1 => Some(Self::Lz4),
            _ => None,
        }
    }
}

/// Appends a block of `messages`, which are not empty, to `buf`. What does not become smaller is not
/// packed.
pub(super) fn encode<'a>(
    buf: &mut Vec<u8>,
    messages: impl ExactSizeIterator<Item = &'a StoredMessage> + Clone,
    packing: Packing,
) {
    let start = buf.len();
    let count = fits(messages.len());
    buf.resize(start + HEADER_BYTES, 0);
    summary::encode(buf, messages.clone());
    let records_at = buf.len();
    let packing = encode_records(buf, messages.clone(), packing);
    let mut ends: Option<(&StoredMessage, &StoredMessage)> = None;
    for message in messages {
        ends = Some((ends.map_or(message, |(first, _)| first), message));
    }
    let (first, last) = ends.expect("a block has messages");
    let records_len = fits(buf.len() - records_at);
    let summary_len = fits(records_at - start - HEADER_BYTES);
    let header = &mut buf[start..start + HEADER_BYTES];
    header[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    header[4..6].copy_from_slice(&VERSION.to_le_bytes());
    header[6..8].copy_from_slice(&(packing as u16).to_le_bytes());
    header[8..12].copy_from_slice(&records_len.to_le_bytes());
    header[12..16].copy_from_slice(&count.to_le_bytes());
    header[16..24].copy_from_slice(&first.seq.0.to_le_bytes());
    header[24..32].copy_from_slice(&last.seq.0.to_le_bytes());
    header[32..40].copy_from_slice(&first.at.unix_nanos().to_le_bytes());
    header[40..48].copy_from_slice(&last.at.unix_nanos().to_le_bytes());
    header[48..52].copy_from_slice(&summary_len.to_le_bytes());
    let (head, records) = buf[start..].split_at_mut(records_at - start);
    let crc = checksum(&head[..SUMMARY_CRC_AT], &head[HEADER_BYTES..]);
    head[SUMMARY_CRC_AT..CRC_AT].copy_from_slice(&crc.to_le_bytes());
    let crc = checksum(&head[..CRC_AT], records);
    head[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// Appends the records and tells how they are stored.
fn encode_records<'a>(
    buf: &mut Vec<u8>,
    messages: impl Iterator<Item = &'a StoredMessage> + Clone,
    packing: Packing,
) -> Packing {
    let records_at = buf.len();
    if packing == Packing::Lz4 {
        // Checksums would not compress, and no record of a packed block is read alone.
        for message in messages.clone() {
            record::encode(buf, message, false);
        }
        let packed = lz4_flex::block::compress_prepend_size(&buf[records_at..]);
        let is_smaller = packed.len() < buf.len() - records_at;
        buf.truncate(records_at);
        if is_smaller {
            buf.extend_from_slice(&packed);
            return Packing::Lz4;
        }
    }
    for message in messages {
        record::encode(buf, message, true);
    }
    Packing::Plain
}

/// Puts the records of a verified block back as they were, behind the same header and summary.
fn unpack(bytes: &Bytes, head_len: usize) -> Option<Bytes> {
    let (len, packed) = lz4_flex::block::uncompressed_size(&bytes[head_len..]).ok()?;
    if len > BLOCK_BYTES_MAX || len / LZ4_RATIO_MAX > packed.len() {
        return None;
    }
    let mut unpacked = Vec::with_capacity(head_len + len);
    unpacked.extend_from_slice(&bytes[..head_len]);
    unpacked.resize(head_len + len, 0);
    let got = lz4_flex::block::decompress_into(packed, &mut unpacked[head_len..]).ok()?;
    (got == len).then(|| Bytes::from(unpacked))
}

fn fits(len: usize) -> u32 {
    u32::try_from(len).expect("messages come through the log, whose frames end at 1 GiB")
}

/// The checksum of a part of a block and the header up to that checksum.
fn checksum(header: &[u8], part: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), part)
}

/// A block header whose checksum, which covers the records too, is not yet verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockHeader {
    pub(super) count: u32,
    pub(super) first_seq: StreamSeq,
    pub(super) last_seq: StreamSeq,
    pub(super) first_at: Timestamp,
    pub(super) packing: Packing,
    summary_len: u32,
    records_len: u32,
}

impl BlockHeader {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        let packing = Packing::of(u16::from_le_bytes([bytes[6], bytes[7]]).into())?;
        let header = Self {
            packing,
            records_len: u32_at(bytes, 8),
            count: u32_at(bytes, 12),
            first_seq: StreamSeq(u64_at(bytes, 16)),
            last_seq: StreamSeq(u64_at(bytes, 24)),
            first_at: timestamp_at(bytes, 32),
            summary_len: u32_at(bytes, 48),
        };
        let ours = u32_at(bytes, 0) == MAGIC
            && version == VERSION
            && header.count > 0
            && header.first_seq <= header.last_seq
            && header.block_len() <= BLOCK_BYTES_MAX;
        ours.then_some(header)
    }

    /// Bytes of the block with its header.
    pub(super) fn block_len(&self) -> usize {
        self.head_len() + self.records_len as usize
    }

    /// Bytes of the header and the summary.
    pub(super) fn head_len(&self) -> usize {
        HEADER_BYTES + self.summary_len as usize
    }

    /// The summary in the bytes at the front of a block with this header; `None` when it is not what was
    /// written.
    pub(super) fn summary<'a>(&self, head: &'a [u8]) -> Option<&'a [u8]> {
        let head = head.get(..self.head_len())?;
        let summary = &head[HEADER_BYTES..];
        let crc = checksum(&head[..SUMMARY_CRC_AT], summary);
        (crc == u32_at(head, SUMMARY_CRC_AT)).then_some(summary)
    }

    /// What the summary at the front of a block with this header says; `None` when it is not what was
    /// written.
    pub(super) fn metas(&self, head: &[u8]) -> Option<Vec<MessageMeta>> {
        summary::decode(
            self.summary(head)?,
            self.first_seq,
            self.first_at,
            self.count,
        )
    }
}

/// A verified block. Clones share its bytes, and so do the messages taken from it.
#[derive(Debug, Clone)]
pub(super) struct Block {
    bytes: Bytes,
    /// Where each record starts.
    records: Arc<[u32]>,
}

impl Block {
    /// Verifies the checksum and finds the records; on failure says what is wrong.
    pub(super) fn decode(bytes: Bytes) -> Result<Self, &'static str> {
        let header = BlockHeader::decode(&bytes).ok_or("no block starts here")?;
        if bytes.len() != header.block_len() {
            return Err("the block has another length than its index says");
        }
        if checksum(&bytes[..CRC_AT], &bytes[header.head_len()..]) != u32_at(&bytes, CRC_AT) {
            return Err("the block fails its checksum");
        }
        let bytes = match header.packing {
            Packing::Plain => bytes,
            Packing::Lz4 => {
                unpack(&bytes, header.head_len()).ok_or("the block's records do not unpack")?
            }
        };
        let mut records = Vec::with_capacity(header.count as usize);
        let mut at = header.head_len();
        while at < bytes.len() {
            records.push(u32::try_from(at).map_err(|_| "the block is too large")?);
            let record = Record::split(&bytes[at..]);
            let (_, len) = record.ok_or("the block's records do not add up")?;
            at += len;
        }
        if records.len() != header.count as usize {
            return Err("the block's records do not add up");
        }
        Ok(Self {
            bytes,
            records: records.into(),
        })
    }

    /// Takes a plain block whose records are all intact, whatever became of its header and its checksum;
    /// `None` when they are not.
    pub(super) fn of_records(bytes: &Bytes, at: &BlockRef) -> Option<Self> {
        let plain = at.packing == Packing::Plain && bytes.len() == at.len as usize;
        let places = Places::of_records(bytes, at).filter(|_| plain)?;
        places.is_complete().then(|| Self {
            bytes: bytes.clone(),
            records: places.starts().collect(),
        })
    }

    pub(super) fn get(&self, seq: StreamSeq) -> Result<Option<StoredMessage>, &'static str> {
        self.find(seq)
            .map(|record| self.message(record))
            .transpose()
    }

    /// The record of a sequence. Where none is missing before it its place is known; otherwise it can
    /// only lie further to the front.
    fn find(&self, seq: StreamSeq) -> Option<usize> {
        let seq_at = |at: &u32| record::seq_at(&self.bytes, *at as usize);
        let first = self.records.first().map(seq_at)?;
        let place = usize::try_from(seq.0.checked_sub(first)?).ok()?;
        if self.records.get(place).map(seq_at) == Some(seq.0) {
            return Some(place);
        }
        let before = &self.records[..place.min(self.records.len())];
        before.binary_search_by_key(&seq.0, seq_at).ok()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns a message whose parts share the block's bytes.
    pub(super) fn message(&self, record: usize) -> Result<StoredMessage, &'static str> {
        self.record(record).message(&self.bytes)
    }

    /// Returns what an index needs; it does not keep the block in memory.
    pub(super) fn meta(&self, record: usize) -> Result<MessageMeta, &'static str> {
        self.record(record).meta()
    }

    /// Tells whether the summary, of which reading messages takes no notice, says what they say.
    pub(super) fn is_summed_up(&self) -> bool {
        let header = BlockHeader::decode(&self.bytes);
        let told = header.and_then(|header| header.metas(&self.bytes));
        let metas = (0..self.len()).map(|record| self.meta(record).ok());
        told.is_some_and(|told| metas.eq(told.into_iter().map(Some)))
    }

    /// Bytes the block takes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.records.len() * size_of::<u32>()
    }

    fn record(&self, record: usize) -> Record<'_> {
        let at = self.records[record] as usize;
        let (record, _) = Record::split(&self.bytes[at..]).expect("was found when it was decoded");
        record
    }
}

#[cfg(test)]
mod tests {
    use hitherto_protocol::Subject;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_found_whatever_is_missing_before_it() {
        let message = |seq| StoredMessage {
            seq: StreamSeq(seq),
            at: Timestamp::from_unix_nanos(1),
            subject: Subject::new("a").unwrap(),
            headers: None,
            payload: Bytes::from(seq.to_string()),
        };
        for kept in [vec![7, 8, 9, 10], vec![7, 9, 10, 15], vec![7]] {
            let messages: Vec<_> = kept.iter().copied().map(message).collect();
            let mut buf = Vec::new();
            encode(&mut buf, messages.iter(), Packing::Plain);
            let block = Block::decode(Bytes::from(buf)).unwrap();
            for seq in 0..20 {
                let found = block.get(StreamSeq(seq)).unwrap();
                assert_eq!(found, kept.contains(&seq).then(|| message(seq)), "{seq}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn noise_under_a_right_checksum_never_panics(
            records in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..400),
            count in 1_u32..8,
            packing in 0_u16..3,
        ) {
            let mut bytes = vec![0; HEADER_BYTES];
            bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
            bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
            bytes[6..8].copy_from_slice(&packing.to_le_bytes());
            bytes[8..12].copy_from_slice(&fits(records.len()).to_le_bytes());
            bytes[12..16].copy_from_slice(&count.to_le_bytes());
            bytes.extend_from_slice(&records);
            let crc = checksum(&bytes[..CRC_AT], &records);
            bytes[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
            if let Ok(block) = Block::decode(Bytes::from(bytes)) {
                for record in 0..block.len() {
                    // Either answer is fine; what matters is that there is one.
                    drop((block.message(record), block.meta(record)));
                }
                prop_assert_eq!(block.len(), count as usize);
            }
        }
    }
}
