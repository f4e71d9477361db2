//! Sequences as ranges: what a purge removes is one range where nothing is kept in between, however many
//! messages it is.

use std::ops::RangeInclusive;

use crate::StreamSeq;

/// Sequences in the order they were added, neighbours together. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeqRanges {
    before: Vec<(u64, u64)>,
    last: (u64, u64),
}

impl SeqRanges {
    pub(crate) fn one(seq: StreamSeq) -> Self {
        Self {
            before: Vec::new(),
            last: (seq.0, seq.0),
        }
    }

    pub(crate) fn push(&mut self, seq: StreamSeq) {
        if self.last.1.checked_add(1) == Some(seq.0) {
            self.last.1 = seq.0;
        } else {
            self.before.push(self.last);
            self.last = (seq.0, seq.0);
        }
    }

    /// The ranges. There are messages, or were, at each of their sequences.
    pub fn iter(&self) -> impl Iterator<Item = RangeInclusive<u64>> {
        let ranges = self.before.iter().chain([&self.last]);
        ranges.map(|(first, last)| *first..=*last)
    }

    /// Every sequence.
    pub fn seqs(&self) -> impl Iterator<Item = StreamSeq> {
        self.iter().flatten().map(StreamSeq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_range() {
        let mut ranges = SeqRanges::one(StreamSeq(3));
        for seq in [4, 5, 9, 8, u64::MAX, 0] {
            ranges.push(StreamSeq(seq));
        }
        let all: Vec<_> = ranges.iter().collect();
        assert_eq!(all, [3..=5, 9..=9, 8..=8, u64::MAX..=u64::MAX, 0..=0]);
    }
}
