//! Walking all messages of a store, for rebuilding the stream's index.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::vec;

use hitherto_jetstream::{MessageMeta, StoredMessage, StreamSeq};

use super::StreamStore;
use super::segment_reader::SegmentReader;
use crate::Error;

/// Blocks whose summaries are read ahead of the walk: 8, some 3,000 messages.
const BLOCKS_AHEAD: usize = 8;

/// What an index needs to know of every message that is not removed, in order of sequence.
///
/// Reads and verifies the summary of every block, and the block itself where its summary is
/// damaged; the block cache is left alone. Ends after the first error.
#[derive(Debug)]
pub struct Metas<'a> {
    store: &'a StreamStore,
    blocks: Source<'a>,
    open: vec::IntoIter<MessageMeta>,
    /// Messages of the tail that are behind.
    in_tail: usize,
    /// Messages up to here are left out.
    floor: StreamSeq,
    failed: bool,
}

/// Where the summaries come from.
#[derive(Debug)]
enum Source<'a> {
    Here(Summaries<'a>),
    /// Read by another thread.
    Ahead(Receiver<Result<Vec<MessageMeta>, Error>>),
}

impl StreamStore {
    /// Walks all messages that are not removed, in order.
    pub fn metas(&self) -> Metas<'_> {
        self.metas_behind(StreamSeq(0))
    }

    /// As [`StreamStore::metas`], for the messages behind `seq`: those of an index that has the others in
    /// tables.
    pub fn metas_behind(&self, seq: StreamSeq) -> Metas<'_> {
        Metas::new(self, Source::Here(Summaries::behind(self, seq)), seq)
    }

    /// Lets `walk` walk the messages behind `seq` that are not removed, in order, while another thread reads and decodes
    /// ahead of it, so that an index is built while the next summaries are read. Stores of less than two
    /// segments are walked on this thread alone.
    pub fn walk_metas<R>(&self, seq: StreamSeq, walk: impl FnOnce(Metas<'_>) -> R) -> R {
        let summaries = Summaries::behind(self, seq);
        if self.segments.len() - summaries.segment < 2 {
            return walk(self.metas_behind(seq));
        }
        thread::scope(|scope| {
            let (blocks, read) = mpsc::sync_channel(BLOCKS_AHEAD);
            let reading = move || {
                for block in summaries {
                    // The walk may end before the messages do.
                    if blocks.send(block).is_err() {
                        return;
                    }
                }
            };
            let thread = thread::Builder::new().name("hitherto-summaries".to_owned());
            match thread.spawn_scoped(scope, reading) {
                Ok(_) => walk(Metas::new(self, Source::Ahead(read), seq)),
                Err(_) => walk(self.metas_behind(seq)),
            }
        })
    }
}

impl<'a> Metas<'a> {
    fn new(store: &'a StreamStore, blocks: Source<'a>, floor: StreamSeq) -> Self {
        Self {
            store,
            blocks,
            open: Vec::new().into_iter(),
            in_tail: 0,
            floor,
            failed: false,
        }
    }

    fn is_left_out(&self, seq: StreamSeq) -> bool {
        seq <= self.floor || self.store.is_removed(seq)
    }

    fn next_meta(&mut self) -> Result<Option<MessageMeta>, Error> {
        loop {
            let Some(meta) = self.next_stored()? else {
                let message = self.store.tail.messages().get(self.in_tail);
                self.in_tail += 1;
                match message {
                    Some(message) if self.is_left_out(message.seq) => continue,
                    message => return Ok(message.map(StoredMessage::meta)),
                }
            };
            if !self.is_left_out(meta.seq) {
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
            let block = match &mut self.blocks {
                Source::Here(summaries) => summaries.next(),
                // A reader that panicked is found out when it is joined.
                Source::Ahead(read) => read.recv().ok(),
            };
            match block {
                Some(block) => self.open = block?.into_iter(),
                None => return Ok(None),
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

/// What the summaries of the blocks say, block by block.
#[derive(Debug)]
struct Summaries<'a> {
    store: &'a StreamStore,
    segment: usize,
    /// Of that segment.
    reader: Option<SegmentReader<'a>>,
    block: usize,
    /// Blocks that end before are passed over.
    floor: StreamSeq,
}

impl<'a> Summaries<'a> {
    /// Begins with the block that holds what comes behind a sequence, or an earlier one.
    fn behind(store: &'a StreamStore, floor: StreamSeq) -> Self {
        let segments = &store.segments;
        Self {
            store,
            segment: segments.partition_point(|segment| segment.record.last_seq <= floor),
            reader: None,
            block: 0,
            floor,
        }
    }

    fn next_block(&mut self) -> Result<Option<Vec<MessageMeta>>, Error> {
        let disk = &*self.store.shared.disk;
        while let Some(segment) = self.store.segments.get(self.segment) {
            let blocks = segment.index(disk)?;
            let next = |block: usize| blocks.get(block + 1).map(|next| next.first_seq);
            while next(self.block).is_some_and(|first| first <= self.floor) {
                self.block += 1;
            }
            if let Some(at) = blocks.get(self.block) {
                let reader = match &self.reader {
                    Some(reader) => reader,
                    None => self.reader.insert(segment.reader(disk)?),
                };
                self.block += 1;
                return reader.metas(at).map(Some);
            }
            self.segment += 1;
            self.block = 0;
            self.reader = None;
        }
        Ok(None)
    }
}

impl Iterator for Summaries<'_> {
    type Item = Result<Vec<MessageMeta>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_block().transpose()
    }
}
