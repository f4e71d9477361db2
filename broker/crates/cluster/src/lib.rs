//! The replicated log: what is proposed to a group comes back committed, in the same order everywhere.
//!
//! * [`Log`] is what proposers see; [`Commits`] is told what became of each record.
//! * [`SoloLog`] is the driver of a node that stands alone: durable on its own disk is committed. One
//!   thread, the lane, owns the write-ahead log; what arrives while it syncs is the next write.
//! * [`RaftLog`] is the driver of a node of a cluster: groups that stand alone as before, and replicated
//!   groups, which are committed when a majority of their voters has them on disk. All share the lane.
//! * [`Links`] and [`Inbox`] are all it needs of a network.
//!
//! A record is opaque here: the crate knows neither streams nor messages, and must not know the broker.
//! Tokio runs the replicated groups alone; the lane and groups that stand alone do without. Waiting for
//! room is the broker's; here a full log refuses.

#![forbid(unsafe_code)]

mod budget;
mod commits;
mod group;
mod lane;
mod links;
mod log;
mod raft;
mod solo;

pub use budget::InFlight;
pub use commits::{Commits, Committed, Leadership};
pub use hitherto_jetstream::NodeId;
pub use links::{Channel, Inbox, LinkDown, Links, LocalLinks, LocalNetwork};
pub use log::{Durability, Encode, Log, LogError, LogIsBroken, Refusal, Refused};
pub use raft::{
    GroupError, GroupStatus, OpenError, PeerStatus, RaftLog, RaftOptions, RaftParts, RaftSnapshot,
    RecoveredGroups, SnapshotFile, Snapshots,
};
pub use solo::{
    ENTRY_BYTES_MAX, ENTRY_RECORDS_MAX, RELAXED_SYNC_WITHIN, ROUND_BYTES_MAX, SoloLog, SoloOptions,
};
