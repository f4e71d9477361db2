//! The part of the index that lies in tables. Nothing here changes what the stream answers or decides.

use std::sync::Arc;

use super::Stream;
use crate::index::{MergedTable, TableBytes, TableCache, TableDraft, TableMerge};

/// What has its newer messages in memory and may move the oldest of them into a table: a stream, also while it
/// is being built again.
pub trait Freeze {
    /// How much memory the messages take that [`Freeze::draft_table`] may draft, in bytes.
    fn hot_index_bytes(&self) -> u64;

    /// How many messages there are whose index is in memory.
    fn hot_messages(&self) -> u64;

    /// Drafts a table of the oldest messages the index has in memory, so many at most; `None` when there are none.
    /// Its bytes are to be written, and then given to [`Freeze::freeze`] before anything else happens here.
    fn draft_table(&self, messages_max: usize) -> Option<TableDraft>;

    /// Puts a table that was drafted and written, and can be read from `source`, in the place of its messages in
    /// memory.
    ///
    /// # Panics
    /// When something has changed since it was drafted.
    fn freeze(&mut self, draft: TableDraft, source: Arc<dyn TableBytes>, cache: &TableCache);
}

impl Freeze for Stream {
    fn hot_index_bytes(&self) -> u64 {
        self.index.hot_bytes()
    }

    fn hot_messages(&self) -> u64 {
        self.index.hot_messages()
    }

    fn draft_table(&self, messages_max: usize) -> Option<TableDraft> {
        let lifetime = |seq| self.lifetimes.get(seq);
        self.index.draft_table(messages_max, lifetime)
    }

    fn freeze(&mut self, draft: TableDraft, source: Arc<dyn TableBytes>, cache: &TableCache) {
        self.index.freeze(draft, source, cache);
    }
}

impl Stream {
    /// Begins to make one table of several that are small or partly dead; `None` when that is not worth it, or one is
    /// under way. [`TableMerge::run`] may happen anywhere; it ends with [`Stream::finish_merge`].
    pub fn begin_merge(&mut self) -> Option<TableMerge> {
        self.index.begin_merge()
    }

    /// Puts a merged table, which can be read from the source beside it, in the place of those it was made of. `None` when
    /// the merge failed. False when it is of no use any more, and its bytes can go.
    pub fn finish_merge(
        &mut self,
        merge: &TableMerge,
        merged: Option<(MergedTable, Arc<dyn TableBytes>)>,
        cache: &TableCache,
    ) -> bool {
        self.index.finish_merge(merge, merged, cache)
    }

    /// The numbers of the tables in use, in order of sequence, and how many subjects have messages in them and none in
    /// memory: for [`SavedTables`](crate::SavedTables), beside a snapshot of the same moment.
    pub fn tables(&self) -> (Vec<u64>, u64) {
        self.index.tables()
    }
}
