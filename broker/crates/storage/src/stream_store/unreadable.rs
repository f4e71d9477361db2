//! How much of a stream one unreadable place takes with it.

use std::ops::RangeInclusive;

use hitherto_jetstream::StreamSeq;

use super::StreamStore;
use super::segment::Segment;
use crate::Error;

impl StreamStore {
    /// Returns the error for a message that should be there and is not.
    pub fn missing(&self, seq: StreamSeq) -> Error {
        let holds =
            |segment: &&Segment| segment.record.first_seq <= seq && seq <= segment.record.last_seq;
        let what = "a message that belongs here is missing";
        match self.segments.iter().find(holds) {
            Some(segment) => segment.damaged(0, what),
            None => Error::damaged(&self.shared.dir, 0, what),
        }
    }

    /// Returns the sequences that cannot be read while `seq` cannot: those of its block, or of its
    /// segment when not even the segment's index can be read. Only `seq` itself when it is in
    /// memory or was never stored.
    pub fn unreadable_with(&self, seq: StreamSeq) -> RangeInclusive<u64> {
        let holds =
            |segment: &&Segment| segment.record.first_seq <= seq && seq <= segment.record.last_seq;
        let Some(segment) = self.segments.iter().find(holds) else {
            return seq.0..=seq.0;
        };
        let (first, last) = (segment.record.first_seq.0, segment.record.last_seq.0);
        let Ok(index) = segment.index(&*self.shared.disk) else {
            return first..=last;
        };
        let after = index.partition_point(|block| block.first_seq <= seq);
        let first = match after.checked_sub(1) {
            Some(block) => index[block].first_seq.0,
            None => first,
        };
        // Where one block ends exactly stands in its header, which may be what is damaged.
        let last = index
            .get(after)
            .map_or(last, |next| next.first_seq.0.saturating_sub(1));
        first..=last
    }
}
