//! Walking all messages of a store, for rebuilding the stream's index.

use hitherto_jetstream::{MessageMeta, StoredMessage};

use super::StreamStore;
use crate::Error;

/// What an index needs to know of every message that is not removed, in order of sequence.
///
/// Reads and verifies the summary of every block, and the block itself where its summary is
/// damaged; the block cache is left alone. Ends after the first error.
#[derive(Debug)]
pub struct Metas<'a> {
    store: &'a StreamStore,
    segment: usize,
    block: usize,
    open: std::vec::IntoIter<MessageMeta>,
    /// Messages of the tail that are behind.
    in_tail: usize,
    /// Bytes to read of the next block.
    guess: usize,
    failed: bool,
}

/// Bytes read of the first block: 8 KiB.
const GUESS_BYTES: usize = 8 * 1024;

/// A summary may be so much larger than the one before without a second read.
const GUESS_MARGIN_BYTES: usize = 512;

impl<'a> Metas<'a> {
    pub(super) fn new(store: &'a StreamStore) -> Self {
        Self {
            store,
            segment: 0,
            block: 0,
            open: Vec::new().into_iter(),
            in_tail: 0,
            guess: GUESS_BYTES,
            failed: false,
        }
    }

    fn next_meta(&mut self) -> Result<Option<MessageMeta>, Error> {
        loop {
            let Some(meta) = self.next_stored()? else {
                let message = self.store.tail.messages().get(self.in_tail);
                self.in_tail += 1;
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
        loop {
            if let Some(meta) = self.open.next() {
                return Ok(Some(meta));
            }
            let Some(segment) = self.store.segments.get(self.segment) else {
                return Ok(None);
            };
            let disk = &*self.store.shared.disk;
            match segment.index(disk)?.get(self.block) {
                Some(at) => {
                    let mut guess = self.guess + GUESS_MARGIN_BYTES;
                    self.open = segment.metas(disk, *at, &mut guess)?.into_iter();
                    self.guess = guess;
                    self.block += 1;
                }
                None => {
                    self.segment += 1;
                    self.block = 0;
                }
            }
        }
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
