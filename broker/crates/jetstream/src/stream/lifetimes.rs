//! The messages whose own headers say how long they stay, by sequence and by when they go.
//!
//! Derived from what the store keeps, like the index: built again from the messages when a stream
//! is opened. Memory: some 100 bytes per message with a lifetime, none for others.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use hitherto_protocol::Timestamp;

use crate::{Lifetime, StreamSeq};

/// The lifetimes of the messages of one stream.
#[derive(Debug, Default)]
pub(super) struct Lifetimes {
    by_seq: BTreeMap<StreamSeq, Lifetime>,
    due: BTreeSet<(Timestamp, StreamSeq)>,
    /// Every message below this one stays for ever. Remembers how far was looked, no more.
    aging_from: Cell<StreamSeq>,
}

impl Lifetimes {
    pub(super) fn insert(&mut self, seq: StreamSeq, lifetime: Lifetime) {
        self.by_seq.insert(seq, lifetime);
        self.due.extend(lifetime.expires.map(|at| (at, seq)));
    }

    pub(super) fn get(&self, seq: StreamSeq) -> Option<Lifetime> {
        self.by_seq.get(&seq).copied()
    }

    pub(super) fn remove(&mut self, seq: StreamSeq) {
        if let Some(at) = self.by_seq.remove(&seq).and_then(|gone| gone.expires) {
            self.due.remove(&(at, seq));
        }
    }

    /// The message that goes first by its own headers.
    pub(super) fn first(&self) -> Option<(Timestamp, StreamSeq)> {
        self.due.first().copied()
    }

    pub(super) fn is_marker(&self, seq: StreamSeq) -> bool {
        self.by_seq.get(&seq).is_some_and(|own| own.is_marker)
    }

    /// The first message that does not stay for ever. `next` finds the first message from a
    /// sequence on. What is passed over is not looked at again.
    pub(super) fn first_aging(
        &self,
        next: impl Fn(StreamSeq) -> Option<StreamSeq>,
    ) -> Option<StreamSeq> {
        loop {
            let seq = next(self.aging_from.get())?;
            let own = self.by_seq.get(&seq);
            if own.is_none_or(|own| own.expires.is_some()) {
                return Some(seq);
            }
            self.aging_from.set(seq.next());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_nanos(seconds * 1_000_000_000)
    }

    fn until(expires: Option<Timestamp>) -> Lifetime {
        Lifetime {
            expires,
            is_marker: false,
        }
    }

    #[test]
    fn the_next_to_go_comes_first_whatever_its_place() {
        let mut lifetimes = Lifetimes::default();
        lifetimes.insert(StreamSeq(1), until(Some(at(9))));
        lifetimes.insert(StreamSeq(2), until(Some(at(3))));
        lifetimes.insert(StreamSeq(3), until(None));
        assert_eq!(lifetimes.first(), Some((at(3), StreamSeq(2))));
        lifetimes.remove(StreamSeq(2));
        assert_eq!(lifetimes.first(), Some((at(9), StreamSeq(1))));
        lifetimes.remove(StreamSeq(1));
        lifetimes.remove(StreamSeq(3));
        lifetimes.remove(StreamSeq(7));
        assert_eq!(lifetimes.first(), None);
        assert!(lifetimes.by_seq.is_empty());
    }

    #[test]
    fn what_stays_for_ever_is_passed_over() {
        let mut lifetimes = Lifetimes::default();
        lifetimes.insert(StreamSeq(1), until(None));
        lifetimes.insert(StreamSeq(2), until(None));
        let next = |from: StreamSeq| Some(from.max(StreamSeq(1))).filter(|seq| seq.0 <= 3);
        assert_eq!(lifetimes.first_aging(next), Some(StreamSeq(3)));
        lifetimes.insert(StreamSeq(3), until(None));
        assert_eq!(lifetimes.first_aging(next), None);
    }
}
