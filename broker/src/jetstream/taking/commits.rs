//! The receiving side of the log: hands committed entries to the shards.

use std::sync::Arc;

use hitherto_cluster::{Commits, Committed, LogError};
use hitherto_jetstream::GroupId;

use super::room::WaitingRoom;
use crate::jetstream::keeping::Activity;
use crate::jetstream::orders::{Input, ShardQueue};
use crate::jetstream::telling::Receipt;

/// Runs on the lane. Groups belong to shards by their number.
pub(crate) struct ToShards {
    pub(crate) shards: Vec<Arc<ShardQueue>>,
    pub(crate) waiting_room: Arc<WaitingRoom>,
    pub(crate) activity: Arc<Activity>,
}

impl ToShards {
    fn shard(&self, group: GroupId) -> &ShardQueue {
        shard_of(&self.shards, group)
    }
}

impl Commits<Receipt> for ToShards {
    fn committed(&mut self, entry: Committed<Receipt>) {
        self.activity.add(entry.body.len());
        self.shard(entry.group).push(Input::Committed(entry));
    }

    fn failed(&mut self, group: GroupId, receipts: Vec<Receipt>, error: &LogError) {
        self.shard(group)
            .push(Input::Failed(group, receipts, error.clone()));
    }

    fn round_complete(&mut self) {
        self.waiting_room.notify();
    }
}

/// The shard a group belongs to, for as long as the node runs.
pub(crate) fn shard_of(shards: &[Arc<ShardQueue>], group: GroupId) -> &Arc<ShardQueue> {
    let shard = usize::try_from(group.0).unwrap_or_default() % shards.len();
    &shards[shard]
}
