//! The receiving side of the log: hands committed entries to the shards.

use std::sync::Arc;

use hitherto_cluster::{Commits, Committed, Leadership, LogError};
use hitherto_jetstream::GroupId;

use super::room::WaitingRoom;
use crate::jetstream::orders::{Activity, Input, ShardQueues};
use crate::jetstream::telling::Receipt;

/// Runs on the lane, and where replicated groups hand over.
pub(crate) struct ToShards {
    pub(crate) shards: ShardQueues,
    pub(crate) waiting_room: Arc<WaitingRoom>,
    pub(crate) activity: Arc<Activity>,
}

impl Commits<Receipt> for ToShards {
    fn committed(&mut self, entry: Committed<Receipt>) {
        self.activity.add(entry.body.len());
        self.shards.of(entry.group).push(Input::Committed(entry));
    }

    fn failed(&mut self, group: GroupId, receipts: Vec<Receipt>, error: &LogError) {
        self.shards
            .of(group)
            .push(Input::Failed(group, receipts, error.clone()));
    }

    fn leader_changed(&mut self, group: GroupId, leadership: Leadership) {
        let input = Input::Leadership(group, leadership);
        self.shards.of(group).push(input);
    }

    fn round_complete(&mut self) {
        self.waiting_room.notify();
    }
}
