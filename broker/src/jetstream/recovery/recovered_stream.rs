//! A stream as its files have it, while the log behind its checkpoint is replayed.

use bytes::Bytes;
use hitherto_jetstream::command::decode_all;
use hitherto_jetstream::{Freeze, LogIndex, Stream};
use hitherto_storage::{Error, StreamStore, WalPosition};

use crate::jetstream::files::{Stores, TAIL_BYTES_MAX, freezing};
use crate::jetstream::replicas::keep_body;

/// A stream as its files have it.
pub(crate) struct RecoveredStream {
    pub(crate) stream: Stream,
    pub(crate) store: StreamStore,
    /// Where its replay begins.
    pub(crate) replayed_from: WalPosition,
    /// What its index took before that.
    pub(super) opened_index_bytes: u64,
}

impl RecoveredStream {
    /// Writes bodies to segments when many are in memory. A full disk must not keep a node from
    /// starting, as it may be there to free room.
    pub(super) fn keep_tail_short(&mut self) -> Result<(), Error> {
        if self.store.tail_bytes() < TAIL_BYTES_MAX {
            return Ok(());
        }
        match self.store.flush() {
            Err(Error::Full { file }) => {
                tracing::warn!(file = %file.display(), "the disk is full; bodies stay in memory");
                Ok(())
            }
            flushed => flushed,
        }
    }

    /// Freezes a piece of the index when much is in memory. When that is not possible, publishers will be refused.
    pub(super) fn keep_index_small(&mut self, stores: &Stores, used: u64) {
        let others = used.saturating_sub(self.opened_index_bytes);
        if self.stream.hot_index_bytes() <= stores.index_budget.while_recovering(others) {
            return;
        }
        freeze(&mut self.stream, &mut self.store, stores);
    }

    /// Applies an entry again; `false` when it cannot be.
    pub(super) fn replay(&mut self, index: LogIndex, body: Bytes) -> bool {
        if index > self.stream.applied().next() {
            return false;
        }
        for command in decode_all(body) {
            let Ok(command) = command else {
                return false;
            };
            self.stream.apply(index, command);
            while let Some(output) = self.stream.poll_output() {
                // Everything but the bodies was said before the end of the last run, or will be said again.
                keep_body(&mut self.store, output);
            }
        }
        true
    }
}

/// Freezes a piece of an index; `false` when there is no use in trying again. What stays in memory may have publishers
/// refused.
pub(super) fn freeze(of: &mut impl Freeze, store: &mut StreamStore, stores: &Stores) -> bool {
    freezing::freeze(of, store, &stores.tables).unwrap_or_else(|error| {
        let error = with_cause(&error);
        tracing::warn!(
            error,
            "cannot write a table of an index; all of it stays in memory"
        );
        false
    })
}

/// An error and what it comes from.
pub(super) fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
