//! The storage openraft asks for, on the log of a group.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use futures_util::{Stream, stream};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::group_log::{Flushed, GroupLog, Slot};
use super::types::{Entry, LogId, TypeConfig, Vote};
use crate::LogError;

/// Bytes of entries that are read at once for a follower or the state machine, and one entry: 1 MiB.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// Storage and reader in one; clones are of one log.
#[derive(Debug, Clone)]
pub(crate) struct LogStore(pub(crate) Arc<GroupLog>);

impl LogStore {
    async fn read_some(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let found = self.0.look_up(range, bytes_max);
        if found.iter().all(|(_, slot)| Slot::is_in_memory(slot)) {
            return self.0.read(found);
        }
        let log = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || log.read(found));
        read.await.map_err(io::Error::other)?
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.read_some(to_range(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let read = self.read_some(start..end, READ_BYTES_MAX).await?;
        // The first were purged meanwhile: nothing, which openraft sends as a heartbeat, and not those behind
        // the gap.
        let is_gap = read.first().is_some_and(|first| first.log_id.index > start);
        Ok(if is_gap { Vec::new() } else { read })
    }

    /// Reads ahead a little: what is applied after a start may be more than fits in memory.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let store = self.clone();
        let rest = to_range(&range);
        let chunks = stream::try_unfold((store, rest), |(store, rest)| async move {
            let read = store.read_some(rest.clone(), READ_BYTES_MAX).await?;
            let Some(last) = read.last() else {
                return Ok::<_, io::Error>(None);
            };
            let rest = last.log_id.index + 1..rest.end;
            Ok(Some((
                stream::iter(read.into_iter().map(Ok)),
                (store, rest),
            )))
        });
        Box::pin(futures_util::TryStreamExt::try_flatten(chunks))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.0.vote())
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        Ok(LogState {
            last_purged_log_id: self.0.purged(),
            last_log_id: self.0.last(),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        until_flushed(|flushed| self.0.save_vote(*vote, flushed)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.0.save_committed(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.0.committed())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let flushed = |written: Result<(), LogError>| {
            callback.io_completed(written.map_err(io::Error::other));
        };
        self.0.append(entries, Box::new(flushed))
    }

    /// Durable when it returns, which is more than Raft needs: conflicts are rare, and so whoever looks at the
    /// log of a node that crashed finds no entry that was seen to be gone.
    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        until_flushed(|flushed| self.0.truncate_after(last, flushed)).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.0.purge(upto, Box::new(drop))
    }
}

/// Makes a change of a log and waits until it is durable.
pub(crate) async fn until_flushed(change: impl FnOnce(Flushed)) -> io::Result<()> {
    let (told, flushed) = oneshot::channel();
    // Nobody listens any more: the core was stopped.
    change(Box::new(move |written| drop(told.send(written))));
    let written = flushed.await.map_err(io::Error::other)?;
    written.map_err(io::Error::other)
}

fn to_range(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}
