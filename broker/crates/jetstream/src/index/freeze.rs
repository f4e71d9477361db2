//! Moving the oldest messages from memory into a table, merging tables, and taking tables up again.
//!
//! Nothing of it changes an answer, so replicas need not do it at the same time.

use std::sync::Arc;

use super::cold::{MergedTable, TableBytes, TableCache, TableDraft, TableMerge, Unreadable};
use super::{Cold, Index};
use crate::{Lifetime, MessageMeta, StreamSeq};

/// The tables a checkpoint names, with what was removed from them until then.
pub struct SavedTables<'a> {
    /// In order of sequence.
    pub tables: Vec<Arc<dyn TableBytes>>,
    /// Subjects that had messages in these tables and none in memory.
    pub only_cold: u64,
    /// Every message up to here was removed.
    pub floor: StreamSeq,
    /// Single removed sequences, ascending.
    pub removed: &'a mut dyn Iterator<Item = StreamSeq>,
}

impl Index {
    /// Drafts a table of the oldest messages in memory, so many at most; `None` when there are none.
    /// `lifetime` says how long a message stays.
    pub(crate) fn draft_table(
        &self,
        messages_max: usize,
        lifetime: impl Fn(StreamSeq) -> Option<Lifetime>,
    ) -> Option<TableDraft> {
        let mut metas: Vec<MessageMeta> = self.hot.oldest(messages_max).collect();
        let first = metas.first()?.seq.0;
        metas.retain(|meta| meta.seq.0 - first < SPAN_MAX);
        for meta in &mut metas {
            meta.lifetime = lifetime(meta.seq);
        }
        TableDraft::new(&metas)
    }

    /// Puts a drafted table that was written in the place of its messages in memory.
    ///
    /// # Panics
    /// When the draft is not of the oldest messages in memory.
    pub(crate) fn freeze(
        &mut self,
        draft: TableDraft,
        source: Arc<dyn TableBytes>,
        cache: &TableCache,
    ) {
        let subjects = self.hot.subjects();
        self.hot.drop_through(&draft);
        self.only_cold += subjects - self.hot.subjects();
        self.cold.add(draft, source, cache);
    }

    /// Tables worth merging; see [`Cold::begin_merge`].
    pub(crate) fn begin_merge(&mut self) -> Option<TableMerge> {
        self.cold.begin_merge()
    }

    /// Puts a merged table in force; false when it is of no use any more.
    pub(crate) fn finish_merge(
        &mut self,
        merge: &TableMerge,
        merged: Option<(MergedTable, Arc<dyn TableBytes>)>,
        cache: &TableCache,
    ) -> bool {
        self.cold.finish_merge(merge, merged, cache)
    }

    /// The numbers of the tables there are, and how many subjects have messages in them and none in memory.
    pub(crate) fn tables(&self) -> (Vec<u64>, u64) {
        (self.cold.numbers().collect(), self.only_cold)
    }

    /// Takes up tables. The messages behind them are appended afterwards with [`Index::append_saved`].
    pub(crate) fn open(
        saved: SavedTables<'_>,
        cache: &TableCache,
        mut lifetime: impl FnMut(StreamSeq, Lifetime),
    ) -> Result<Self, Unreadable> {
        let only_cold = saved.only_cold;
        let cold = Cold::open(saved, cache)?;
        cold.each_lifetime(&mut lifetime)?;
        Ok(Self {
            hot: super::Hot::new(StreamSeq(cold.last())),
            cold,
            only_cold,
        })
    }

    /// Adds a message that was in memory when the tables were saved: what [`SavedTables::only_cold`] says counts it.
    pub(crate) fn append_saved(&mut self, meta: &MessageMeta) {
        self.hot.append(meta);
    }
}

/// Sequences one table may span.
const SPAN_MAX: u64 = u32::MAX as u64;

impl std::fmt::Debug for SavedTables<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SavedTables")
            .field("tables", &self.tables)
            .field("only_cold", &self.only_cold)
            .field("floor", &self.floor)
            .finish_non_exhaustive()
    }
}
