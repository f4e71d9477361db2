//! Getting one message, from where it is in memory or from a segment.
//!
//! Who reads in order gets whole blocks: the next messages are in memory then. Who reads here and there, as
//! one does who loads the history of one aggregate, gets single records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hitherto_jetstream::{StoredMessage, StreamSeq};

use super::StreamStore;
use super::block::Packing;
use super::block_index::BlockRef;
use super::cache::{BlockKey, Cached};
use super::segment::Segment;
use super::segment_reader::SegmentReader;
use crate::Error;

impl StreamStore {
    /// Returns a message; `None` when it is removed or never was. What comes from disk is verified.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Io`].
    pub fn get(&self, seq: StreamSeq) -> Result<Option<StoredMessage>, Error> {
        if self.is_removed(seq) {
            return Ok(None);
        }
        let flushed = self
            .segments
            .last()
            .is_some_and(|last| seq <= last.record.last_seq);
        if !flushed {
            return Ok(self.tail.get(seq).cloned());
        }
        let after = self
            .segments
            .partition_point(|segment| segment.record.first_seq <= seq);
        match after.checked_sub(1).map(|index| &self.segments[index]) {
            Some(segment) if seq <= segment.record.last_seq => self.get_stored(segment, seq),
            Some(_) | None => Ok(None),
        }
    }

    fn get_stored(
        &self,
        segment: &Segment,
        seq: StreamSeq,
    ) -> Result<Option<StoredMessage>, Error> {
        let Some(at) = segment.find(&*self.shared.disk, seq)? else {
            return Ok(None);
        };
        let before = self.last_read.swap(seq.0, Ordering::Relaxed);
        // Of a compressed block no record can be read alone.
        let in_order = before.wrapping_add(1) == seq.0 || at.packing != Packing::Plain;
        let key = (self.cache_id, segment.record.first_seq.0, at.offset);
        match self.options.cache.get(key, at.len as usize, in_order) {
            Cached::Block(block) => block
                .get(seq)
                .map_err(|what| segment.damaged(at.offset, what)),
            Cached::Places(places) => self.reader(segment)?.message(&at, &places, seq),
            Cached::Nothing { read_whole } => self.read(segment, seq, (at, key), read_whole),
        }
    }

    fn read(
        &self,
        segment: &Segment,
        seq: StreamSeq,
        (at, key): (BlockRef, BlockKey),
        whole: bool,
    ) -> Result<Option<StoredMessage>, Error> {
        let (reader, cache) = (self.reader(segment)?, &self.options.cache);
        if !whole && let Some(places) = reader.places(&at)? {
            let places = Arc::new(places);
            cache.insert_places(key, Arc::clone(&places), false);
            return reader.message(&at, &places, seq);
        }
        match reader.read(&at) {
            Ok(block) => {
                cache.insert(key, block.clone());
                block
                    .get(seq)
                    .map_err(|what| segment.damaged(at.offset, what))
            }
            Err(error @ Error::Damaged { .. }) => {
                // What is intact of it is served, message by message.
                let places = Arc::new(reader.places_of_damaged(&at)?.ok_or(error)?);
                cache.insert_places(key, Arc::clone(&places), true);
                reader.message(&at, &places, seq)
            }
            Err(error) => Err(error),
        }
    }

    fn reader<'a>(&'a self, segment: &'a Segment) -> Result<SegmentReader<'a>, Error> {
        let key = (self.cache_id, segment.record.first_seq.0);
        let open = || segment.open_file(&*self.shared.disk);
        let file = self.options.cache.file(key, open)?;
        Ok(SegmentReader::new(segment, file))
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
