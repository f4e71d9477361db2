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

    /// Returns the sequences that cannot be read while `seq` cannot: those beside it in its block that are
    /// damaged too, or all of its segment when not even the segment's index can be read. Only `seq` itself
    /// when it is in memory or was never stored.
    pub fn unreadable_with(&self, seq: StreamSeq) -> RangeInclusive<u64> {
        let holds =
            |segment: &&Segment| segment.record.first_seq <= seq && seq <= segment.record.last_seq;
        let Some(segment) = self.segments.iter().find(holds) else {
            return seq.0..=seq.0;
        };
        let disk = &*self.shared.disk;
        let (at, end) = match segment.find_range(disk, seq) {
            Ok(Some(found)) => found,
            Err(Error::Damaged { .. }) => {
                return segment.record.first_seq.0..=segment.record.last_seq.0;
            }
            // An error that passes tells nothing of the others.
            Ok(None) | Err(_) => return seq.0..=seq.0,
        };
        let lost = segment
            .reader(disk)
            .and_then(|reader| reader.lost(&at, end));
        match lost {
            Ok(lost) => lost
                .into_iter()
                .map(|lost| lost.sequences)
                .find(|lost| lost.contains(&seq.0))
                .unwrap_or(seq.0..=seq.0),
            Err(Error::Damaged { .. }) => at.first_seq.0..=end.0.saturating_sub(1).max(seq.0),
            Err(_) => seq.0..=seq.0,
        }
    }
}
