//! The reading end of a subscription inside the process.

use std::sync::Arc;

use super::LocalMessage;
use super::queue::{LocalQueue, Popped};
use crate::pubsub::{Router, SubscriptionKey};
use crate::stop::StopSignal;

/// Messages of one in-process subscription. Dropping it unsubscribes.
///
/// Messages wait in a queue of at most `max_pending` bytes (see
/// [`NodeConfig::max_pending`](crate::NodeConfig::max_pending)). A reader that lets it fill up is a slow
/// consumer: the subscription ends with the message that did not fit, what waits can still be read, and
/// then [`LocalSubscription::next`] returns `None` and [`LocalSubscription::end`] says why. No message
/// is left out silently.
#[derive(Debug)]
pub struct LocalSubscription {
    router: Arc<Router>,
    key: SubscriptionKey,
    queue: Arc<LocalQueue>,
    stop: StopSignal,
}

/// Why a local subscription gives no more messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionEnd {
    /// [`LocalSubscription::unsubscribe`] was called.
    Unsubscribed,
    /// More bytes waited than allowed: messages after the last one read are missing.
    SlowConsumer,
    /// The node has stopped.
    NodeStopped,
}

impl LocalSubscription {
    pub(super) fn new(
        router: Arc<Router>,
        key: SubscriptionKey,
        queue: Arc<LocalQueue>,
        stop: StopSignal,
    ) -> Self {
        Self {
            router,
            key,
            queue,
            stop,
        }
    }

    /// The next message, waiting for it if need be; `None` when none will come:
    /// [`LocalSubscription::end`] says why. Dropping the future loses no message.
    pub async fn next(&mut self) -> Option<LocalMessage> {
        loop {
            match self.queue.pop() {
                Popped::Message(message) => return Some(message),
                Popped::End => return None,
                Popped::Empty => {}
            }
            // Neither arm takes anything: a dropped wait is begun again.
            tokio::select! {
                () = self.queue.wait() => {}
                () = self.stop.stopped() => self.queue.close(SubscriptionEnd::NodeStopped),
            }
        }
    }

    /// The next message that waits already; `None` when none does.
    pub fn try_next(&mut self) -> Option<LocalMessage> {
        match self.queue.pop() {
            Popped::Message(message) => Some(message),
            Popped::Empty | Popped::End => None,
        }
    }

    /// Ends the subscription. What waits already can still be read.
    pub fn unsubscribe(&mut self) {
        self.router.unsubscribe(&self.key);
        self.queue.close(SubscriptionEnd::Unsubscribed);
    }

    /// Why no more messages come; `None` while they may.
    pub fn end(&self) -> Option<SubscriptionEnd> {
        self.queue.end()
    }
}

impl Drop for LocalSubscription {
    fn drop(&mut self) {
        self.router.unsubscribe(&self.key);
        self.queue.abandon();
    }
}
