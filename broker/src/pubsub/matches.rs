//! The subscriptions a subject leads to, ordered for delivery.

use std::sync::Arc;

use super::Subscription;
use crate::route::RemoteNode;

/// What one look into the subject tree found. Reused from message to message, so that finding does not
/// allocate once it has grown.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// Each of these gets the message.
    plain: Vec<Arc<Subscription>>,
    /// Other nodes with plain subscriptions, each once, however many of them match.
    nodes: Vec<Arc<RemoteNode>>,
    /// Members of queue groups, those of one group side by side: one of each group gets the message.
    queued: Vec<Arc<Subscription>>,
    /// Some of those are of other nodes.
    has_remote_members: bool,
}

impl Matches {
    pub(super) fn clear(&mut self) {
        self.plain.clear();
        self.nodes.clear();
        self.queued.clear();
        self.has_remote_members = false;
    }

    /// Adds one; after the last one call [`Matches::sort_groups`].
    pub(super) fn add(&mut self, subscription: Arc<Subscription>) {
        if subscription.queue().is_some() {
            self.has_remote_members |= subscription.node().is_some();
            self.queued.push(subscription);
        } else if let Some(node) = subscription.node() {
            if !self.nodes.iter().any(|known| Arc::ptr_eq(known, node)) {
                self.nodes.push(Arc::clone(node));
            }
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

    pub(super) fn nodes(&self) -> &[Arc<RemoteNode>] {
        &self.nodes
    }

    pub(super) fn has_remote_members(&self) -> bool {
        self.has_remote_members
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &[Arc<Subscription>]> {
        self.queued.chunk_by(|a, b| a.queue() == b.queue())
    }

    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.nodes.len() + self.queued.len()
    }
}
