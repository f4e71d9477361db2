//! The log as its proposers see it.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_storage::WalPosition;

use crate::NodeId;

/// A log of many groups. `R` is the receipt: what the proposer wants back when the fate of its record is
/// known, for example where the answer goes.
///
/// Records of one group are committed in the order `propose` took them. Every receipt that was taken
/// comes back exactly once, through [`Commits`](crate::Commits).
pub trait Log<R>: Send + Sync {
    /// Takes a record into the log of a group. Does not block and does not wait for the disk.
    ///
    /// The record is encoded under the group's lock, in the order of the log: an [`Encode`] may stamp
    /// itself with a number or a time that must not go backwards.
    ///
    /// # Errors
    /// [`Refused`] hands the receipt back: the record is not in the log and never will be.
    fn propose(&self, group: GroupId, record: &dyn Encode, receipt: R) -> Result<(), Refused<R>>;

    /// Begins to take records of a group whose last entry is `last` (0 when it has none). A group that
    /// is open stays as it is.
    fn open_group(&self, group: GroupId, last: LogIndex);

    /// Takes no more records of a group. Those not written yet come back as failed.
    fn close_group(&self, group: GroupId);

    /// Says whether the records of a group are reported committed before they are synced. A group that was
    /// opened is [`Durability::Synced`]. The change holds for every record proposed after the call.
    fn set_durability(&self, group: GroupId, durability: Durability);

    /// Waits until everything that was reported committed is synced. Blocks; returns at once when it is.
    ///
    /// # Errors
    /// The log has ended, and what it did not sync may be lost.
    fn sync(&self) -> Result<(), Refusal>;

    /// Allows the log to forget what lies wholly before a position.
    fn release(&self, before: WalPosition);

    /// Tells where a replay begins that needs no entry that is committed and synced so far: all of them lie before
    /// it and have been handed to [`Commits`](crate::Commits). Of those handed over only entries of relaxed groups
    /// that are not synced lie behind it.
    fn position(&self) -> WalPosition;

    /// Tells whether so much is under way that publishers should wait.
    fn pressure(&self) -> bool;

    /// Tells why nothing is taken any more; `None` while the log works.
    fn ended(&self) -> Option<Refusal>;

    /// Takes nothing any more, as after a failed write: those who are told what is committed are broken. What was
    /// taken is still written.
    fn end(&self);
}

/// When the records of a group are reported committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// When they survive any crash.
    #[default]
    Synced,
    /// When they survive the end of the process; the sync follows within
    /// [`RELAXED_SYNC_WITHIN`](crate::RELAXED_SYNC_WITHIN). Of what a power cut takes it takes the end: no
    /// record is lost that has a later one of any group.
    Relaxed,
}

/// Something that can be written into the log.
pub trait Encode {
    /// Appends the record. It must delimit itself: records of one entry lie back to back.
    fn encode(&self, buf: &mut BytesMut);

    /// Tells whether it is reported committed only when it is synced, also in a relaxed group.
    fn needs_sync(&self) -> bool {
        false
    }
}

/// A record that was not taken.
pub struct Refused<R> {
    /// Why.
    pub reason: Refusal,
    /// What the proposer gave.
    pub receipt: R,
}

/// Why the log does not take a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many bytes are under way; later there may be room.
    #[error("too many bytes wait for the disk; wait for room")]
    Full,
    /// This node does not lead the group, or not yet, or without a majority; records are taken by the leader
    /// alone.
    #[error("another node leads the group, or none does now")]
    NotLeader {
        /// The leader, which may be this node while it begins; `None` when none is known.
        leader: Option<NodeId>,
    },
    /// The group is not open.
    #[error("the group is not open")]
    NoGroup,
    /// The log was shut down.
    #[error("the log is shut down")]
    Closed,
    /// A write or sync failed; only a restart helps.
    #[error("the log failed to write and takes nothing any more; restart the node")]
    Failed,
}

/// The log of a replicated group lacks what it must have, or has what it cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log of group {group} is broken at entry {index}: {what}")]
pub struct LogIsBroken {
    /// The group.
    pub group: GroupId,
    /// The entry.
    pub index: LogIndex,
    /// What is wrong.
    pub what: &'static str,
}

/// Why a record that was taken is not committed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The record was not written: the disk is full, or the log could not make its next file. The log
    /// goes on.
    #[error("nothing was written")]
    NotWritten {
        /// What the store says.
        #[source]
        source: Arc<hitherto_storage::Error>,
    },
    /// The write or sync failed: **whether the record survives is unknown**, and is seen at the next
    /// start. The log takes nothing any more.
    #[error("the log failed while it wrote; whether the record survives is unknown")]
    Unknown {
        /// What the store says.
        #[source]
        source: Arc<hitherto_storage::Error>,
    },
    /// The record was not written: this node does not lead the group any more, or has lost its majority.
    #[error("nothing was written: another node leads the group, or none does now")]
    NotLeader {
        /// The leader; `None` when none is known.
        leader: Option<NodeId>,
    },
    /// The leader changed, or the group was restarted, before the record was seen to be committed: **whether it
    /// is, or will be, is unknown**. The log goes on.
    #[error("the leader changed meanwhile; whether the record is committed is unknown")]
    Undecided,
    /// The record was not written: the log failed before its turn.
    #[error("nothing was written: the log has failed")]
    Failed,
    /// The record was not written: the log was shut down before its turn.
    #[error("nothing was written: the log is shut down")]
    Closed,
    /// The record was not written: its group was closed before.
    #[error("nothing was written: the group is closed")]
    GroupClosed,
}

impl<R> fmt::Debug for Refused<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}
