//! Taking up tables that were written before, with what was removed from them since.

use std::sync::Arc;

use super::Cold;
use super::cache::TableCache;
use super::table::{Pages, Table};
use super::unreadable::{Unreadable, catch_unreadable};
use crate::index::SavedTables;
use crate::{Lifetime, StreamSeq};

impl Cold {
    /// Reads and verifies each table.
    pub(in crate::index) fn open(
        saved: SavedTables<'_>,
        cache: &TableCache,
    ) -> Result<Self, Unreadable> {
        let mut removed = saved.removed.map(|seq| seq.0).peekable();
        let mut cold = Self::default();
        for source in saved.tables {
            let (number, name) = (source.number(), source.name());
            let pages = Pages::open(source, cache.clone())?;
            pages.check()?;
            let mut table = Table::new(Arc::new(pages));
            let first = table.first.0;
            if first <= cold.last() || cold.numbers().any(|other| other == number) {
                return Err(Unreadable {
                    table: name,
                    offset: 0,
                    problem: "it does not come behind the one before it".to_owned(),
                });
            }
            catch_unreadable(|| {
                // Behind a removed beginning the first message is found once.
                table.remove_through(saved.floor.0);
                while removed.peek().is_some_and(|seq| *seq <= table.last()) {
                    table.remove(removed.next().unwrap_or_default());
                }
                table.find_first();
            })?;
            if table.live > 0 {
                cold.tables.push(table);
            }
        }
        Ok(cold)
    }

    /// Gives `each` the messages that say themselves how long they stay.
    pub(in crate::index) fn each_lifetime(
        &self,
        each: &mut dyn FnMut(StreamSeq, Lifetime),
    ) -> Result<(), Unreadable> {
        let with = |table: &&Table| table.pages.shape.lifetimes > 0;
        for table in self.tables.iter().filter(with) {
            catch_unreadable(|| {
                let Ok(()) = table.try_each(|meta| {
                    if let Some(lifetime) = meta.lifetime {
                        each(meta.seq, lifetime);
                    }
                    Ok::<(), std::convert::Infallible>(())
                });
            })?;
        }
        Ok(())
    }
}
