//! The messages of a stream by sequence: time, size and subject node of each.
//!
//! Slots lie in blocks of [`BLOCK_SLOTS`] sequences, and a block without a message is let go. A
//! stream that keeps one old message and overwrites a hot key for years (`max_msgs_per_subject`)
//! thus pays for its messages and not for its sequences. Within a block times, sizes and nodes lie
//! in columns of their own, each as wide as that block needs: some 6 bytes a message in a busy
//! stream.

use std::collections::VecDeque;

use crate::StreamSeq;

use super::column::Column;
use super::node_id::NodeId;

/// The slots of one stream.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Ascending by number; each holds at least one message.
    blocks: VecDeque<Block>,
    /// The sequence of the first message; any number while there is no message.
    first: u64,
    live: u64,
    /// What the columns of all blocks but the last take.
    finished_bytes: usize,
}

/// What is kept of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Unix nanoseconds.
    pub(super) at: i64,
    pub(super) node: NodeId,
    pub(super) bytes: u32,
}

/// The slots of neighbouring sequences. A removed message keeps its slot, and a sequence that never
/// came has that of the message after it, so that times ascend over holes.
#[derive(Debug)]
struct Block {
    /// Slot `i` is that of sequence `number * BLOCK_SLOTS + i`.
    number: u64,
    live: u32,
    /// One bit per slot: whether its message is there.
    is_live: [u64; WORDS],
    /// Unix nanoseconds, moved so that they compare as unsigned numbers do.
    times: Column,
    nodes: Column,
    sizes: Column,
}

/// Sequences in one block.
const BLOCK_SLOTS: u64 = 1024;

/// Room for this many blocks or fewer is not worth giving back.
const BLOCKS_KEPT: usize = 64;

const WORD_BITS: usize = 64;
const WORDS: usize = 1024 / WORD_BITS;

impl Block {
    fn new(number: u64) -> Self {
        Self {
            number,
            live: 0,
            is_live: [0; WORDS],
            times: Column::default(),
            nodes: Column::default(),
            sizes: Column::default(),
        }
    }

    fn push(&mut self, slot: Slot) {
        self.times.push(ordered(slot.at));
        self.nodes.push(u64::from(slot.node.number()));
        self.sizes.push(u64::from(slot.bytes));
    }

    fn slot(&self, offset: usize) -> Slot {
        let node = u32::try_from(self.nodes.get(offset)).expect("came from 32 bits");
        Slot {
            at: unordered(self.times.get(offset)),
            node: NodeId::from_number(node),
            bytes: u32::try_from(self.sizes.get(offset)).expect("came from 32 bits"),
        }
    }

    fn message(&self, offset: usize) -> (StreamSeq, Slot) {
        (StreamSeq(self.seq_at(offset)), self.slot(offset))
    }

    fn is_live(&self, offset: usize) -> bool {
        let word = self.is_live.get(offset / WORD_BITS);
        word.is_some_and(|word| word & bit(offset) != 0)
    }

    fn seq_at(&self, offset: usize) -> u64 {
        let offset = u64::try_from(offset).expect("an offset lies below BLOCK_SLOTS");
        self.number * BLOCK_SLOTS + offset
    }

    fn last_at(&self) -> u64 {
        self.times.get(self.times.len() - 1)
    }

    /// The first slot with a message from `offset` on.
    fn next_live(&self, offset: usize) -> Option<usize> {
        let mut word = offset / WORD_BITS;
        let mut bits = self.is_live.get(word)? & (u64::MAX << (offset % WORD_BITS));
        while bits == 0 {
            word += 1;
            bits = *self.is_live.get(word)?;
        }
        Some(word * WORD_BITS + bits.trailing_zeros() as usize)
    }

    /// The last slot with a message before `offset`.
    fn last_live(&self, offset: usize) -> Option<usize> {
        let last = offset.min(WORDS * WORD_BITS).checked_sub(1)?;
        let mut word = last / WORD_BITS;
        let mut bits = self.is_live[word] & (u64::MAX >> (WORD_BITS - 1 - last % WORD_BITS));
        while bits == 0 {
            word = word.checked_sub(1)?;
            bits = self.is_live[word];
        }
        Some(word * WORD_BITS + WORD_BITS - 1 - bits.leading_zeros() as usize)
    }

    /// The messages from slot `offset` on.
    fn live_from(&self, offset: usize) -> impl Iterator<Item = (StreamSeq, Slot)> {
        let offsets = std::iter::successors(self.next_live(offset), |at| self.next_live(at + 1));
        offsets.map(|offset| self.message(offset))
    }

    /// The messages before slot `offset`, descending.
    fn live_before(&self, offset: usize) -> impl Iterator<Item = (StreamSeq, Slot)> {
        let offsets = std::iter::successors(self.last_live(offset), |at| self.last_live(*at));
        offsets.map(|offset| self.message(offset))
    }

    fn count_from(&self, offset: usize) -> u64 {
        let (word, from) = (offset / WORD_BITS, u64::MAX << (offset % WORD_BITS));
        let first = self.is_live.get(word).map_or(0, |bits| bits & from);
        let others = self.is_live.iter().skip(word + 1);
        let bits = others.map(|word| u64::from(word.count_ones()));
        u64::from(first.count_ones()) + bits.sum::<u64>()
    }

    fn finish(&mut self) {
        self.times.finish();
        self.nodes.finish();
        self.sizes.finish();
    }

    fn heap_bytes(&self) -> usize {
        self.times.heap_bytes() + self.nodes.heap_bytes() + self.sizes.heap_bytes()
    }
}

impl Table {
    /// Adds a message above all others. Sequences between are holes.
    pub(super) fn append(&mut self, seq: StreamSeq, slot: Slot) {
        let (number, offset) = split(seq.0);
        if self.blocks.back().is_none_or(|last| last.number != number) {
            if let Some(last) = self.blocks.back_mut() {
                last.finish();
                self.finished_bytes += last.heap_bytes();
            }
            self.blocks.push_back(Block::new(number));
        }
        let block = self.blocks.back_mut().expect("pushed just above");
        while block.times.len() < offset {
            block.push(slot);
        }
        block.push(slot);
        block.is_live[offset / WORD_BITS] |= bit(offset);
        block.live += 1;
        if self.live == 0 {
            self.first = seq.0;
        }
        self.live += 1;
    }

    /// Takes a message out and gives back what was known of it.
    pub(super) fn remove(&mut self, seq: StreamSeq) -> Option<Slot> {
        let (number, offset) = split(seq.0);
        let at = self.place_of(number)?;
        let block = self.blocks.get_mut(at)?;
        if !block.is_live(offset) {
            return None;
        }
        let removed = block.slot(offset);
        block.is_live[offset / WORD_BITS] &= !bit(offset);
        block.live -= 1;
        self.live -= 1;
        if block.live == 0 {
            self.let_go(at);
        }
        if seq.0 == self.first {
            // Without a message left, any number will do.
            self.first = self.next(seq).unwrap_or(seq).0;
        }
        Some(removed)
    }

    fn let_go(&mut self, at: usize) {
        let was_last = at + 1 == self.blocks.len();
        let gone = self.blocks.remove(at).map_or(0, |b| b.heap_bytes());
        // The one before is the last now, and its bytes count as the last's.
        let finished = match (was_last, self.blocks.back()) {
            (true, before) => before.map_or(0, Block::heap_bytes),
            (false, _) => gone,
        };
        self.finished_bytes -= finished;
        if self.blocks.capacity() > BLOCKS_KEPT && self.blocks.len() < self.blocks.capacity() / 4 {
            self.blocks.shrink_to(self.blocks.len() * 2);
        }
    }

    pub(super) fn get(&self, seq: StreamSeq) -> Option<Slot> {
        let (number, offset) = split(seq.0);
        let block = self.blocks.get(self.place_of(number)?)?;
        block.is_live(offset).then(|| block.slot(offset))
    }

    /// How many messages there are.
    pub(super) fn len(&self) -> u64 {
        self.live
    }

    /// The sequence of the first message.
    pub(super) fn first(&self) -> Option<StreamSeq> {
        (self.live > 0).then_some(StreamSeq(self.first))
    }

    /// The first message from `from` on.
    pub(super) fn next(&self, from: StreamSeq) -> Option<StreamSeq> {
        self.iter_from(from).next().map(|(seq, _)| seq)
    }

    /// The messages from `from` on, ascending.
    pub(super) fn iter_from(&self, from: StreamSeq) -> impl Iterator<Item = (StreamSeq, Slot)> {
        let (number, offset) = split(from.0.max(self.first));
        let at = self.lower_bound(number);
        self.blocks.range(at..).flat_map(move |block| {
            let skipped = if block.number == number { offset } else { 0 };
            block.live_from(skipped)
        })
    }

    /// The messages before `end`, descending.
    pub(super) fn iter_before(&self, end: StreamSeq) -> impl Iterator<Item = (StreamSeq, Slot)> {
        let (number, offset) = split(end.0);
        let place = self.lower_bound(number);
        let cut = self.blocks.get(place).filter(|b| b.number == number);
        let cut = cut.into_iter().flat_map(move |b| b.live_before(offset));
        let whole = self.blocks.range(..place).rev();
        cut.chain(whole.flat_map(|block| block.live_before(block.times.len())))
    }

    /// How many messages there are from `from` on: adds up the blocks behind.
    pub(super) fn count_from(&self, from: StreamSeq) -> u64 {
        if from.0 <= self.first {
            return self.live;
        }
        let (number, offset) = split(from.0);
        let blocks = self.blocks.range(self.lower_bound(number)..);
        let counts = blocks.map(|block| {
            if block.number == number {
                block.count_from(offset)
            } else {
                u64::from(block.live)
            }
        });
        counts.sum()
    }

    /// The first message that is not earlier than `at`, provided that times ascend; otherwise some
    /// message, or none.
    pub(super) fn first_at_or_after(&self, at: i64) -> Option<StreamSeq> {
        let at = ordered(at);
        let place = self.blocks.partition_point(|block| block.last_at() < at);
        let block = self.blocks.get(place)?;
        self.next(StreamSeq(block.seq_at(block.times.count_below(at))))
    }

    /// Where the block stands; at once when no block before it was let go.
    fn place_of(&self, number: u64) -> Option<usize> {
        let front = self.blocks.front()?.number;
        let guess = usize::try_from(number.checked_sub(front)?).ok()?;
        if self.blocks.get(guess).is_some_and(|b| b.number == number) {
            return Some(guess);
        }
        let found = self.blocks.binary_search_by_key(&number, |b| b.number);
        found.ok()
    }

    /// Where the first block stands that is not before `number`.
    fn lower_bound(&self, number: u64) -> usize {
        self.place_of(number)
            .unwrap_or_else(|| self.blocks.partition_point(|block| block.number < number))
    }

    /// What the slots take in memory; costs O(1).
    pub(super) fn used_bytes(&self) -> usize {
        let last = self.blocks.back().map_or(0, Block::heap_bytes);
        self.blocks.len() * size_of::<Block>() + self.finished_bytes + last
    }
}

/// The number of the block of a sequence, and the slot in it.
fn split(seq: u64) -> (u64, usize) {
    let offset = usize::try_from(seq % BLOCK_SLOTS).expect("below BLOCK_SLOTS");
    (seq / BLOCK_SLOTS, offset)
}

fn bit(offset: usize) -> u64 {
    1 << (offset % WORD_BITS)
}

/// Unix nanoseconds as an unsigned number that compares alike.
fn ordered(at: i64) -> u64 {
    at.cast_unsigned() ^ (1 << 63)
}

fn unordered(at: u64) -> i64 {
    (at ^ (1 << 63)).cast_signed()
}
