//! How many bytes may be under way, from the proposal until the committed entry has been applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    bytes: AtomicUsize,
    /// How many wait for room; nobody is told while it is 0.
    waiting: AtomicUsize,
    freed: Notify,
}

/// Counts itself among those who wait.
struct Waiting<'a>(&'a AtomicUsize);

/// A share of the bytes under way; dropping it gives them back.
#[derive(Debug)]
pub struct InFlight {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        })
    }

    /// Nothing more may be taken. What is under way may pass the maximum by one record per proposer.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) >= self.bytes_max
    }

    /// Half of the maximum is under way: who can wait should.
    pub(crate) fn is_half_full(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) >= self.bytes_max / 2
    }

    pub(crate) fn take(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Waits until more may be taken. May be dropped at any time.
    pub(crate) async fn until_room(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // Listens before it looks, so that no notice is missed between the two.
            freed.as_mut().enable();
            if !self.is_full() {
                return;
            }
            freed.await;
        }
    }
}

impl InFlight {
    /// A guard for bytes that were taken already.
    pub(crate) fn of_taken(budget: &Arc<Budget>, bytes: usize) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        if self.budget.waiting.load(Ordering::SeqCst) > 0 {
            self.budget.freed.notify_waiters();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
