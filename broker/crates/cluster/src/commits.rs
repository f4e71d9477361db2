//! What became of the records: the receiving side of a log.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_storage::WalPosition;

use crate::{InFlight, LogError, NodeId};

/// Is told the fate of every record. Runs on the log's own thread between two syncs: it must not block.
pub trait Commits<R>: Send + 'static {
    /// An entry is committed: it will be there after any crash, or, in a group of
    /// [`Durability::Relaxed`](crate::Durability::Relaxed), after any crash but a power cut that comes soon.
    /// Entries of a group come in order and without gaps.
    fn committed(&mut self, entry: Committed<R>);

    /// Records of a group are not committed, or nobody knows: the error says which.
    fn failed(&mut self, group: GroupId, receipts: Vec<R>, error: &LogError);

    /// Another node leads a group, or none is known to, or this node takes records now; told for groups that
    /// are replicated only.
    fn leader_changed(&mut self, group: GroupId, leadership: Leadership) {
        let _ = (group, leadership);
    }

    /// One sync is done with: everything it decided has been told.
    fn round_complete(&mut self);
}

/// Who leads a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The term; it never goes back.
    pub term: u64,
    /// The leader; `None` while none is known.
    pub leader: Option<NodeId>,
    /// Whether that is this node and it takes records: everything committed in earlier terms was handed over
    /// before.
    pub is_here: bool,
}

/// A committed entry: the records of one group that were written together.
#[derive(Debug)]
pub struct Committed<R> {
    /// Its group.
    pub group: GroupId,
    /// Its index in the group's log.
    pub index: LogIndex,
    /// The term it was proposed in; 0 in a group that stands alone.
    pub term: u64,
    /// The records, back to back. Empty for entries a replicated group makes of its own, which are there so
    /// that indexes have no gaps.
    pub body: Bytes,
    /// Where the log keeps it. For an entry that others have committed before it was durable here, a place
    /// before it.
    pub position: WalPosition,
    /// The receipts, one per record in the same order; empty when it was proposed elsewhere.
    pub receipts: Vec<R>,
    /// Its share of what may be under way. Dropped when the entry has been applied.
    pub in_flight: InFlight,
}

/// One receiver for the lane and for replicated groups, which hand over from threads of their own.
pub(crate) struct SharedCommits<R>(Arc<Mutex<dyn Commits<R>>>);

impl<R: 'static> SharedCommits<R> {
    pub(crate) fn new(commits: impl Commits<R>) -> Self {
        Self(Arc::new(Mutex::new(commits)))
    }

    pub(crate) fn with(&self, tell: impl FnOnce(&mut dyn Commits<R>)) {
        tell(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<R> Clone for SharedCommits<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Send + 'static> Commits<R> for SharedCommits<R> {
    fn committed(&mut self, entry: Committed<R>) {
        self.with(|commits| commits.committed(entry));
    }

    fn failed(&mut self, group: GroupId, receipts: Vec<R>, error: &LogError) {
        self.with(|commits| commits.failed(group, receipts, error));
    }

    fn leader_changed(&mut self, group: GroupId, leadership: Leadership) {
        self.with(|commits| commits.leader_changed(group, leadership));
    }

    fn round_complete(&mut self) {
        self.with(|commits| commits.round_complete());
    }
}
