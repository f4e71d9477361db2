//! Back-pressure: publishers wait while the log has no room, so that no publish into a stream is dropped.

use std::sync::{Arc, Weak};

use crate::jetstream::JetStream;

/// A publisher's view of the room in the log.
///
/// Weak, so that a forgotten client does not keep the threads of a stopped node alive. A node that has
/// stopped, or has no JetStream, has room, as it stores nothing.
#[derive(Debug, Clone)]
pub(crate) struct Room(Weak<JetStream>);

impl Room {
    pub(crate) fn new(jetstream: Option<&Arc<JetStream>>) -> Self {
        Self(jetstream.map(Arc::downgrade).unwrap_or_default())
    }

    pub(crate) fn is_there(&self) -> bool {
        let jetstream = self.0.upgrade();
        jetstream.is_none_or(|jetstream| jetstream.has_room())
    }

    /// Waits until there is room. Whoever waits keeps JetStream alive: wait for the node's stop, too.
    pub(crate) async fn wait(&self) {
        if let Some(jetstream) = self.0.upgrade() {
            jetstream.wait_for_room().await;
        }
    }
}
