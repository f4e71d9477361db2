//! What became of the records: the receiving side of a log.

use bytes::Bytes;
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_storage::WalPosition;

use crate::{InFlight, LogError};

/// Is told the fate of every record. Runs on the log's own thread between two syncs: it must not block.
pub trait Commits<R>: Send + 'static {
    /// An entry is committed: it will be there after any crash, or, in a group of
    /// [`Durability::Relaxed`](crate::Durability::Relaxed), after any crash but a power cut that comes soon.
    /// Entries of a group come in order and without gaps.
    fn committed(&mut self, entry: Committed<R>);

    /// Records of a group are not committed, or nobody knows: the error says which.
    fn failed(&mut self, group: GroupId, receipts: Vec<R>, error: &LogError);

    /// One sync is done with: everything it decided has been told.
    fn round_complete(&mut self);
}

/// A committed entry: the records of one group that were written together.
#[derive(Debug)]
pub struct Committed<R> {
    /// Its group.
    pub group: GroupId,
    /// Its index in the group's log.
    pub index: LogIndex,
    /// The records, back to back.
    pub body: Bytes,
    /// Where the log keeps it.
    pub position: WalPosition,
    /// The receipts, one per record in the same order; empty when it was proposed elsewhere.
    pub receipts: Vec<R>,
    /// Its share of what may be under way. Dropped when the entry has been applied.
    pub in_flight: InFlight,
}
