//! What was promised about the messages of one stream, held against what is there.
//!
//! An answer is definite or it is not. What was acknowledged is there, what was refused is not, and what
//! nobody answered for may be there once. After a look the unanswered is known too: what was served once
//! may not vanish later.
//!
//! A relaxed stream promises less: what was acknowledged since something last was on disk for certain may be
//! lost, from some message on to the end and never in the middle, and its sequences name nothing else ever.

use std::collections::{BTreeMap, BTreeSet};

/// Which message it is: every publish of a run has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    /// Messages of one writer are published one after the other.
    pub(super) writer: usize,
    pub(super) number: u64,
}

/// A message as it was sent, or as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) subject: String,
    pub(super) payload: String,
}

/// What was promised.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    stored: BTreeMap<u64, Content>,
    /// Sent, and nobody knows what became of it.
    unknown: BTreeMap<Identity, Content>,
    /// Was unknown until the last look: what to try again, with the place it was found at.
    resolved: Vec<(Content, Option<u64>)>,
    /// Messages somebody asked to remove, without a definite answer.
    doubtful: BTreeSet<u64>,
    /// What the consumer has acknowledged, and was told so.
    settled: BTreeSet<u64>,
    /// What it has acknowledged without an answer: it may come again or not.
    perhaps_settled: BTreeSet<u64>,
    last_seq: u64,
    /// The stream is relaxed.
    is_relaxed: bool,
    /// Everything acknowledged up to here is on disk for certain. Only of use where it is relaxed.
    safe_seq: u64,
    /// Sequences of acknowledged messages that were lost.
    burnt: BTreeSet<u64>,
    next_number: u64,
    acked: u64,
}

impl Identity {
    /// Reads it off a payload.
    pub(super) fn of(payload: &str) -> Self {
        let mut words = payload.split(' ');
        let mut word = || words.next().expect("every payload names its message");
        Self {
            writer: word().parse().expect("a writer"),
            number: word().parse().expect("a number"),
        }
    }
}

impl Ledger {
    /// What a relaxed stream promises.
    pub(super) fn relaxed() -> Self {
        Self {
            is_relaxed: true,
            ..Self::default()
        }
    }

    /// Everything acknowledged is on disk.
    pub(super) fn is_safe(&mut self) {
        self.safe_seq = self.last_seq;
    }

    /// A number no message has had.
    pub(super) fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(super) fn acknowledged(&mut self, seq: u64, content: Content) {
        assert!(
            seq > 0 && !self.stored.contains_key(&seq),
            "sequence {seq} was given to {:?} and again to {content:?}",
            self.stored.get(&seq)
        );
        assert!(
            !self.burnt.contains(&seq),
            "sequence {seq} was given to a lost message and again to {content:?}"
        );
        self.last_seq = self.last_seq.max(seq);
        self.stored.insert(seq, content);
        self.acked += 1;
    }

    pub(super) fn unanswered(&mut self, content: Content) {
        self.unknown.insert(Identity::of(&content.payload), content);
    }

    /// Messages are asked to go; `is_done` when that was confirmed.
    pub(super) fn removed(&mut self, seqs: impl IntoIterator<Item = u64>, is_done: bool) {
        if is_done {
            self.is_safe();
        }
        for seq in seqs {
            if is_done {
                self.stored.remove(&seq);
                self.doubtful.remove(&seq);
            } else {
                self.doubtful.insert(seq);
            }
        }
    }

    /// The consumer has acknowledged a message; `is_done` when that was confirmed.
    pub(super) fn settled(&mut self, seq: u64, is_done: bool) {
        if is_done {
            self.is_safe();
            self.settled.insert(seq);
        } else {
            self.perhaps_settled.insert(seq);
        }
    }

    pub(super) fn is_settled(&self, seq: u64) -> bool {
        self.settled.contains(&seq)
    }

    /// Tells whether the consumer need not get the message again.
    pub(super) fn may_be_settled(&self, seq: u64) -> bool {
        self.is_settled(seq) || self.perhaps_settled.contains(&seq)
    }

    /// The messages that are there for certain, by sequence.
    pub(super) fn stored(&self) -> &BTreeMap<u64, Content> {
        &self.stored
    }

    /// Tells whether it is known which message of the subject is the last.
    pub(super) fn knows_last_on(&self, subject: &str) -> bool {
        let is_certain = |seq: &u64| !self.doubtful.contains(seq);
        self.unknown.values().all(|sent| sent.subject != subject)
            && self.stored.keys().all(is_certain)
    }

    pub(super) fn last_on(&self, subject: &str) -> u64 {
        let mut newest = self.stored.iter().rev();
        let found = newest.find(|(_, content)| content.subject == subject);
        found.map_or(0, |(seq, _)| *seq)
    }

    pub(super) fn take_resolved(&mut self) -> Vec<(Content, Option<u64>)> {
        std::mem::take(&mut self.resolved)
    }

    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// Holds everything against what a restarted node has, ascending, and takes that for known.
    pub(super) fn compare_with(&mut self, found: &[(u64, Content)]) {
        assert!(
            found.is_sorted_by(|(before, _), (after, _)| before < after),
            "sequences ascend: {found:?}"
        );
        self.forget_lost_tail(found);
        let mut unknown = std::mem::take(&mut self.unknown);
        for (seq, content) in found {
            assert!(
                !self.burnt.contains(seq),
                "sequence {seq} was lost: {content:?}"
            );
            if let Some(promised) = self.stored.get(seq) {
                assert_eq!(content, promised, "sequence {seq} has changed");
                continue;
            }
            let sent = unknown.remove(&Identity::of(&content.payload));
            assert_eq!(
                sent.as_ref(),
                Some(content),
                "sequence {seq} holds what was refused, removed, or is there twice"
            );
            self.resolved.push((content.clone(), Some(*seq)));
        }
        let there: BTreeMap<_, _> = found.iter().cloned().collect();
        for (seq, content) in &self.stored {
            assert!(
                there.contains_key(seq) || self.doubtful.contains(seq),
                "sequence {seq} is lost: {content:?}"
            );
        }
        let gone = unknown.into_values().map(|content| (content, None));
        self.resolved.extend(gone);
        self.stored = there;
        self.doubtful.clear();
        self.last_seq = self.stored.keys().copied().fold(self.last_seq, u64::max);
        self.is_safe();
        self.check_order();
    }

    /// Of a relaxed stream the end may be missing.
    fn forget_lost_tail(&mut self, found: &[(u64, Content)]) {
        let is_there = |seq: &u64| found.binary_search_by_key(seq, |(seq, _)| *seq).is_ok();
        let mut acked = self.stored.keys().copied();
        let lost = acked.find(|seq| !is_there(seq) && !self.doubtful.contains(seq));
        let Some(first) = lost.filter(|first| self.is_relaxed && *first > self.safe_seq) else {
            return;
        };
        if let Some((seq, content)) = found.last() {
            assert!(
                *seq < first,
                "{first} is lost, and behind it there is {seq}: {content:?}"
            );
        }
        self.burnt.extend(self.stored.split_off(&first).into_keys());
    }

    /// Each writer's messages stand in the order they were sent in.
    fn check_order(&self) {
        let mut newest: BTreeMap<usize, u64> = BTreeMap::new();
        for (seq, content) in &self.stored {
            let Identity { writer, number } = Identity::of(&content.payload);
            let before = newest.insert(writer, number).unwrap_or(0);
            assert!(
                writer == RETRIES || before < number,
                "sequence {seq}: message {number} of writer {writer} comes after {before}"
            );
        }
    }
}

/// The writer of messages that are sent again later, and so out of order.
pub(super) const RETRIES: usize = 99;
