//! Reading a segment: whole blocks, what stands in front of them, and single records.
//!
//! Everything that is returned has been verified. An error names the file and the place.

use std::sync::Arc;

use bytes::Bytes;
use hitherto_jetstream::{MessageMeta, StoredMessage, StreamSeq};
use hitherto_platform::DiskFile;

use super::block::{Block, BlockHeader, Packing};
use super::block_index::BlockRef;
use super::places::{self, Lost, Places};
use super::segment::Segment;
use crate::Error;

/// A segment with its file open for reading.
#[derive(Debug)]
pub(super) struct SegmentReader<'a> {
    segment: &'a Segment,
    file: Arc<dyn DiskFile>,
}

impl<'a> SegmentReader<'a> {
    /// Reads `segment` from its file.
    pub(super) fn new(segment: &'a Segment, file: Arc<dyn DiskFile>) -> Self {
        Self { segment, file }
    }

    /// Bytes of the segment.
    pub(super) fn len(&self) -> u64 {
        self.segment.record.len
    }

    /// Messages of the segment.
    pub(super) fn count(&self) -> u64 {
        self.segment.record.count
    }

    /// Reads a block. One of which only the header or the checksum is damaged is as good as another.
    pub(super) fn read(&self, at: &BlockRef) -> Result<Block, Error> {
        let bytes = self.bytes(at)?;
        match Block::decode(bytes.clone()) {
            Ok(block) => Ok(block),
            Err(what) => Block::of_records(&bytes, at).ok_or_else(|| self.damaged(at.offset, what)),
        }
    }

    /// Reads a block of which nothing may be damaged but the summary.
    pub(super) fn read_strictly(&self, at: &BlockRef) -> Result<Block, Error> {
        Block::decode(self.bytes(at)?).map_err(|what| self.damaged(at.offset, what))
    }

    /// Returns what an index needs to know of the messages of a block: from its summary, or from the
    /// messages themselves when the summary is damaged.
    pub(super) fn metas(&self, at: &BlockRef) -> Result<Vec<MessageMeta>, Error> {
        let head = self.head(at)?;
        let header = header(&head, at);
        if let Some(metas) = header.and_then(|header| header.metas(&head)) {
            return Ok(metas);
        }
        let block = self.read(at)?;
        let metas = (0..block.len()).map(|record| block.meta(record));
        metas
            .collect::<Result<_, _>>()
            .map_err(|what| self.damaged(at.offset, what))
    }

    /// Returns where the records of a plain block lie; `None` when its summary is damaged.
    pub(super) fn places(&self, at: &BlockRef) -> Result<Option<Places>, Error> {
        let head = self.head(at)?;
        Ok(header(&head, at).and_then(|header| Places::of_summary(&head, &header)))
    }

    /// Reads one message of a plain block without the others.
    pub(super) fn message(
        &self,
        at: &BlockRef,
        places: &Places,
        seq: StreamSeq,
    ) -> Result<Option<StoredMessage>, Error> {
        let Some(range) = places.find(seq) else {
            let what = "the summary and a record of the block are unreadable";
            let is_here = places.is_complete();
            return is_here
                .then_some(None)
                .ok_or_else(|| self.damaged(at.offset, what));
        };
        let offset = at.offset + u64::from(range.start);
        let mut bytes = vec![0; range.len()];
        self.read_exact(&mut bytes, offset)?;
        let bytes = Bytes::from(bytes);
        let record = places::alone(&bytes, seq);
        let record = record.ok_or_else(|| self.damaged(offset, "a message fails its checksum"))?;
        let message = record.message(&bytes);
        message.map(Some).map_err(|what| self.damaged(offset, what))
    }

    /// Returns where those records of a damaged plain block lie that can be found; `None` for a
    /// compressed one, which is damaged as a whole.
    pub(super) fn places_of_damaged(&self, at: &BlockRef) -> Result<Option<Places>, Error> {
        let bytes = self.bytes(at)?;
        Ok(places_of_damaged(&bytes, at))
    }

    /// Returns which messages of a damaged block cannot be read; `end` is the first sequence behind it.
    pub(super) fn lost(&self, at: &BlockRef, end: StreamSeq) -> Result<Vec<Lost>, Error> {
        let bytes = self.bytes(at)?;
        let all = || Lost {
            sequences: at.first_seq.0..=end.0.saturating_sub(1).max(at.first_seq.0),
            at: 0,
        };
        Ok(match places_of_damaged(&bytes, at) {
            Some(places) => places.lost(&bytes, end),
            None => vec![all()],
        })
    }

    pub(super) fn read_exact(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        let read = self.file.read_exact_at(buf, offset);
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged(offset, "the segment file is cut"),
            _ => Error::io("read", self.segment.path(), error),
        })
    }

    pub(super) fn damaged(&self, offset: u64, what: &'static str) -> Error {
        self.segment.damaged(offset, what)
    }

    fn bytes(&self, at: &BlockRef) -> Result<Bytes, Error> {
        let mut bytes = vec![0; at.len as usize];
        self.read_exact(&mut bytes, at.offset)?;
        Ok(Bytes::from(bytes))
    }

    /// The header and the summary of a block.
    fn head(&self, at: &BlockRef) -> Result<Vec<u8>, Error> {
        let mut head = vec![0; at.head_len as usize];
        self.read_exact(&mut head, at.offset)?;
        Ok(head)
    }
}

/// The header at the front of a block, if it says what the index says.
fn header(head: &[u8], at: &BlockRef) -> Option<BlockHeader> {
    BlockHeader::decode(head).filter(|header| BlockRef::new(header, at.offset) == *at)
}

fn places_of_damaged(block: &[u8], at: &BlockRef) -> Option<Places> {
    if at.packing != Packing::Plain {
        return None;
    }
    let summed_up = header(block, at).and_then(|header| Places::of_summary(block, &header));
    summed_up.or_else(|| Places::of_records(block, at))
}
