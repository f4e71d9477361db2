//! The oldest messages in memory as a table, whole and not written yet.

use std::sync::Arc;

use super::Cold;
use super::cache::TableCache;
use super::shape::Shape;
use super::table::{Pages, Table, TableBytes};
use super::writer::{TableWriter, new_keys};
use crate::{MessageMeta, StreamSeq};

/// A table to be written: its bytes first, then
/// [`Freeze::freeze`](crate::Freeze::freeze).
pub struct TableDraft {
    bytes: Vec<u8>,
    shape: Shape,
    first_at: i64,
}

impl TableDraft {
    /// A table of these messages, which ascend; `None` when there are none.
    pub(in crate::index) fn new(metas: &[MessageMeta]) -> Option<Self> {
        let first_at = metas.first()?.at.unix_nanos();
        let mut postings: Vec<(&str, u64)> = metas
            .iter()
            .map(|meta| (meta.subject.as_str(), meta.seq.0))
            .collect();
        postings.sort_unstable();
        let subjects = || postings.chunk_by(|(one, _), (other, _)| one == other);
        let (mut keys, mut before) = (0, "");
        for postings in subjects() {
            keys += new_keys(postings[0].0, before).count() as u64;
            before = postings[0].0;
        }
        let mut bytes = Vec::new();
        let mut write = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(shape) = (|| {
            let mut writer = TableWriter::new(keys, &mut write);
            for meta in metas {
                writer.message(meta)?;
            }
            writer.end_messages()?;
            let mut seqs = Vec::new();
            for postings in subjects() {
                seqs.clear();
                seqs.extend(postings.iter().map(|(_, seq)| seq));
                writer.subject(postings[0].0, &seqs)?;
            }
            writer.finish()
        })();
        Some(Self {
            bytes,
            shape,
            first_at,
        })
    }

    /// What is to be written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many messages it has.
    pub(in crate::index) fn messages(&self) -> u64 {
        self.shape.messages
    }

    /// The sequence of its last message.
    pub(in crate::index) fn last(&self) -> StreamSeq {
        StreamSeq(self.shape.last)
    }
}

impl Cold {
    /// Adds a table that was drafted and written.
    pub(in crate::index) fn add(
        &mut self,
        draft: TableDraft,
        source: Arc<dyn TableBytes>,
        cache: &TableCache,
    ) {
        assert!(
            draft.shape.first > self.last(),
            "a table of messages from {} on comes after {}",
            draft.shape.first,
            self.last()
        );
        let first = (draft.shape.first, draft.first_at);
        let pages = Pages::new(source, draft.shape, cache.clone());
        let mut table = Table::new(Arc::new(pages));
        table.first = first;
        self.tables.push(table);
    }
}

impl std::fmt::Debug for TableDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableDraft")
            .field("first", &self.shape.first)
            .field("last", &self.shape.last)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
