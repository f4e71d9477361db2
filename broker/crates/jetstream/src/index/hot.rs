//! The newest messages of a stream, or all of them while they are few: in memory.
//!
//! # Costs
//!
//! With `d` tokens in a subject:
//!
//! | question | cost |
//! |---|---|
//! | append | O(d) look-ups |
//! | get, contains | O(1); O(log blocks) in a stream with wide gaps |
//! | remove | O(d); from the middle of a subject with many messages also a move of the shorter side; the newest message below a token also a pass over that token's children |
//! | last, all / literal / `prefix.>` | O(d) |
//! | last, with `*` | a probe of [`BACK_SLOTS`]; then the nodes whose newest message is newer than the answer, and their siblings |
//! | count from the first message, all / literal / `prefix.>` | O(d) |
//! | count from the middle | literal O(log n); near the end a scan of at most [`SCAN_SLOTS`]; otherwise the matching subjects |
//! | next, all / literal | O(1) / O(d + log n) |
//! | next, otherwise | a probe of [`PROBE_SLOTS`]; then up to [`LEAVES_MAX`] postings; else a scan up to the answer |
//! | time | O(log n) |
//!
//! A scan that ends in `None` has seen every message up to [`Hot::last_seq`]; a caller goes on
//! behind it and must not ask from the same place again.
//!
//! Memory for a message of its own subject `orders.order.<id>.placed`: some 60 bytes; with four
//! events to an `<id>` some 70, as each `<id>` is a node then; for one more message of a subject 8 to 12. The
//! test `memory_stays_within_what_is_documented` counts it
//! (`cargo test -p hitherto-jetstream index::`).

use hitherto_protocol::{Subject, SubjectFilter, Timestamp};

use super::node_id::NodeId;
use super::pattern::{Pattern, Shape};
use super::table::{Slot, Table};
use super::trie::{Trie, Walk, count};
use super::{Entry, Removed, Selection, TableDraft};
use crate::{MessageMeta, StreamSeq};

/// Slots that [`Hot::next`] looks at before it asks the trie: most consumers follow closely or
/// select most of the stream.
const PROBE_SLOTS: usize = 32;

/// Subjects up to which [`Hot::next`] compares postings; with more, the next message is near as
/// a rule and a scan finds it sooner.
const LEAVES_MAX: usize = 64;

/// Nodes that [`Hot::next`] looks at in search of these subjects.
const VISITS_MAX: usize = 256;

/// Sequences up to which [`Hot::count`] scans instead of asking every matching subject.
const SCAN_SLOTS: u64 = 1024;

/// Messages before a place that are looked at, from the newest on, before all children of a token
/// are asked for the newest message below them.
const BACK_SLOTS: usize = 256;

/// The newest messages of a stream without their bodies: by sequence, by subject, by time.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) table: Table,
    pub(super) trie: Trie,
    /// The highest sequence given so far, whether its message is still there or not.
    last: StreamSeq,
    /// Sum over the table.
    bytes: u64,
}

impl Hot {
    /// An empty index whose next message gets the sequence after `last`.
    pub(super) fn new(last: StreamSeq) -> Self {
        Self {
            table: Table::default(),
            trie: Trie::new(),
            last,
            bytes: 0,
        }
    }

    /// Adds a message. Sequences between the last one and `meta.seq` are holes.
    ///
    /// A size above `u32::MAX` counts as that; no message can be as large.
    ///
    /// # Panics
    ///
    /// When `meta.seq` is not above [`Hot::last_seq`].
    pub(super) fn append(&mut self, meta: &MessageMeta) {
        assert!(
            meta.seq > self.last,
            "message {} comes after {}",
            meta.seq,
            self.last
        );
        let bytes = u32::try_from(meta.bytes).unwrap_or(u32::MAX);
        let node = self.trie.append(meta.subject.as_str(), meta.seq);
        let at = meta.at.unix_nanos();
        self.table.append(meta.seq, Slot { at, node, bytes });
        self.last = meta.seq;
        self.bytes += u64::from(bytes);
    }

    /// Gives away the sequences up to `last` without messages; nothing when they are given already.
    pub(super) fn skip_to(&mut self, last: StreamSeq) {
        self.last = self.last.max(last);
    }

    /// Takes a message out; `None` when it is not there.
    pub(super) fn remove(&mut self, seq: StreamSeq) -> Option<Removed> {
        let slot = self.table.remove(seq)?;
        let subject = self.subject_at(slot.node);
        let before = || {
            let slots = self.table.iter_before(seq).take(BACK_SLOTS);
            slots.map(|(seq, slot)| (seq, slot.node))
        };
        self.trie.remove(slot.node, seq, before);
        self.bytes -= u64::from(slot.bytes);
        Some(Removed {
            at: Timestamp::from_unix_nanos(slot.at),
            bytes: u64::from(slot.bytes),
            subject,
        })
    }

    /// Lets go of the messages of a draft, which are the oldest.
    pub(super) fn drop_through(&mut self, draft: &TableDraft) {
        let left = self.messages().checked_sub(draft.messages());
        if left.expect("a draft is of messages in memory") > draft.messages() {
            while self.first_seq() <= draft.last() {
                self.remove(self.first_seq());
            }
            return;
        }
        // Built anew it takes no more room than it needs.
        let mut rest = Self::new(draft.last());
        for (seq, slot) in self.table.iter_from(draft.last().next()) {
            rest.append(&self.meta_of(seq, slot));
        }
        rest.skip_to(self.last);
        *self = rest;
    }

    /// What is known of a message; `None` when it is not there.
    pub(super) fn get(&self, seq: StreamSeq) -> Option<Entry> {
        self.table.get(seq).map(|slot| Entry {
            at: Timestamp::from_unix_nanos(slot.at),
            bytes: u64::from(slot.bytes),
        })
    }

    /// Tells whether a message is there.
    pub(super) fn contains(&self, seq: StreamSeq) -> bool {
        self.table.get(seq).is_some()
    }

    /// The subject of a message; `None` when it is not there.
    pub(super) fn subject(&self, seq: StreamSeq) -> Option<Subject> {
        self.table.get(seq).map(|slot| self.subject_at(slot.node))
    }

    fn subject_at(&self, node: NodeId) -> Subject {
        Subject::new(self.trie.subject(node)).expect("its tokens were those of a subject")
    }

    /// The sequence of the first message; the one after [`Hot::last_seq`] when there is none.
    pub(super) fn first_seq(&self) -> StreamSeq {
        self.table.first().unwrap_or_else(|| self.after_last())
    }

    /// The highest sequence given so far, whether its message is still there or not.
    pub(super) fn last_seq(&self) -> StreamSeq {
        self.last
    }

    fn after_last(&self) -> StreamSeq {
        StreamSeq(self.last.0.saturating_add(1))
    }

    /// The time of the first message; `None` when there is none.
    pub(super) fn first_at(&self) -> Option<Timestamp> {
        self.get(self.table.first()?).map(|entry| entry.at)
    }

    /// The time of the newest message that is still there; `None` when there is none.
    #[cfg(test)]
    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.get(self.trie.newest()?).map(|entry| entry.at)
    }

    /// How many messages there are.
    pub(super) fn messages(&self) -> u64 {
        self.table.len()
    }

    /// The sum of their sizes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How much memory the messages there are take, in bytes; costs O(1). What removed ones took is reused
    /// by later ones, and not counted.
    pub(super) fn memory_bytes(&self) -> u64 {
        let bytes = self.trie.used_bytes() + self.table.used_bytes();
        u64::try_from(bytes).expect("memory ends before 2^64 bytes")
    }

    /// How many subjects have a message.
    pub(super) fn subjects(&self) -> u64 {
        self.trie.subjects()
    }

    /// The newest message that `filter` selects.
    pub(super) fn last(&self, filter: &SubjectFilter) -> Option<StreamSeq> {
        if filter.is_literal() {
            return self.last_on(filter.as_str());
        }
        let pattern = Pattern::new(filter);
        if pattern.shape() == Shape::Wild {
            let mut newest = self.table.iter_before(self.after_last()).take(BACK_SLOTS);
            if let Some((seq, _)) = newest.find(|(_, slot)| self.trie.matches(&pattern, slot.node))
            {
                return Some(seq);
            }
        }
        self.trie.last(&pattern)
    }

    /// The newest message that is selected.
    pub(super) fn last_selected(&self, selection: &Selection) -> Option<StreamSeq> {
        if selection.is_all() {
            return self.trie.newest();
        }
        let newest = selection.filters.iter().map(|filter| self.last(filter));
        newest.max().flatten()
    }

    /// The message of exactly this subject that has `place` older ones.
    pub(super) fn nth_on(&self, subject: &str, place: usize) -> Option<StreamSeq> {
        self.trie.postings_of(subject).get(place)
    }

    /// The newest message of exactly this subject.
    pub(super) fn last_on(&self, subject: &str) -> Option<StreamSeq> {
        self.trie.postings_of(subject).last()
    }

    /// The newest message of exactly this subject that is not above `upto`.
    pub(super) fn last_on_upto(&self, subject: &str, upto: StreamSeq) -> Option<StreamSeq> {
        self.trie.postings_of(subject).last_upto(upto)
    }

    /// How many messages exactly this subject has.
    pub(super) fn count_on(&self, subject: &str) -> u64 {
        count(self.trie.postings_of(subject).len())
    }

    /// The first message from `from` on.
    pub(super) fn next_any(&self, from: StreamSeq) -> Option<StreamSeq> {
        self.table.next(from)
    }

    /// The first message from `from` on that is selected.
    pub(super) fn next(&self, from: StreamSeq, selection: &Selection) -> Option<StreamSeq> {
        if selection.is_all() {
            return self.table.next(from);
        }
        if let [filter] = selection.filters.as_slice()
            && filter.is_literal()
        {
            return self.trie.postings_of(filter.as_str()).first_from(from);
        }
        let mut slots = self.table.iter_from(from);
        let is_selected = |slot: &Slot| selection.selects(&self.trie, slot.node);
        let mut probe = slots.by_ref().take(PROBE_SLOTS);
        if let Some((seq, _)) = probe.find(|(_, slot)| is_selected(slot)) {
            return Some(seq);
        }
        if let Some(nodes) = self.few_subjects(from, selection) {
            let postings = nodes.iter().map(|node| self.trie.postings(*node));
            return postings.filter_map(|all| all.first_from(from)).min();
        }
        slots
            .find(|(_, slot)| is_selected(slot))
            .map(|(seq, _)| seq)
    }

    /// The selected subjects that have a message from `from` on; `None` when they are many, or
    /// hard to find.
    fn few_subjects(&self, from: StreamSeq, selection: &Selection) -> Option<Vec<NodeId>> {
        let walk = Walk {
            floor: from,
            visits_max: VISITS_MAX,
        };
        let mut nodes = Vec::new();
        for pattern in &selection.patterns {
            let complete = self.trie.walk(pattern, walk, |node| nodes.push(node));
            if !complete || nodes.len() > LEAVES_MAX {
                return None;
            }
        }
        Some(nodes)
    }

    /// How many messages from `from` on are selected.
    pub(super) fn count(&self, from: StreamSeq, selection: &Selection) -> u64 {
        if selection.is_all() {
            return self.table.count_from(from);
        }
        let whole = from <= self.first_seq();
        if whole && selection.disjoint {
            let counts = selection.patterns.iter().map(|p| self.trie.count(p));
            return counts.sum();
        }
        let near = self.last.0.saturating_sub(from.0) < SCAN_SLOTS;
        if near && !selection.filters.iter().all(SubjectFilter::is_literal) {
            let slots = self.table.iter_from(from);
            let selected = slots.filter(|(_, slot)| selection.selects(&self.trie, slot.node));
            return count(selected.count());
        }
        let nodes = self.subjects_of(selection, from);
        let counts = nodes
            .iter()
            .map(|n| self.trie.postings(*n).count_from(from));
        counts.map(count).sum()
    }

    /// The first message that is not earlier than `at`; the sequence after [`Hot::last_seq`]
    /// when there is none. Where times do not ascend (a new leader with a slower clock), a message
    /// near the place.
    pub(super) fn at_time(&self, at: Timestamp) -> StreamSeq {
        let found = self.table.first_at_or_after(at.unix_nanos());
        found.unwrap_or_else(|| self.after_last())
    }

    /// The newest message of each selected subject that is not above `upto`, ascending.
    pub(super) fn last_per_subject_upto(
        &self,
        selection: &Selection,
        upto: StreamSeq,
    ) -> Vec<StreamSeq> {
        let nodes = self.subjects_of(selection, StreamSeq(0));
        let newest = nodes
            .iter()
            .filter_map(|n| self.trie.postings(*n).last_upto(upto));
        let mut newest: Vec<StreamSeq> = newest.collect();
        newest.sort_unstable();
        newest
    }

    /// The subjects that `filter` selects, ascending, each with the number of its messages.
    pub(super) fn subjects_matching(&self, filter: &SubjectFilter) -> Vec<(String, u64)> {
        let mut subjects = Vec::new();
        let all = Walk::unlimited(StreamSeq(0));
        self.trie.walk(&Pattern::new(filter), all, |node| {
            let messages = count(self.trie.postings(node).len());
            subjects.push((self.trie.subject(node), messages));
        });
        subjects.sort_unstable();
        subjects
    }

    /// The selected messages before `upto`, ascending; all of them when it is `None`.
    pub(super) fn selected(
        &self,
        selection: &Selection,
        upto: Option<StreamSeq>,
    ) -> Vec<StreamSeq> {
        let before = |seq: &StreamSeq| upto.is_none_or(|upto| *seq < upto);
        if selection.is_all() {
            let slots = self.table.iter_from(StreamSeq(0));
            return slots.map(|(seq, _)| seq).take_while(before).collect();
        }
        let nodes = self.subjects_of(selection, StreamSeq(0));
        let mut seqs = Vec::new();
        for node in nodes {
            seqs.extend(self.trie.postings(node).iter().take_while(before));
        }
        seqs.sort_unstable();
        seqs
    }

    /// The sequences of all messages, ascending.
    pub(super) fn seqs(&self) -> impl Iterator<Item = u64> {
        self.table.iter_from(StreamSeq(0)).map(|(seq, _)| seq.0)
    }

    /// The oldest messages, so many at most. How long they stay is not known here.
    pub(super) fn oldest(&self, messages_max: usize) -> impl Iterator<Item = MessageMeta> {
        let slots = self.table.iter_from(StreamSeq(0)).take(messages_max);
        slots.map(|(seq, slot)| self.meta_of(seq, slot))
    }

    fn meta_of(&self, seq: StreamSeq, slot: Slot) -> MessageMeta {
        MessageMeta {
            seq,
            at: Timestamp::from_unix_nanos(slot.at),
            subject: self.subject_at(slot.node),
            bytes: u64::from(slot.bytes),
            lifetime: None,
        }
    }

    /// The nodes of the selected subjects that have a message from `floor` on, each once.
    fn subjects_of(&self, selection: &Selection, floor: StreamSeq) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        let walk = Walk::unlimited(floor);
        for pattern in &selection.patterns {
            self.trie.walk(pattern, walk, |node| nodes.push(node));
        }
        if !selection.disjoint {
            nodes.sort_unstable();
            nodes.dedup();
        }
        nodes
    }
}
