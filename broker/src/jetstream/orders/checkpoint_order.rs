//! What the checkpointer asks the shards, and what they answer.

use std::sync::mpsc::SyncSender;

use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_storage::PendingCheckpoint;

use crate::jetstream::files::StateSnapshot;

/// A request to a shard to describe its groups. It is sent to every shard; a shard that ends drops it.
pub(crate) struct CheckpointOrder {
    pub(crate) answer: SyncSender<Described>,
}

/// The groups of a shard, or of all.
#[derive(Default)]
pub(crate) struct Described {
    pub(crate) groups: Vec<GroupCheckpoint>,
    /// Those whose files cannot be written. Their last checkpoint stays in use.
    pub(crate) failed: Vec<GroupId>,
    /// Those that went offline since the start. Theirs too, until the next start.
    pub(crate) offline: Vec<GroupId>,
}

/// One group, described at one moment by the thread that owns it.
pub(crate) struct GroupCheckpoint {
    pub(crate) group: GroupId,
    pub(crate) applied: LogIndex,
    pub(crate) state: StateSnapshot,
    /// The bodies; `None` for the meta group.
    pub(crate) bodies: Option<PendingCheckpoint>,
}
