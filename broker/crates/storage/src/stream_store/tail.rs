//! The newest messages, in memory until they fill blocks and are flushed.
//!
//! Where blocks end is decided here, as messages arrive, from their sizes alone: whenever the
//! owner flushes, and on whichever replica, the same messages make the same blocks.

use std::collections::VecDeque;

use bytes::Bytes;
use hitherto_jetstream::{StoredMessage, StreamSeq};

use super::record;

/// Messages not yet written to a segment.
#[derive(Debug)]
pub(super) struct Tail {
    messages: VecDeque<StoredMessage>,
    /// The number of messages of each complete block at the front.
    complete: VecDeque<usize>,
    /// Messages behind the complete blocks, and their bytes.
    open_messages: usize,
    open_bytes: usize,
    bytes: u64,
    block_bytes: usize,
}

impl Tail {
    pub(super) fn new(block_bytes: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            complete: VecDeque::new(),
            open_messages: 0,
            open_bytes: 0,
            bytes: 0,
            block_bytes,
        }
    }

    pub(super) fn push(&mut self, message: StoredMessage) {
        let len = record::len(&message);
        self.messages.push_back(message);
        self.bytes += len as u64;
        self.open_messages += 1;
        self.open_bytes += len;
        if self.open_bytes >= self.block_bytes {
            self.complete.push_back(self.open_messages);
            self.open_messages = 0;
            self.open_bytes = 0;
        }
    }

    pub(super) fn get(&self, seq: StreamSeq) -> Option<&StoredMessage> {
        let first = self.messages.front()?.seq;
        let distance = usize::try_from(seq.0.checked_sub(first.0)?).ok()?;
        // Sequences nearly always have no gaps.
        if let Some(message) = self
            .messages
            .get(distance)
            .filter(|message| message.seq == seq)
        {
            return Some(message);
        }
        let at = self
            .messages
            .binary_search_by_key(&seq, |message| message.seq)
            .ok()?;
        self.messages.get(at)
    }

    /// Overwrites headers and payload of a message that is removed with as many zeros; `false` when it
    /// is not here.
    pub(super) fn blank(&mut self, seq: StreamSeq) -> bool {
        let found = self
            .messages
            .binary_search_by_key(&seq, |message| message.seq);
        let Some(message) = found.ok().and_then(|at| self.messages.get_mut(at)) else {
            return false;
        };
        // As long as before: where blocks end must not change.
        let len = record::len(message);
        message.headers = None;
        message.payload = Bytes::new();
        message.payload = Bytes::from(vec![0; len - record::len(message)]);
        true
    }

    pub(super) fn messages(&self) -> &VecDeque<StoredMessage> {
        &self.messages
    }

    /// The messages of the complete block number `block`, which starts at message `start`.
    pub(super) fn block(
        &self,
        block: usize,
        start: usize,
    ) -> Option<impl ExactSizeIterator<Item = &StoredMessage> + Clone> {
        let len = *self.complete.get(block)?;
        Some(self.messages.range(start..start + len))
    }

    /// The messages that do not fill a block yet.
    pub(super) fn open_block(&self) -> impl ExactSizeIterator<Item = &StoredMessage> + Clone {
        self.messages
            .range(self.messages.len() - self.open_messages..)
    }

    /// Forgets the first complete blocks: they are in a segment.
    pub(super) fn drop_blocks(&mut self, blocks: usize) {
        let messages: usize = self.complete.drain(..blocks).sum();
        for message in self.messages.drain(..messages) {
            self.bytes -= record::len(&message) as u64;
        }
    }

    /// Forgets the first complete blocks of which everything is removed: they need not be written.
    pub(super) fn drop_dead_blocks(&mut self, floor: StreamSeq) {
        while let Some(len) = self.complete.front() {
            let last = self.messages.get(len - 1);
            if last.is_none_or(|last| last.seq > floor) {
                return;
            }
            self.drop_blocks(1);
        }
    }

    /// Bytes the messages will take in blocks, which is about what they take in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
