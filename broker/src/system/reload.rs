//! Requests to read the configuration again, for whoever has read it: the node itself knows no file.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

/// Requests that may wait: 8. More are refused.
const WAITING_MAX: usize = 8;

/// Requests of the system account to go by the configuration as it is now. Dropping it refuses them.
#[derive(Debug)]
pub struct ReloadRequests(mpsc::Receiver<ReloadRequest>);

/// One of them. Dropping it refuses it.
#[derive(Debug)]
pub struct ReloadRequest(oneshot::Sender<Result<(), String>>);

/// The way to whoever takes the requests, if somebody does.
#[derive(Debug, Default)]
pub(super) struct Reloads(Mutex<Option<mpsc::Sender<ReloadRequest>>>);

impl ReloadRequests {
    /// The next one; `None` when the node has stopped. May be dropped and called again.
    pub async fn next(&mut self) -> Option<ReloadRequest> {
        self.0.recv().await
    }
}

impl ReloadRequest {
    /// Says what became of it: done, or why not.
    pub fn answer(self, outcome: Result<(), String>) {
        // Who asked may have given up.
        self.0.send(outcome).ok();
    }
}

impl Reloads {
    /// Takes the requests from now on; who took them before gets no more.
    pub(super) fn take(&self) -> ReloadRequests {
        let (sender, requests) = mpsc::channel(WAITING_MAX);
        *self.sender() = Some(sender);
        ReloadRequests(requests)
    }

    /// Asks for it, and waits until it is done or refused.
    pub(super) async fn ask(&self) -> Result<(), String> {
        let Some(sender) = self.sender().clone() else {
            return Err("the server has no configuration file to reload".into());
        };
        let (done, outcome) = oneshot::channel();
        if sender.try_send(ReloadRequest(done)).is_err() {
            return Err("the server cannot reload now".into());
        }
        let refused = Err("the server stops and does not reload".into());
        outcome.await.unwrap_or(refused)
    }

    fn sender(&self) -> MutexGuard<'_, Option<mpsc::Sender<ReloadRequest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
