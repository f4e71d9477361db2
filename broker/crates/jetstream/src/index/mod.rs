//! The messages of one stream without their bodies: by sequence, by subject, by time.
//!
//! | file | noun |
//! |---|---|
//! | `hot` | the newest messages, in memory; all of them while they are few |
//! | `cold` | the older ones, in tables that are read page by page |
//! | `freeze` | moving the oldest from memory into a table, and merging tables |
//! | `selection` | what a consumer or a purge looks at |
//! | `table` | the slot of each sequence in memory: time, size, subject node |
//! | `column` | numbers in as few bytes as they need |
//! | `trie` | the subjects by token, with maxima and counts on the way |
//! | `node`, `node_id` | the arena of the trie's nodes, and a place in it |
//! | `children` | how a child is found |
//! | `text` | the tokens |
//! | `postings` | the sequences of one subject |
//! | `pattern` | a subject filter, split |
//!
//! Everything here is derived from what the store keeps; it is rebuilt by [`Index::append`] when a
//! stream is opened, or taken up from its tables. It holds no body and writes nothing: tables are written and read by
//! whoever owns the stream, through [`TableBytes`].
//!
//! Whether a message is in memory or in a table changes no answer. A stream without tables pays one comparison
//! for that. With `t` tables a question about a subject asks `t` Bloom filters and reads one page as a rule; the
//! test `every_answer_is_that_of_a_searched_list` compares both.

mod children;
mod cold;
mod column;
mod freeze;
mod hot;
mod node;
mod node_id;
mod pattern;
mod postings;
mod selection;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod trie;

use std::collections::BTreeMap;

use hitherto_protocol::{Subject, SubjectFilter, Timestamp};

pub use self::cold::{
    MergedTable, TableBytes, TableCache, TableDraft, TableMerge, Unreadable, catch_unreadable,
    check_table,
};
pub use self::freeze::SavedTables;
pub use self::selection::Selection;

use self::cold::Cold;
use self::hot::Hot;
use crate::{MessageMeta, StreamSeq};

/// The messages of one stream without their bodies: by sequence, by subject, by time.
#[derive(Debug)]
pub(crate) struct Index {
    /// The messages behind those in tables.
    hot: Hot,
    cold: Cold,
    /// Subjects that have messages in tables and none in memory.
    only_cold: u64,
}

/// What the index knows of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When the leader took it in.
    pub(crate) at: Timestamp,
    /// Its size as given to [`Index::append`], at most `u32::MAX`.
    pub(crate) bytes: u64,
}

/// What the index knew of a message that is no longer there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removed {
    /// When the leader took it in.
    pub(crate) at: Timestamp,
    /// Its size as given to [`Index::append`], at most `u32::MAX`.
    pub(crate) bytes: u64,
    /// What it was published to.
    pub(crate) subject: Subject,
}

impl Index {
    /// An empty index whose next message gets the sequence after `last`.
    pub(crate) fn new(last: StreamSeq) -> Self {
        Self {
            hot: Hot::new(last),
            cold: Cold::default(),
            only_cold: 0,
        }
    }

    /// Adds a message. Sequences between the last one and `meta.seq` are holes.
    ///
    /// A size above `u32::MAX` counts as that; no message can be as large.
    ///
    /// # Panics
    ///
    /// When `meta.seq` is not above [`Index::last_seq`].
    pub(crate) fn append(&mut self, meta: &MessageMeta) {
        let subjects = self.hot.subjects();
        self.hot.append(meta);
        let is_new = self.hot.subjects() > subjects;
        if is_new && self.cold.has(meta.subject.as_str()) {
            self.only_cold -= 1;
        }
    }

    /// Gives away the sequences up to `last` without messages; nothing when they are given already.
    pub(crate) fn skip_to(&mut self, last: StreamSeq) {
        self.hot.skip_to(last);
    }

    /// Takes a message out; `None` when it is not there.
    pub(crate) fn remove(&mut self, seq: StreamSeq) -> Option<Removed> {
        if self.is_cold(seq) {
            return self.remove_cold(seq);
        }
        let removed = self.hot.remove(seq)?;
        if !self.cold.is_empty() {
            let subject = removed.subject.as_str();
            let is_only_cold = self.hot.count_on(subject) == 0 && self.cold.has(subject);
            self.only_cold += u64::from(is_only_cold);
        }
        Some(removed)
    }

    fn remove_cold(&mut self, seq: StreamSeq) -> Option<Removed> {
        let removed = self.cold.remove(seq)?;
        let subject = removed.subject.as_str();
        let is_gone = self.hot.count_on(subject) == 0 && !self.cold.has(subject);
        self.only_cold -= u64::from(is_gone);
        Some(removed)
    }

    /// Tells whether a message would be in a table.
    fn is_cold(&self, seq: StreamSeq) -> bool {
        seq.0 <= self.cold.last()
    }

    /// What is known of a message; `None` when it is not there.
    pub(crate) fn get(&self, seq: StreamSeq) -> Option<Entry> {
        match self.is_cold(seq) {
            true => self.cold.get(seq),
            false => self.hot.get(seq),
        }
    }

    /// Tells whether a message is there.
    pub(crate) fn contains(&self, seq: StreamSeq) -> bool {
        match self.is_cold(seq) {
            true => self.cold.get(seq).is_some(),
            false => self.hot.contains(seq),
        }
    }

    /// The subject of a message; `None` when it is not there.
    pub(crate) fn subject(&self, seq: StreamSeq) -> Option<Subject> {
        match self.is_cold(seq) {
            true => self.cold.meta(seq).map(|meta| meta.subject),
            false => self.hot.subject(seq),
        }
    }

    /// The sequence of the first message; the one after [`Index::last_seq`] when there is none.
    pub(crate) fn first_seq(&self) -> StreamSeq {
        match self.cold.first() {
            Some((seq, _)) => seq,
            None => self.hot.first_seq(),
        }
    }

    /// The highest sequence given so far, whether its message is still there or not.
    pub(crate) fn last_seq(&self) -> StreamSeq {
        self.hot.last_seq()
    }

    /// The time of the first message; `None` when there is none.
    pub(crate) fn first_at(&self) -> Option<Timestamp> {
        match self.cold.first() {
            Some((_, at)) => Some(at),
            None => self.hot.first_at(),
        }
    }

    /// The time of the newest message that is still there; `None` when there is none.
    #[cfg(test)]
    pub(crate) fn last_at(&self) -> Option<Timestamp> {
        let cold = || self.cold.newest().map(|meta| meta.at);
        self.hot.last_at().or_else(cold)
    }

    /// How many messages there are.
    pub(crate) fn messages(&self) -> u64 {
        self.cold.messages() + self.hot.messages()
    }

    /// The sum of their sizes.
    pub(crate) fn bytes(&self) -> u64 {
        self.cold.bytes() + self.hot.bytes()
    }

    /// How much memory the messages there are take, in bytes; costs O(1) and a step for each table. What
    /// removed ones took is reused by later ones, and not counted.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let cold = u64::try_from(self.cold.memory_bytes());
        self.hot.memory_bytes() + cold.expect("memory ends before 2^64 bytes")
    }

    /// The part of [`Index::memory_bytes`] that tables would free.
    pub(crate) fn hot_bytes(&self) -> u64 {
        self.hot.memory_bytes()
    }

    /// How many messages are in memory.
    pub(crate) fn hot_messages(&self) -> u64 {
        self.hot.messages()
    }

    /// How many subjects have a message.
    pub(crate) fn subjects(&self) -> u64 {
        self.only_cold + self.hot.subjects()
    }

    /// The newest message that `filter` selects.
    pub(crate) fn last(&self, filter: &SubjectFilter) -> Option<StreamSeq> {
        self.hot.last(filter).or_else(|| self.cold.last_of(filter))
    }

    /// The newest message that is selected.
    pub(crate) fn last_selected(&self, selection: &Selection) -> Option<StreamSeq> {
        if let Some(last) = self.hot.last_selected(selection) {
            return Some(last);
        }
        if selection.is_all() {
            return self.cold.newest().map(|meta| meta.seq);
        }
        let filters = selection.filters.iter();
        filters
            .map(|filter| self.cold.last_of(filter))
            .max()
            .flatten()
    }

    /// The oldest message of exactly this subject.
    pub(crate) fn first_on(&self, subject: &str) -> Option<StreamSeq> {
        self.nth_on(subject, 0)
    }

    /// The message of exactly this subject that has `place` older ones.
    pub(crate) fn nth_on(&self, subject: &str, place: usize) -> Option<StreamSeq> {
        match self.cold.nth_on(subject, place) {
            Ok(seq) => Some(seq),
            Err(older) => self.hot.nth_on(subject, place - older),
        }
    }

    /// The newest message of exactly this subject.
    pub(crate) fn last_on(&self, subject: &str) -> Option<StreamSeq> {
        let cold = || self.cold.last_on(subject);
        self.hot.last_on(subject).or_else(cold)
    }

    /// How many messages exactly this subject has.
    pub(crate) fn count_on(&self, subject: &str) -> u64 {
        self.cold.count_on(subject) + self.hot.count_on(subject)
    }

    /// The first message from `from` on.
    pub(crate) fn next_any(&self, from: StreamSeq) -> Option<StreamSeq> {
        let cold = self.cold.next_from(from.0).map(StreamSeq);
        cold.or_else(|| self.hot.next_any(from))
    }

    /// The first message from `from` on that is selected.
    pub(crate) fn next(&self, from: StreamSeq, selection: &Selection) -> Option<StreamSeq> {
        if self.is_cold(from) {
            let cold = match selection.is_all() {
                true => self.cold.next_from(from.0).map(StreamSeq),
                false => self.cold.next_selected(from.0, selection),
            };
            if cold.is_some() {
                return cold;
            }
        }
        self.hot.next(from, selection)
    }

    /// How many messages from `from` on are selected.
    pub(crate) fn count(&self, from: StreamSeq, selection: &Selection) -> u64 {
        self.cold.count_selected(from.0, selection) + self.hot.count(from, selection)
    }

    /// The first message that is not earlier than `at`; the sequence after [`Index::last_seq`]
    /// when there is none. Where times do not ascend (a new leader with a slower clock), a message
    /// near the place.
    pub(crate) fn at_time(&self, at: Timestamp) -> StreamSeq {
        let cold = self.cold.at_time(at).map(StreamSeq);
        cold.unwrap_or_else(|| self.hot.at_time(at))
    }

    /// The newest message of each selected subject, ascending.
    pub(crate) fn last_per_subject(&self, selection: &Selection) -> Vec<StreamSeq> {
        self.last_per_subject_upto(selection, self.last_seq())
    }

    /// The newest message of each selected subject that is not above `upto`, ascending.
    pub(crate) fn last_per_subject_upto(
        &self,
        selection: &Selection,
        upto: StreamSeq,
    ) -> Vec<StreamSeq> {
        let mut newest = self.hot.last_per_subject_upto(selection, upto);
        if !self.cold.is_empty() {
            self.cold.walk(selection, |subject, seqs| {
                let before = seqs.partition_point(|seq| *seq <= upto.0);
                let last = before.checked_sub(1).map(|place| StreamSeq(seqs[place]));
                newest.extend(last.filter(|_| self.hot.last_on_upto(subject, upto).is_none()));
            });
            newest.sort_unstable();
        }
        newest
    }

    /// The subjects that `filter` selects, ascending, each with the number of its messages.
    pub(crate) fn subjects_matching(&self, filter: &SubjectFilter) -> Vec<(String, u64)> {
        let hot = self.hot.subjects_matching(filter);
        if self.cold.is_empty() {
            return hot;
        }
        let mut subjects: BTreeMap<String, u64> = hot.into_iter().collect();
        let selection = Selection::new(vec![filter.clone()]);
        self.cold.walk(&selection, |subject, seqs| {
            let count = seqs.len() as u64;
            match subjects.get_mut(subject) {
                Some(sum) => *sum += count,
                None => {
                    subjects.insert(subject.to_owned(), count);
                }
            }
        });
        subjects.into_iter().collect()
    }

    /// The selected messages before `upto`, ascending; all of them when it is `None`.
    pub(crate) fn selected(
        &self,
        selection: &Selection,
        upto: Option<StreamSeq>,
    ) -> Vec<StreamSeq> {
        let hot = self.hot.selected(selection, upto);
        if self.cold.is_empty() {
            return hot;
        }
        let before = |seq: &u64| upto.is_none_or(|upto| *seq < upto.0);
        let mut seqs = Vec::new();
        if selection.is_all() {
            seqs.extend(self.cold.iter().take_while(before).map(StreamSeq));
        } else {
            self.cold.walk(selection, |_, of_subject| {
                let of_subject = of_subject.iter().copied();
                seqs.extend(of_subject.take_while(before).map(StreamSeq));
            });
            seqs.sort_unstable();
        }
        seqs.extend(hot);
        seqs
    }

    /// The sequences from the first message up to [`Index::last_seq`] that have no message,
    /// ascending; none when there is no message at all.
    pub(crate) fn holes(&self) -> impl Iterator<Item = StreamSeq> {
        let first = self.first_seq();
        let present = self.cold.iter().chain(self.hot.seqs());
        let ends = present.chain([self.last_seq().0.saturating_add(1)]);
        let gaps = ends.scan(first.0, |next, end| {
            let gap = *next..end;
            *next = end.saturating_add(1);
            Some(gap)
        });
        gaps.flatten().map(StreamSeq)
    }
}

/// Makes room for `more` values, and for an eighth of what there is: doubling would leave up to half of a
/// large index unused.
fn grow<T>(values: &mut Vec<T>, more: usize) {
    if values.capacity() - values.len() < more {
        values.reserve_exact(more.max(values.len() / 8).max(16));
    }
}
