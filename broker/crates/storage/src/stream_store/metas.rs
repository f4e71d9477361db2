//! Walking all messages of a store, for rebuilding the stream's index.

use hitherto_jetstream::{MessageMeta, StoredMessage};

use super::StreamStore;
use super::block::Block;
use super::segment::BlockRef;
use crate::Error;

/// What an index needs to know of every message that is not removed, in order of sequence.
///
/// Reads every block once and verifies it; the block cache is left alone. Ends after the first
/// error.
#[derive(Debug)]
pub struct Metas<'a> {
    store: &'a StreamStore,
    segment: usize,
    block: usize,
    open: Option<(Block, BlockRef)>,
    record: usize,
    failed: bool,
}

impl<'a> Metas<'a> {
    pub(super) fn new(store: &'a StreamStore) -> Self {
        Self {
            store,
            segment: 0,
            block: 0,
            open: None,
            record: 0,
            failed: false,
        }
    }

    fn next_meta(&mut self) -> Result<Option<MessageMeta>, Error> {
        loop {
            let Some(meta) = self.next_stored()? else {
                let message = self.store.tail.messages().get(self.record);
                self.record += 1;
                match message {
                    Some(message) if self.store.is_removed(message.seq) => continue,
                    message => return Ok(message.map(StoredMessage::meta)),
                }
            };
            if !self.store.is_removed(meta.seq) {
                return Ok(Some(meta));
            }
        }
    }

    /// The next message of the segments; `None` once, when the tail begins, and ever after.
    fn next_stored(&mut self) -> Result<Option<MessageMeta>, Error> {
        while let Some(segment) = self.store.segments.get(self.segment) {
            if let Some((block, at)) = &self.open {
                if self.record < block.len() {
                    let meta = block.meta(self.record);
                    self.record += 1;
                    return meta
                        .map(Some)
                        .map_err(|what| segment.damaged(at.offset, what));
                }
                self.block += 1;
            }
            self.open = None;
            self.record = 0;
            let disk = &*self.store.shared.disk;
            match segment.index(disk)?.get(self.block) {
                Some(at) => self.open = Some((segment.read(disk, *at)?, *at)),
                None => {
                    self.segment += 1;
                    self.block = 0;
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Metas<'_> {
    type Item = Result<MessageMeta, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let meta = self.next_meta();
        self.failed = meta.is_err();
        meta.transpose()
    }
}
