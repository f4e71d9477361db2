//! The queues of all shards.

use std::sync::Arc;

use hitherto_jetstream::GroupId;

use super::queue::ShardQueue;

/// The queues of a node's shards. Groups belong to shards by their number, for as long as the node runs.
#[derive(Debug, Clone)]
pub(crate) struct ShardQueues(Arc<[Arc<ShardQueue>]>);

impl ShardQueues {
    /// The queues of so many shards; at least one.
    pub(crate) fn new(shards: usize) -> Self {
        let queues = (0..shards.max(1)).map(|_| Arc::new(ShardQueue::new()));
        Self(queues.collect())
    }

    /// The number of the shard that owns a group.
    pub(crate) fn number_of(&self, group: GroupId) -> usize {
        usize::try_from(group.0).unwrap_or_default() % self.0.len()
    }

    /// The queue of the shard that owns a group.
    pub(crate) fn of(&self, group: GroupId) -> &Arc<ShardQueue> {
        &self.0[self.number_of(group)]
    }

    /// The queues, by the numbers of their shards.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<ShardQueue>> {
        self.0.iter()
    }

    /// How many shards there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether clients of one of them should wait before they send more.
    pub(crate) fn are_pressed(&self) -> bool {
        self.iter().any(|queue| queue.is_pressed())
    }
}
