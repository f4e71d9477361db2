//! The older messages of a stream, in tables that are read page by page.
//!
//! | file | noun |
//! |---|---|
//! | `table` | [`Table`]: one run of messages, and what was removed from it since |
//! | `shape` | what of a table is in memory: directory and Bloom filter |
//! | `page` | the pages: messages by sequence, subjects with their messages |
//! | `cache` | pages read lately |
//! | `check` | reading a whole table to see whether it is intact |
//! | `writer` | writing a table |
//! | `draft` | the oldest messages in memory as a table |
//! | `merge` | several tables as one |
//! | `open` | taking up tables that were written before |
//! | `range` | subjects that are neighbours |
//! | `bloom` | which subjects a table may have |
//! | `dead` | what was removed |
//! | `unreadable` | a page that cannot be read |
//!
//! Tables do not overlap in sequences and come one after the other, so the newest message of a subject is in the
//! last table that has one. Everything here is derived from what the store keeps of the messages, and can be
//! built again from it.

mod bloom;
mod cache;
mod check;
mod dead;
mod draft;
mod merge;
mod open;
mod page;
mod range;
mod shape;
mod table;
#[cfg(test)]
mod tests;
mod unreadable;
mod writer;

use std::iter::successors;
use std::ops::ControlFlow;

use hitherto_protocol::{SubjectFilter, Timestamp};

pub use self::cache::TableCache;
pub use self::check::check_table;
pub use self::draft::TableDraft;
pub use self::merge::{MergedTable, TableMerge};
pub use self::table::TableBytes;
pub use self::unreadable::{Unreadable, catch_unreadable};

use self::range::SubjectRange;
use self::table::Table;
use super::{Entry, Removed, Selection};
use crate::{MessageMeta, StreamSeq};

/// The older messages of a stream.
#[derive(Debug, Default)]
pub(super) struct Cold {
    /// Ascending; each has messages.
    tables: Vec<Table>,
    /// Numbers of the tables being merged.
    merging: Vec<u64>,
}

impl Cold {
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The last sequence of the last table; those behind are not here.
    pub(super) fn last(&self) -> u64 {
        self.tables.last().map_or(0, Table::last)
    }

    /// The first message, with its time.
    pub(super) fn first(&self) -> Option<(StreamSeq, Timestamp)> {
        let (seq, at) = self.tables.first()?.first;
        Some((StreamSeq(seq), Timestamp::from_unix_nanos(at)))
    }

    /// The newest message.
    pub(super) fn newest(&self) -> Option<MessageMeta> {
        self.tables.last()?.newest()
    }

    pub(super) fn messages(&self) -> u64 {
        self.tables.iter().map(|table| table.live).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.live_bytes).sum()
    }

    /// What is in memory of all tables.
    pub(super) fn memory_bytes(&self) -> usize {
        self.tables.iter().map(Table::memory_bytes).sum()
    }

    /// The numbers of the tables.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.tables.iter().map(|table| table.pages.source.number())
    }

    pub(super) fn meta(&self, seq: StreamSeq) -> Option<MessageMeta> {
        self.tables.get(self.table_from(seq.0))?.get(seq.0)
    }

    pub(super) fn get(&self, seq: StreamSeq) -> Option<Entry> {
        self.meta(seq).map(|meta| Entry {
            at: meta.at,
            bytes: meta.bytes,
        })
    }

    /// Takes a message out. A table without messages is let go.
    pub(super) fn remove(&mut self, seq: StreamSeq) -> Option<Removed> {
        let at = self.table_from(seq.0);
        let table = self.tables.get_mut(at)?;
        let removed = table.remove(seq.0)?;
        if table.live == 0 {
            self.tables.remove(at);
        }
        Some(removed)
    }

    /// Where the first table stands that does not end before `seq`.
    fn table_from(&self, seq: u64) -> usize {
        self.tables.partition_point(|table| table.last() < seq)
    }

    /// The first message from `from` on.
    pub(super) fn next_from(&self, from: u64) -> Option<u64> {
        let mut tables = self.tables[self.table_from(from)..].iter();
        let next = tables.find_map(|table| table.next_from(from));
        next.map(|meta| meta.seq.0)
    }

    /// The first message that is not earlier than `at`.
    pub(super) fn at_time(&self, at: Timestamp) -> Option<u64> {
        let mut tables = self.tables.iter();
        let near = tables.find_map(|table| table.not_earlier(at.unix_nanos()))?;
        self.next_from(near)
    }

    /// Tells whether a subject has messages here.
    pub(super) fn has(&self, subject: &str) -> bool {
        let subject = SubjectRange::one(subject);
        self.tables
            .iter()
            .any(|table| table.nth(&subject, 0).is_ok())
    }

    /// All messages, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        successors(self.next_from(0), |seq| self.next_from(seq + 1))
    }

    /// The newest message of a subject.
    pub(super) fn last_on(&self, subject: &str) -> Option<StreamSeq> {
        let subject = SubjectRange::one(subject);
        let mut tables = self.tables.iter().rev();
        tables
            .find_map(|table| table.last_of(&subject, |_| true))
            .map(StreamSeq)
    }

    pub(super) fn count_on(&self, subject: &str) -> u64 {
        let subject = SubjectRange::one(subject);
        self.tables.iter().map(|table| table.count(&subject)).sum()
    }

    /// The message of a subject that has `place` older ones; when there are not as many, how many there are.
    pub(super) fn nth_on(&self, subject: &str, place: usize) -> Result<StreamSeq, usize> {
        let subject = SubjectRange::one(subject);
        let mut passed = 0;
        for table in &self.tables {
            match table.nth(&subject, place - passed) {
                Ok(seq) => return Ok(StreamSeq(seq)),
                Err(others) => passed += others,
            }
        }
        Err(passed)
    }

    /// The newest message that a filter selects.
    pub(super) fn last_of(&self, filter: &SubjectFilter) -> Option<StreamSeq> {
        let range = SubjectRange::of(filter);
        let mut tables = self.tables.iter().rev();
        let last = tables.find_map(|table| table.last_of(&range, |name| filter.matches(name)));
        last.map(StreamSeq)
    }

    /// The first selected message from `from` on; the selection is not that of everything.
    pub(super) fn next_selected(&self, from: u64, selection: &Selection) -> Option<StreamSeq> {
        let mut tables = self.tables[self.table_from(from)..].iter();
        if let [filter] = selection.filters.as_slice()
            && filter.is_literal()
        {
            let subject = SubjectRange::of(filter);
            let next = tables.find_map(|table| table.next_on(&subject, from));
            return next.map(StreamSeq);
        }
        let ranges = ranges_of(selection);
        let next = tables.find_map(|table| table.next_selected(from, selection, &ranges));
        next.map(StreamSeq)
    }

    /// How many messages from `from` on are selected.
    pub(super) fn count_selected(&self, from: u64, selection: &Selection) -> u64 {
        let tables = self.tables[self.table_from(from)..].iter();
        if selection.is_all() {
            return tables.map(|table| table.count_from(from)).sum();
        }
        let ranges = ranges_of(selection);
        tables
            .map(|table| table.count_selected(from, selection, &ranges))
            .sum()
    }

    /// Gives `found` each selected subject with its messages, ascending.
    pub(super) fn walk(&self, selection: &Selection, mut found: impl FnMut(&str, &[u64])) {
        for range in ranges_of(selection) {
            let walked = walk_tables(&self.tables, &range, |subject, seqs| {
                if selection.matches(subject) {
                    found(subject, seqs);
                }
                ControlFlow::<()>::Continue(())
            });
            debug_assert!(walked.is_continue(), "nothing above ends the walk");
        }
    }
}

/// Where the selected subjects are: no subject is in two of the ranges.
fn ranges_of(selection: &Selection) -> Vec<SubjectRange> {
    let mut ranges: Vec<SubjectRange> = Vec::new();
    for filter in &selection.filters {
        let range = SubjectRange::of(filter);
        if !ranges.iter().any(|other| other.includes(&range)) {
            ranges.retain(|other| !range.includes(other));
            ranges.push(range);
        }
    }
    if selection.is_all() {
        ranges.push(SubjectRange::all());
    }
    ranges
}

/// Gives `found` each subject of a range with its messages in all these tables, in order.
fn walk_tables<'a, B>(
    tables: impl IntoIterator<Item = &'a Table>,
    range: &SubjectRange,
    mut found: impl FnMut(&str, &[u64]) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut cursors: Vec<_> = tables
        .into_iter()
        .map(|table| table.cursor(range))
        .collect();
    let mut seqs = Vec::new();
    loop {
        let subjects = cursors.iter().filter_map(|cursor| cursor.subject());
        let Some(subject) = subjects.min().map(str::to_owned) else {
            return ControlFlow::Continue(());
        };
        seqs.clear();
        for cursor in &mut cursors {
            if cursor.subject() == Some(&subject) {
                seqs.extend_from_slice(cursor.seqs());
                cursor.advance();
            }
        }
        found(&subject, &seqs)?;
    }
}
