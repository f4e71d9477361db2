//! Whether publishers and clients may send more, and waiting until they may.

use std::sync::atomic::{AtomicUsize, Ordering};

use hitherto_cluster::Log;
use tokio::sync::Notify;

use crate::jetstream::orders::ShardQueues;
use crate::jetstream::telling::Receipt;

/// Where those wait for whom there is no room.
#[derive(Debug, Default)]
pub(crate) struct WaitingRoom {
    freed: Notify,
    waiting: AtomicUsize,
}

impl WaitingRoom {
    /// Something was taken off a queue. Cheap when nobody waits.
    pub(crate) fn notify(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }

    /// Waits until `has_room` says so. May be dropped at any time.
    pub(crate) async fn wait_until(&self, has_room: impl Fn() -> bool) {
        let _waiting = Waiting::begin(&self.waiting);
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Listens before it looks, so that no notice is missed between the two.
            freed.as_mut().enable();
            if has_room() {
                return;
            }
            freed.await;
        }
    }
}

/// Counts itself among those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// There is room while neither the log nor a shard is pressed. A log that has ended refuses at once, so
/// nobody waits for it.
pub(crate) fn has_room(log: &dyn Log<Receipt>, shards: &ShardQueues) -> bool {
    let pressed = log.pressure() || shards.are_pressed();
    !pressed || log.ended().is_some()
}
