//! How far the records are synced that were reported before they were.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Counts the writes that were told of without a sync. The lane counts, others wait.
#[derive(Debug, Default)]
pub(crate) struct Synced {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Writes that were, or are about to be, told of before their sync.
    told: u64,
    /// How many of them are synced.
    synced: u64,
    /// The log has ended; nothing is synced any more.
    ended: bool,
}

impl Synced {
    /// A write is about to be told of and is not synced.
    pub(crate) fn tell(&self) {
        self.lock().told += 1;
    }

    /// Everything told of is synced.
    pub(crate) fn catch_up(&self) {
        let mut state = self.lock();
        if state.synced < state.told {
            state.synced = state.told;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// The log has ended.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// What to wait for; `None` when everything told of is synced.
    pub(crate) fn is_behind(&self) -> Option<u64> {
        let state = self.lock();
        (state.synced < state.told).then_some(state.told)
    }

    /// Waits until so many writes are synced; `false` when the log ended before.
    pub(crate) fn wait_for(&self, told: u64) -> bool {
        let waits = |state: &mut State| state.synced < told && !state.ended;
        let state = self.changed.wait_while(self.lock(), waits);
        state.unwrap_or_else(PoisonError::into_inner).synced >= told
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
