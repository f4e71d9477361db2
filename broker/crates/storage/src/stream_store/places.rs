//! Where the records of a plain block lie: what reading one of them alone needs.
//!
//! It comes out of the block's summary, without a look at the records. Where the summary is damaged, the
//! records are walked instead, as far as they are intact: nothing behind a damaged one is taken for a
//! record, or bytes that somebody published could pass for one.

use std::ops::{Range, RangeInclusive};

use hitherto_jetstream::StreamSeq;

use super::block::BlockHeader;
use super::block_index::BlockRef;
use super::record::{self, Record};
use super::summary;

/// The places of the records of one block: 4 bytes of memory each where no sequence is missing.
#[derive(Debug)]
pub(super) struct Places {
    /// The sequences, where some between the first and the last are missing.
    seqs: Option<Box<[u64]>>,
    first_seq: u64,
    /// Where the first record begins.
    start: u32,
    /// Where each record ends.
    ends: Box<[u32]>,
    /// Whether there are records behind these, which cannot be found.
    is_cut: bool,
}

/// Messages that follow each other and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) sequences: RangeInclusive<u64>,
    /// Where the first of them lies in the block.
    pub(super) at: u32,
}

impl Places {
    /// Reads them out of the summary at the front of a block; `None` when that is not what was written.
    pub(super) fn of_summary(head: &[u8], header: &BlockHeader) -> Option<Self> {
        let sizes = summary::sizes(header.summary(head)?, header.first_seq, header.count)?;
        let mut found = Found::new(header.head_len(), sizes.len())?;
        for (seq, bytes) in sizes {
            found.push(seq, record::len_of(bytes)?)?;
        }
        let is_whole = found.end() as usize == header.block_len();
        is_whole.then(|| found.finish(header.first_seq, false))
    }

    /// Finds the intact records at the front of a whole block. What its header says is not needed.
    pub(super) fn of_records(block: &[u8], at: &BlockRef) -> Option<Self> {
        let mut found = Found::new(at.head_len as usize, 0)?;
        let mut least = at.first_seq;
        while let Some(rest) = block
            .get(found.end() as usize..)
            .filter(|rest| !rest.is_empty())
        {
            let intact = Record::split_intact(rest).filter(|(record, _)| record.seq >= least);
            let Some((record, len)) = intact else {
                return Some(found.finish(at.first_seq, true));
            };
            least = record.seq.next();
            found.push(record.seq.0, len)?;
        }
        let is_cut = found.ends.len() != at.count as usize;
        Some(found.finish(at.first_seq, is_cut))
    }

    /// Where in its block the record of a sequence lies; `None` when it is not here.
    pub(super) fn find(&self, seq: StreamSeq) -> Option<Range<u32>> {
        let place = match &self.seqs {
            Some(seqs) => seqs.binary_search(&seq.0).ok()?,
            None => usize::try_from(seq.0.checked_sub(self.first_seq)?).ok()?,
        };
        self.range(place)
    }

    /// Tells whether all records of the block are found.
    pub(super) fn is_complete(&self) -> bool {
        !self.is_cut
    }

    /// Where each record begins.
    pub(super) fn starts(&self) -> impl Iterator<Item = u32> {
        let ends = &self.ends[..self.ends.len().saturating_sub(1)];
        let first = (!self.ends.is_empty()).then_some(self.start);
        first.into_iter().chain(ends.iter().copied())
    }

    /// The messages of the whole block `block` that cannot be read; `end` is the first sequence behind it.
    pub(super) fn lost(&self, block: &[u8], end: StreamSeq) -> Vec<Lost> {
        let mut lost: Vec<Lost> = Vec::new();
        let mut goes_on = false;
        for place in 0..self.ends.len() {
            let (seq, range) = (self.seq(place), self.range(place).unwrap_or_default());
            if record_at(block, &range, StreamSeq(seq)).is_some() {
                goes_on = false;
                continue;
            }
            match lost.last_mut().filter(|_| goes_on) {
                Some(run) => run.sequences = *run.sequences.start()..=seq,
                None => lost.push(Lost {
                    sequences: seq..=seq,
                    at: range.start,
                }),
            }
            goes_on = true;
        }
        if self.is_cut {
            let first = match self.ends.len().checked_sub(1) {
                Some(last) => self.seq(last) + 1,
                None => self.first_seq,
            };
            lost.push(Lost {
                sequences: first..=end.0.saturating_sub(1).max(first),
                at: self.ends.last().copied().unwrap_or(self.start),
            });
        }
        lost
    }

    /// Bytes it takes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let seqs = self.seqs.as_ref().map_or(0, |seqs| seqs.len());
        size_of::<Self>() + self.ends.len() * size_of::<u32>() + seqs * size_of::<u64>()
    }

    fn seq(&self, place: usize) -> u64 {
        match &self.seqs {
            Some(seqs) => seqs[place],
            None => self.first_seq + place as u64,
        }
    }

    fn range(&self, place: usize) -> Option<Range<u32>> {
        let end = *self.ends.get(place)?;
        let start = match place.checked_sub(1) {
            Some(before) => self.ends[before],
            None => self.start,
        };
        Some(start..end)
    }
}

/// The record at this place of a block, if it is intact and that of `seq`.
fn record_at<'a>(block: &'a [u8], range: &Range<u32>, seq: StreamSeq) -> Option<Record<'a>> {
    alone(block.get(range.start as usize..range.end as usize)?, seq)
}

/// The record that is all of `bytes`, if it is intact and that of `seq`.
pub(super) fn alone(bytes: &[u8], seq: StreamSeq) -> Option<Record<'_>> {
    let (record, len) = Record::split_intact(bytes)?;
    (len == bytes.len() && record.seq == seq).then_some(record)
}

/// Places under way.
struct Found {
    start: u32,
    seqs: Vec<u64>,
    ends: Vec<u32>,
}

impl Found {
    fn new(start: usize, count: usize) -> Option<Self> {
        Some(Self {
            start: u32::try_from(start).ok()?,
            seqs: Vec::with_capacity(count),
            ends: Vec::with_capacity(count),
        })
    }

    fn end(&self) -> u32 {
        self.ends.last().copied().unwrap_or(self.start)
    }

    fn push(&mut self, seq: u64, len: usize) -> Option<()> {
        let end = self.end().checked_add(u32::try_from(len).ok()?)?;
        self.ends.push(end);
        self.seqs.push(seq);
        Some(())
    }

    fn finish(self, first_seq: StreamSeq, is_cut: bool) -> Places {
        let first_seq = self.seqs.first().copied().unwrap_or(first_seq.0);
        let span = self.seqs.last().map_or(0, |last| last - first_seq + 1);
        Places {
            seqs: (span != self.seqs.len() as u64).then(|| self.seqs.into()),
            first_seq,
            start: self.start,
            ends: self.ends.into(),
            is_cut,
        }
    }
}
