//! The duplicate window: which message ids were stored lately, and where.
//!
//! Time is the leader's, carried by the commands, so every replica forgets the same ids.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::Stream;
use crate::StreamSeq;

/// One remembered id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    id: Arc<str>,
    seq: StreamSeq,
    /// From then on it is forgotten.
    until: Timestamp,
}

/// Ids by text, and in the order they will be forgotten.
#[derive(Debug, Default)]
pub(super) struct Dedupe {
    seqs: HashMap<Arc<str>, (StreamSeq, Timestamp)>,
    order: VecDeque<Remembered>,
    /// The length of all ids in `order`.
    bytes: usize,
}

impl Dedupe {
    /// Returns where the message with this id is, if it was stored within the window before `now`.
    pub(super) fn get(&self, id: &str, now: Timestamp) -> Option<StreamSeq> {
        let (seq, until) = self.seqs.get(id)?;
        (now < *until).then_some(*seq)
    }

    pub(super) fn insert(&mut self, id: &str, seq: StreamSeq, at: Timestamp, window: Duration) {
        self.forget(at);
        if window.is_zero() {
            return;
        }
        let remembered = Remembered {
            id: id.into(),
            seq,
            until: at.saturating_add(window),
        };
        self.restore_one(remembered);
        while self.order.len() > Stream::DEDUPE_IDS_MAX || self.bytes > Stream::DEDUPE_BYTES_MAX {
            self.forget_first();
        }
    }

    pub(super) fn snapshot(&self) -> Vec<Remembered> {
        self.order.iter().cloned().collect()
    }

    pub(super) fn restore(remembered: Vec<Remembered>) -> Self {
        let mut dedupe = Self::default();
        for one in remembered {
            dedupe.restore_one(one);
        }
        dedupe
    }

    fn restore_one(&mut self, one: Remembered) {
        self.seqs.insert(one.id.clone(), (one.seq, one.until));
        self.bytes += one.id.len();
        self.order.push_back(one);
    }

    fn forget(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|first| first.until <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some(first) = self.order.pop_front() else {
            return;
        };
        self.bytes -= first.id.len();
        // The id may have been stored again since, after its window.
        if self
            .seqs
            .get(&first.id)
            .is_some_and(|(seq, _)| *seq == first.seq)
        {
            self.seqs.remove(&first.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn an_id_is_known_within_its_window_only() {
        let mut dedupe = Dedupe::default();
        dedupe.insert("a", StreamSeq(1), at(0), WINDOW);
        assert_eq!(dedupe.get("a", at(9)), Some(StreamSeq(1)));
        assert_eq!(dedupe.get("a", at(10)), None);
        assert_eq!(dedupe.get("b", at(1)), None);
    }

    #[test]
    fn an_id_stored_again_is_known_by_its_later_place() {
        let mut dedupe = Dedupe::default();
        dedupe.insert("a", StreamSeq(1), at(0), WINDOW);
        dedupe.insert("a", StreamSeq(5), at(11), WINDOW);
        dedupe.insert("b", StreamSeq(6), at(12), WINDOW);
        assert_eq!(dedupe.get("a", at(13)), Some(StreamSeq(5)));
        assert_eq!(
            Dedupe::restore(dedupe.snapshot()).get("a", at(13)),
            Some(StreamSeq(5))
        );
    }

    #[test]
    fn long_ids_are_bounded_by_their_bytes() {
        let mut dedupe = Dedupe::default();
        let long = "x".repeat(Stream::DEDUPE_BYTES_MAX / 2);
        for seq in 1..=3 {
            dedupe.insert(&format!("{long}{seq}"), StreamSeq(seq), at(0), WINDOW);
        }
        assert_eq!(dedupe.get(&format!("{long}1"), at(1)), None);
        assert_eq!(dedupe.get(&format!("{long}3"), at(1)), Some(StreamSeq(3)));
        assert!(dedupe.bytes <= Stream::DEDUPE_BYTES_MAX);
    }

    #[test]
    fn without_a_window_nothing_is_remembered() {
        let mut dedupe = Dedupe::default();
        dedupe.insert("a", StreamSeq(1), at(0), Duration::ZERO);
        assert_eq!(dedupe.get("a", at(0)), None);
    }
}
