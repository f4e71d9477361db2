//! The subscriptions a subject leads to, ordered for delivery.

use std::sync::Arc;

use super::Subscription;

/// What one look into the subject tree found. Reused from message to message, so that finding does not
/// allocate once it has grown.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// Each of these gets the message.
    plain: Vec<Arc<Subscription>>,
    /// Members of queue groups, those of one group side by side: one of each group gets the message.
    queued: Vec<Arc<Subscription>>,
}

impl Matches {
    pub(super) fn clear(&mut self) {
        self.plain.clear();
        self.queued.clear();
    }

    /// Adds one; after the last one call [`Matches::sort_groups`].
    pub(super) fn add(&mut self, subscription: Arc<Subscription>) {
        if subscription.queue().is_some() {
            self.queued.push(subscription);
        } else {
            self.plain.push(subscription);
        }
    }

    /// Puts the members of each group side by side. Groups go by name alone: members whose filters
    /// differ are still one group, as in nats-server 2.15 (`addNodeToResults` in `server/sublist.go`).
    pub(super) fn sort_groups(&mut self) {
        self.queued.sort_by(|a, b| a.queue().cmp(&b.queue()));
    }

    pub(super) fn plain(&self) -> &[Arc<Subscription>] {
        &self.plain
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &[Arc<Subscription>]> {
        self.queued.chunk_by(|a, b| a.queue() == b.queue())
    }

    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.queued.len()
    }
}
