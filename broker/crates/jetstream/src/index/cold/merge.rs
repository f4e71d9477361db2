//! Several tables as one, without what was removed from them. Made anywhere, from tables that do not change; put
//! in force by the owner of the stream.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::cache::TableCache;
use super::range::SubjectRange;
use super::shape::Shape;
use super::table::{Pages, Table, TableBytes};
use super::unreadable::{Unreadable, catch_unreadable};
use super::writer::TableWriter;
use super::{Cold, walk_tables};

/// Tables of about the same size that become one: 8.
const TABLES_MERGED: usize = 8;

/// Messages of the largest table that is merged into another: 16 M. Bounds how long a merge takes and how much
/// room it needs.
const MESSAGES_MAX: u64 = 16 * 1024 * 1024;

/// Messages removed during a merge up to which its table is put in force: 256 K. Each is removed from it again
/// then, by the owner of the stream.
const GONE_MAX: u64 = 256 * 1024;

/// Tables to be merged, as they are now.
#[derive(Debug)]
pub struct TableMerge {
    tables: Vec<Table>,
}

/// The merged table, written.
#[derive(Debug)]
pub struct MergedTable {
    shape: Shape,
}

impl TableMerge {
    /// Writes the merged table.
    ///
    /// # Errors
    /// What `write` says, or that one of the tables cannot be read.
    pub fn run<E: From<Unreadable>>(
        &self,
        write: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<MergedTable, E> {
        let written = catch_unreadable(|| self.write(write));
        let shape = written.map_err(E::from).flatten()?;
        Ok(MergedTable { shape })
    }

    fn write<E>(&self, write: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<Shape, E> {
        let keys = self.tables.iter().map(|table| table.pages.shape.keys).sum();
        let mut writer = TableWriter::new(keys, write);
        for table in &self.tables {
            table.try_each(|meta| writer.message(meta))?;
        }
        writer.end_messages()?;
        let walked = walk_tables(
            &self.tables,
            &SubjectRange::all(),
            |subject, seqs| match writer.subject(subject, seqs) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            },
        );
        if let ControlFlow::Break(error) = walked {
            return Err(error);
        }
        writer.finish()
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        self.tables.iter().map(|table| table.pages.source.number())
    }
}

impl Cold {
    /// Tables worth merging, or one to be written anew because a quarter or more of it is dead; `None` when there
    /// are none, or a merge is under way. It ends with [`Cold::finish_merge`].
    pub(in crate::index) fn begin_merge(&mut self) -> Option<TableMerge> {
        if !self.merging.is_empty() {
            return None;
        }
        let tables = &self.tables[self.worth_merging()?];
        let tables = tables.iter().map(Table::share).collect();
        let merge = TableMerge { tables };
        self.merging = merge.numbers().collect();
        Some(merge)
    }

    fn worth_merging(&self) -> Option<Range<usize>> {
        let dead = self.tables.iter().position(|table| {
            let messages = table.pages.shape.messages;
            (messages - table.live).saturating_mul(4) >= messages
        });
        if let Some(dead) = dead {
            return Some(dead..dead + 1);
        }
        // Sizes by powers of eight: the smallest first, so that few bytes make few tables of many.
        (0..=MESSAGES_MAX.ilog2() / 3).find_map(|size| {
            let is_small = |table: &Table| table.live.max(1).ilog2() / 3 <= size;
            let mut run = 0..0;
            for (at, table) in self.tables.iter().enumerate() {
                let fits = is_small(table) && self.spans_fit(run.start..at + 1);
                if !fits {
                    run = at + 1..at + 1;
                } else {
                    run.end = at + 1;
                }
                if run.len() == TABLES_MERGED {
                    return Some(run);
                }
            }
            None
        })
    }

    /// Tells whether these tables are not too much for one.
    fn spans_fit(&self, tables: Range<usize>) -> bool {
        let tables = &self.tables[tables];
        let messages: u64 = tables.iter().map(|table| table.live).sum();
        let (Some(first), Some(last)) = (tables.first(), tables.last()) else {
            return true;
        };
        let span = last.last() - first.pages.shape.first;
        messages <= MESSAGES_MAX && u32::try_from(span).is_ok()
    }

    /// Puts a merged table in the place of those it was made of; false when they have gone, or there is none.
    pub(in crate::index) fn finish_merge(
        &mut self,
        merge: &TableMerge,
        merged: Option<(MergedTable, Arc<dyn TableBytes>)>,
        cache: &TableCache,
    ) -> bool {
        self.merging.clear();
        let Some((merged, source)) = merged else {
            return false;
        };
        if merged.shape.messages == 0 {
            return false;
        }
        let pages = Pages::new(source, merged.shape, cache.clone());
        let mut table = Table::new(Arc::new(pages));
        table.find_first();
        let numbers: Vec<u64> = merge.numbers().collect();
        let is_old = |table: &Table| numbers.contains(&table.pages.source.number());
        let Some(place) = self.tables.iter().position(is_old) else {
            return false;
        };
        let Some(gone) = self.gone_since(merge, &table) else {
            return false;
        };
        for seq in gone {
            table.remove(seq);
        }
        self.tables.retain(|table| !is_old(table));
        if table.live > 0 {
            self.tables.insert(place, table);
        }
        true
    }

    /// What was removed while a table was being merged; `None` when it is so much that a new merge is better.
    fn gone_since(&self, merge: &TableMerge, merged: &Table) -> Option<Vec<u64>> {
        let mut gone = Vec::new();
        let mut left = GONE_MAX;
        for then in &merge.tables {
            let number = then.pages.source.number();
            let mut tables = self.tables.iter();
            let now = tables.find(|now| now.pages.source.number() == number);
            left = left.checked_sub(then.live - now.map_or(0, |now| now.live))?;
            let front = now.map_or(then.last(), |now| now.dead.floor());
            let front = merged.seqs_in(then.first.0..=front);
            let single = now.into_iter().flat_map(|now| now.dead.singles());
            let new = front.into_iter().chain(single);
            gone.extend(new.filter(|seq| !then.dead.contains(*seq)));
        }
        Some(gone)
    }
}
