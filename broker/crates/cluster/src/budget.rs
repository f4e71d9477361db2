//! How many bytes may be under way, from the proposal until the committed entry has been applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    bytes: AtomicUsize,
}

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
    }
}
