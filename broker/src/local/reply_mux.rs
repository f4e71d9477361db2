//! The answers to the requests of one local client: one subscription with a wildcard for all of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hitherto_protocol::{Subject, SubjectFilter};
use tokio::sync::oneshot;

use super::LocalMessage;
use crate::Error;
use crate::pubsub::{Handler, Message, Origin, Reach};

/// Requests of one client that may wait for an answer at the same time; more are refused.
pub(super) const REQUESTS_IN_FLIGHT_MAX: usize = 65_536;

/// Gives each answer to the request that waits for it.
#[derive(Debug)]
pub(super) struct ReplyMux {
    /// Reply subjects are `<prefix>.<number>`.
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<LocalMessage>>>,
}

/// A request that waits. Dropping it gives up waiting.
#[derive(Debug)]
pub(super) struct PendingReply {
    mux: Arc<ReplyMux>,
    number: u64,
    answer: oneshot::Receiver<LocalMessage>,
}

impl ReplyMux {
    pub(super) fn new(prefix: String) -> Arc<Self> {
        Arc::new(Self {
            prefix,
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
        })
    }

    /// All reply subjects.
    pub(super) fn filter(&self) -> SubjectFilter {
        SubjectFilter::new(format!("{}.*", self.prefix)).expect("a prefix is a subject")
    }

    /// Begins to wait for one answer to the returned reply subject.
    pub(super) fn expect_reply(self: &Arc<Self>) -> Result<(Subject, PendingReply), Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.len() >= REQUESTS_IN_FLIGHT_MAX {
            return Err(Error::TooManyRequests {
                max: REQUESTS_IN_FLIGHT_MAX,
            });
        }
        waiting.insert(number, sender);
        drop(waiting);
        let reply =
            Subject::new(format!("{}.{number}", self.prefix)).expect("a prefix is a subject");
        let pending = PendingReply {
            mux: Arc::clone(self),
            number,
            answer,
        };
        Ok((reply, pending))
    }

    fn take(&self, number: u64) -> Option<oneshot::Sender<LocalMessage>> {
        self.lock().remove(&number)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<LocalMessage>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for ReplyMux {
    /// Whoever answers may be a client of another node.
    fn reach(&self) -> Reach {
        Reach::Cluster
    }

    fn handle(&self, _: Origin, message: &Message) {
        let number = message.subject.as_str().rsplit('.').next();
        let Some(number) = number.and_then(|number| number.parse().ok()) else {
            return;
        };
        if let Some(request) = self.take(number) {
            // The request may have given up a moment ago.
            request.send(LocalMessage::copy_of(message)).ok();
        }
    }
}

impl PendingReply {
    /// Waits for the answer.
    pub(super) async fn answer(&mut self) -> Option<LocalMessage> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.mux.take(self.number);
    }
}
