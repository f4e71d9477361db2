//! The node's word that it stops, for everybody who waits for something else.

use tokio::sync::watch;

/// Says "stop" once. Dropping it says the same.
#[derive(Debug)]
pub(crate) struct StopSource(watch::Sender<bool>);

/// Hears "stop". Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct StopSignal(watch::Receiver<bool>);

impl StopSource {
    pub(crate) fn new() -> (Self, StopSignal) {
        let (source, signal) = watch::channel(false);
        (Self(source), StopSignal(signal))
    }

    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Drop for StopSource {
    fn drop(&mut self) {
        self.stop();
    }
}

impl StopSignal {
    pub(crate) fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the word. May be dropped and called again.
    pub(crate) async fn stopped(&mut self) {
        // A source that is gone has said it, too.
        self.0.wait_for(|stopped| *stopped).await.ok();
    }
}
