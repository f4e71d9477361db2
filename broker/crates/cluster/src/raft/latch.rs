//! Something that happens once, and those who wait for it.

use tokio::sync::watch;

/// Closed until it is opened, and open for good then.
#[derive(Debug)]
pub(crate) struct Latch(watch::Sender<bool>);

impl Latch {
    pub(crate) fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Opens it; `false` when it was open before.
    pub(crate) fn open(&self) -> bool {
        !self.0.send_replace(true)
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is open. May be dropped at any time.
    pub(crate) async fn until_open(&self) {
        let mut is_open = self.0.subscribe();
        // The sender lives as long as `self`.
        drop(is_open.wait_for(|is_open| *is_open).await);
    }
}
