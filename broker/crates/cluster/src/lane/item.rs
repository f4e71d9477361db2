//! What a replicated group wants written: its part of the one log of the node.

use std::fmt;

use bytes::Bytes;
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_storage::{EntryKind, WalEntry, WalPosition};

use crate::LogError;

/// Entries that are written in one frame, and who waits for them.
///
/// Items are written in the order they were left, whatever their groups.
pub(crate) struct Item {
    pub(crate) entries: Vec<ItemEntry>,
    /// Called once, by the lane between two writes: with the frame once it is durable, or with why nothing is
    /// written any more. It must not block.
    pub(crate) done: Box<dyn FnOnce(Result<WalPosition, LogError>) + Send>,
}

/// One entry of the log, owned.
#[derive(Debug, Clone)]
pub(crate) struct ItemEntry {
    pub(crate) group: GroupId,
    pub(crate) index: LogIndex,
    pub(crate) term: u64,
    pub(crate) kind: EntryKind,
    pub(crate) body: Bytes,
}

/// The lane, for those who leave items.
pub(crate) trait Submit: Send + Sync {
    fn submit(&self, item: Item);

    /// A place in the log that everything left from now on lies behind.
    fn position(&self) -> WalPosition;
}

impl Item {
    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.body.len()).sum()
    }
}

impl ItemEntry {
    pub(crate) fn to_write(&self) -> WalEntry<'_> {
        WalEntry {
            group: self.group,
            index: self.index,
            term: self.term,
            kind: self.kind,
            body: &self.body,
        }
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}
