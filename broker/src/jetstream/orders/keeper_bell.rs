//! What wakes the keeper before its time.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What wakes the keeper before its time.
#[derive(Default)]
pub(crate) struct KeeperBell {
    state: Mutex<BellState>,
    wake: Condvar,
}

#[derive(Default)]
struct BellState {
    stopping: bool,
    /// There may be tables to merge.
    rung: bool,
}

impl KeeperBell {
    /// There may be tables to merge: the keeper looks soon.
    pub(crate) fn ring(&self) {
        let was_rung = mem::replace(&mut self.lock().rung, true);
        if !was_rung {
            self.wake.notify_one();
        }
    }

    /// The keeper is to come to an end.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.wake.notify_one();
    }

    /// Waits; `true` when it is time to stop.
    pub(crate) fn wait(&self, wait: Duration) -> bool {
        let state = self.lock();
        let waited = self
            .wake
            .wait_timeout_while(state, wait, |state| !state.stopping);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    /// As [`KeeperBell::wait`], but not beyond a ring, which it takes.
    pub(crate) fn wait_for_ring(&self, wait: Duration) -> (bool, bool) {
        let state = self.lock();
        let waited = self
            .wake
            .wait_timeout_while(state, wait, |state| !state.stopping && !state.rung);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        (state.stopping, mem::take(&mut state.rung))
    }

    fn lock(&self) -> MutexGuard<'_, BellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
