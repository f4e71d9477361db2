//! The messages of one stream that cannot be read because their bytes are damaged.
//!
//! Nothing is cut: the messages stay in the index and count, `lost` of the stream's info lists them, reading one
//! is an error, and consumers pass them over with an advisory.

use std::collections::BTreeMap;
use std::mem;
use std::ops::RangeInclusive;

use bytes::Bytes;
use hitherto_jetstream::TypedEvent;
use hitherto_protocol::{Subject, Timestamp};
use serde::Serialize;

/// Ranges that are told apart: 10,000. With more, neighbours are taken together, which says too much rather
/// than too little.
const RANGES_MAX: usize = 10_000;

/// The schema of the advisory; a type of our own, nats-server has none.
const ADVISORY_TYPE: &str = "io.hitherto.jetstream.advisory.v1.stream_damaged";

/// The ranges found so far, and what has not been said of them yet.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    /// Last sequence by first; they do not overlap.
    ranges: BTreeMap<u64, u64>,
    unsaid: Vec<(RangeInclusive<u64>, String)>,
}

/// Tells that part of a stream is damaged.
#[derive(Serialize)]
struct Damaged<'a> {
    stream: &'a str,
    first_seq: u64,
    last_seq: u64,
    problem: &'a str,
}

impl Unreadable {
    /// Adds a range; `false` when all of it was known.
    pub(super) fn add(&mut self, range: RangeInclusive<u64>, problem: &str) -> bool {
        if self.holds(&range) {
            return false;
        }
        let (mut first, mut last) = range.clone().into_inner();
        while let Some((start, end)) = self.ranges.range(..=last).next_back() {
            if *end < first {
                break;
            }
            let start = *start;
            first = first.min(start);
            last = last.max(*end);
            self.ranges.remove(&start);
        }
        self.ranges.insert(first, last);
        if self.ranges.len() > RANGES_MAX {
            self.join_first_two();
        }
        self.unsaid.push((range, problem.to_owned()));
        true
    }

    /// The ranges, ascending.
    pub(super) fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u64>> {
        self.ranges.iter().map(|(first, last)| *first..=*last)
    }

    /// The advisories not published yet.
    pub(super) fn take_advisories(
        &mut self,
        stream: &str,
        now: Timestamp,
    ) -> Vec<(Option<Subject>, Bytes)> {
        let advisory = |(range, problem): (RangeInclusive<u64>, String)| {
            let (first_seq, last_seq) = range.into_inner();
            let advisory = TypedEvent {
                kind: ADVISORY_TYPE,
                id: format!("DAMAGED.{stream}.{first_seq}.{last_seq}"),
                timestamp: now,
                fields: Damaged {
                    stream,
                    first_seq,
                    last_seq,
                    problem: &problem,
                },
            };
            let subject = format!("$JS.EVENT.ADVISORY.STREAM.DAMAGED.{stream}");
            (Subject::new(subject).ok(), advisory.to_bytes())
        };
        mem::take(&mut self.unsaid)
            .into_iter()
            .map(advisory)
            .collect()
    }

    /// Forgets the ranges that end before `seq`: those messages are gone. Tells whether there were any.
    pub(super) fn forget_below(&mut self, seq: u64) -> bool {
        let before = self.ranges.len();
        self.ranges.retain(|_, last| *last >= seq);
        self.ranges.len() < before
    }

    pub(super) fn has_unsaid(&self) -> bool {
        !self.unsaid.is_empty()
    }

    fn holds(&self, range: &RangeInclusive<u64>) -> bool {
        let before = self.ranges.range(..=*range.start()).next_back();
        before.is_some_and(|(_, last)| last >= range.end())
    }

    fn join_first_two(&mut self) {
        if let Some((first, _)) = self.ranges.pop_first()
            && let Some((_, last)) = self.ranges.pop_first()
        {
            self.ranges.insert(first, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(unreadable: &Unreadable) -> Vec<(u64, u64)> {
        unreadable
            .ranges()
            .map(RangeInclusive::into_inner)
            .collect()
    }

    #[test]
    fn overlapping_ranges_become_one_and_known_ones_are_not_said_again() {
        let mut unreadable = Unreadable::default();
        assert!(unreadable.add(10..=20, "crc"));
        assert!(!unreadable.add(12..=15, "crc"));
        assert!(unreadable.add(40..=50, "crc"));
        assert!(unreadable.add(18..=45, "crc"));
        assert!(unreadable.add(1..=2, "crc"));
        assert_eq!(ranges(&unreadable), [(1, 2), (10, 50)]);
        assert!(unreadable.forget_below(3) && !unreadable.forget_below(50));
        assert_eq!(ranges(&unreadable), [(10, 50)]);
        let said = unreadable.take_advisories("S", Timestamp::ZERO);
        assert_eq!(said.len(), 4);
        assert!(!unreadable.has_unsaid());
    }

    #[test]
    fn ranges_are_bounded_and_nothing_is_forgotten() {
        let mut unreadable = Unreadable::default();
        for number in 0..RANGES_MAX as u64 + 3 {
            unreadable.add(number * 10..=number * 10 + 1, "crc");
        }
        assert_eq!(unreadable.ranges().count(), RANGES_MAX);
        assert_eq!(ranges(&unreadable)[0], (0, 31));
    }
}
