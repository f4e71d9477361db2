//! Competing consumers in order: at most one message in flight for each key.
//!
//! An extension, switched on by the metadata key [`ORDERED_BY`]; clients that do not know it need not.
//! The key of a message is a range of the tokens of its subject. A message whose key is busy is held and
//! the ones behind it are delivered, so that an order waits for nothing but itself. Held messages are
//! part of the replicated progress; what stands here is derived from it and the owner's alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hitherto_protocol::Subject;

use super::progress::Progress;
use crate::StreamSeq;
use crate::config::TokenRange;
use crate::index::Index;

/// Messages held at most; beyond it nothing new is looked for until a key is free.
pub(super) const HELD_MAX: usize = 1_000;

/// Which keys are busy, and what waits for them.
#[derive(Debug)]
pub(super) struct Keys {
    range: TokenRange,
    /// The key of each message in flight, and how many each key has: one, but after a change of the range.
    in_flight: HashMap<StreamSeq, String>,
    busy: HashMap<String, usize>,
    /// Held messages by key.
    waiting: BTreeMap<String, BTreeSet<StreamSeq>>,
    /// Held messages that may go now.
    free: BTreeSet<StreamSeq>,
}

impl Keys {
    pub(super) fn new(range: TokenRange) -> Self {
        Self {
            range,
            in_flight: HashMap::new(),
            busy: HashMap::new(),
            waiting: BTreeMap::new(),
            free: BTreeSet::new(),
        }
    }

    /// What follows from the replicated progress.
    pub(super) fn rebuild(&mut self, progress: &Progress, index: &Index) {
        *self = Self::new(self.range);
        for seq in progress.pending.keys() {
            if let Some(subject) = index.subject(*seq) {
                self.delivered(*seq, &subject);
            }
        }
        for seq in &progress.held {
            if let Some(subject) = index.subject(*seq) {
                self.hold(*seq, &subject);
            }
        }
        let keys: Vec<_> = self.waiting.keys().cloned().collect();
        for key in keys {
            self.free_first(&key);
        }
    }

    /// The first held message whose key is free.
    pub(super) fn first_free(&self) -> Option<StreamSeq> {
        self.free.first().copied()
    }

    /// Tells whether a message of this subject has to wait: for one in flight, or behind held ones.
    pub(super) fn is_busy(&self, subject: &Subject) -> bool {
        let key = self.range.of(subject);
        self.busy.contains_key(key) || self.waiting.contains_key(key)
    }

    pub(super) fn hold(&mut self, seq: StreamSeq, subject: &Subject) {
        let key = self.range.of(subject).to_owned();
        self.waiting.entry(key).or_default().insert(seq);
    }

    /// A message is in flight for the first time.
    pub(super) fn delivered(&mut self, seq: StreamSeq, subject: &Subject) {
        let key = self.range.of(subject).to_owned();
        self.stop_waiting(seq, &key);
        *self.busy.entry(key.clone()).or_default() += 1;
        self.in_flight.insert(seq, key);
    }

    /// A message in flight is settled: the next of its key may go.
    pub(super) fn settled(&mut self, seq: StreamSeq) {
        let Some(key) = self.in_flight.remove(&seq) else {
            return;
        };
        if let Some(count) = self.busy.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(&key);
            }
        }
        self.free_first(&key);
    }

    /// A message was removed from the stream.
    pub(super) fn removed(&mut self, seq: StreamSeq, subject: &str) {
        let key = self.range.of_text(subject).to_owned();
        if self.stop_waiting(seq, &key) {
            self.free_first(&key);
        }
    }

    fn stop_waiting(&mut self, seq: StreamSeq, key: &str) -> bool {
        self.free.remove(&seq);
        let Some(waiting) = self.waiting.get_mut(key) else {
            return false;
        };
        let waited = waiting.remove(&seq);
        if waiting.is_empty() {
            self.waiting.remove(key);
        }
        waited
    }

    fn free_first(&mut self, key: &str) {
        if !self.busy.contains_key(key) {
            let first = self.waiting.get(key).and_then(BTreeSet::first);
            self.free.extend(first);
        }
    }
}
