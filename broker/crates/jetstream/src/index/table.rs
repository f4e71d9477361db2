//! The messages of a stream by sequence: time, size and subject node of each.
//!
//! Slots lie in blocks of [`BLOCK_SLOTS`] sequences, and a block without a message is let go. A
//! stream that keeps one old message and overwrites a hot key for years (`max_msgs_per_subject`)
//! thus pays for its messages and not for its sequences.

use std::collections::VecDeque;
use std::ops::Range;

use crate::StreamSeq;

use super::trie::NodeId;

/// The slots of one stream.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Ascending by number; each holds at least one message.
    blocks: VecDeque<Block>,
    /// The sequence of the first message; any number while there is no message.
    first: u64,
    live: u64,
}

/// What is kept of one message: 16 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Unix nanoseconds. A removed message keeps its time, and a sequence that never came has
    /// that of the message after it, so that times ascend over holes.
    pub(super) at: i64,
    /// [`NodeId::ROOT`] stands for "no message here": no subject ends at the root.
    pub(super) node: NodeId,
    pub(super) bytes: u32,
}

#[derive(Debug)]
struct Block {
    /// Slot `i` is that of sequence `number * BLOCK_SLOTS + i`.
    number: u64,
    live: u32,
    /// At most [`BLOCK_SLOTS`], never empty; grows only while the block is the last.
    slots: Vec<Slot>,
}

/// Sequences in one block: 16 KiB of slots.
const BLOCK_SLOTS: u64 = 1024;

impl Slot {
    fn is_live(&self) -> bool {
        self.node != NodeId::ROOT
    }
}

impl Block {
    fn seq_at(&self, offset: usize) -> u64 {
        let offset = u64::try_from(offset).expect("an offset lies below BLOCK_SLOTS");
        self.number * BLOCK_SLOTS + offset
    }

    fn last_at(&self) -> i64 {
        self.slots.last().map_or(i64::MIN, |slot| slot.at)
    }

    /// The messages in some of the slots.
    fn live_in(
        &self,
        offsets: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = (StreamSeq, &Slot)> {
        let slots = self.slots.get(offsets.clone()).unwrap_or_default();
        offsets
            .zip(slots)
            .filter(|(_, slot)| slot.is_live())
            .map(|(offset, slot)| (StreamSeq(self.seq_at(offset)), slot))
    }

    /// The messages from slot `offset` on.
    fn live_from(&self, offset: usize) -> impl Iterator<Item = (StreamSeq, &Slot)> {
        self.live_in(offset..self.slots.len())
    }

    /// The messages before slot `offset`, descending.
    fn live_before(&self, offset: usize) -> impl Iterator<Item = (StreamSeq, &Slot)> {
        self.live_in(0..offset.min(self.slots.len())).rev()
    }
}

impl Table {
    /// Adds a message above all others. Sequences between are holes.
    pub(super) fn append(&mut self, seq: StreamSeq, slot: Slot) {
        let (number, offset) = split(seq.0);
        if self.blocks.back().is_none_or(|last| last.number != number) {
            self.blocks.push_back(Block {
                number,
                live: 0,
                slots: Vec::new(),
            });
        }
        let block = self.blocks.back_mut().expect("pushed just above");
        let absent = Slot {
            node: NodeId::ROOT,
            bytes: 0,
            ..slot
        };
        block.slots.resize(offset, absent);
        block.slots.push(slot);
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
        let slot = block.slots.get_mut(offset)?;
        if !slot.is_live() {
            return None;
        }
        let removed = *slot;
        slot.node = NodeId::ROOT;
        block.live -= 1;
        self.live -= 1;
        if block.live == 0 {
            self.blocks.remove(at);
        }
        if seq.0 == self.first {
            // Without a message left, any number will do.
            self.first = self.next(seq).unwrap_or(seq).0;
        }
        Some(removed)
    }

    pub(super) fn get(&self, seq: StreamSeq) -> Option<&Slot> {
        let (number, offset) = split(seq.0);
        let block = self.blocks.get(self.place_of(number)?)?;
        block.slots.get(offset).filter(|slot| slot.is_live())
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
    pub(super) fn iter_from(&self, from: StreamSeq) -> impl Iterator<Item = (StreamSeq, &Slot)> {
        let (number, offset) = split(from.0.max(self.first));
        let at = self.lower_bound(number);
        self.blocks.range(at..).flat_map(move |block| {
            let skipped = if block.number == number { offset } else { 0 };
            block.live_from(skipped)
        })
    }

    /// The messages before `end`, descending.
    pub(super) fn iter_before(&self, end: StreamSeq) -> impl Iterator<Item = (StreamSeq, &Slot)> {
        let (number, offset) = split(end.0);
        let place = self.lower_bound(number);
        let cut = self.blocks.get(place).filter(|b| b.number == number);
        let cut = cut.into_iter().flat_map(move |b| b.live_before(offset));
        let whole = self.blocks.range(..place).rev();
        cut.chain(whole.flat_map(|block| block.live_before(block.slots.len())))
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
                block.live_from(offset).map(|_| 1).sum()
            } else {
                u64::from(block.live)
            }
        });
        counts.sum()
    }

    /// The first message that is not earlier than `at`, provided that times ascend; otherwise some
    /// message, or none.
    pub(super) fn first_at_or_after(&self, at: i64) -> Option<StreamSeq> {
        let place = self.blocks.partition_point(|block| block.last_at() < at);
        let block = self.blocks.get(place)?;
        let offset = block.slots.partition_point(|slot| slot.at < at);
        self.next(StreamSeq(block.seq_at(offset)))
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

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let slots: usize = self.blocks.iter().map(|b| b.slots.capacity()).sum();
        self.blocks.capacity() * size_of::<Block>() + slots * size_of::<Slot>()
    }
}

/// The number of the block of a sequence, and the slot in it.
fn split(seq: u64) -> (u64, usize) {
    let offset = usize::try_from(seq % BLOCK_SLOTS).expect("below BLOCK_SLOTS");
    (seq / BLOCK_SLOTS, offset)
}
