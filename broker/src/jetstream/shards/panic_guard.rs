//! What happens when a shard panics.

use std::sync::Arc;
use std::thread;

use super::parts::ShardParts;
use crate::jetstream::orders::ShardQueue;

/// Lets go of those who wait for a shard when it panics, which is a bug: the process may be somebody else's, who
/// goes on and wants to shut the node down.
pub(super) struct PanicGuard {
    pub(super) queue: Arc<ShardQueue>,
    pub(super) parts: ShardParts,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(
                "a shard has panicked; the node takes no messages any more, restart it"
            );
            self.parts.intake.log.end();
            self.queue.close();
            self.parts.waiting_room.notify();
        }
    }
}
