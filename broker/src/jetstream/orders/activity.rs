//! What has happened since the last checkpoint, and the bell of the thread that makes the next one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hitherto_jetstream::GroupId;

/// Bytes committed since the last checkpoint that bring the next one: 64 MiB.
const CHECKPOINT_BYTES: usize = 64 * 1024 * 1024;

/// Time after the first commit since the last checkpoint that brings the next one: 30 s.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// Time after which a checkpoint is made that something waits for: 1 s, so that many share it.
pub(crate) const HASTE_DELAY: Duration = Duration::from_secs(1);

/// What has happened since the last checkpoint.
pub(crate) struct Activity {
    state: Mutex<ActivityState>,
    wake: Condvar,
}

#[derive(Default)]
struct ActivityState {
    bytes: usize,
    /// When the next checkpoint is due; `None` while nothing happened.
    due: Option<Instant>,
    /// Groups whose deletion is committed and whose files are still there.
    deleted: Vec<GroupId>,
    stopping: bool,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    /// So many bytes were committed.
    pub(crate) fn add(&self, bytes: usize) {
        let mut state = self.lock();
        let before = state.bytes;
        state.bytes += bytes;
        let is_first = state.due.is_none();
        if is_first {
            state.due = Some(Instant::now() + CHECKPOINT_INTERVAL);
        }
        let has_grown = before < CHECKPOINT_BYTES && state.bytes >= CHECKPOINT_BYTES;
        drop(state);
        if is_first || has_grown {
            self.wake.notify_one();
        }
    }

    /// The stream of this group is deleted, and its owner has let go of it.
    pub(crate) fn add_deleted(&self, group: GroupId) {
        self.lock().deleted.push(group);
        self.hasten();
    }

    /// A checkpoint is wanted soon.
    pub(crate) fn hasten(&self) {
        self.want_within(HASTE_DELAY);
    }

    /// A checkpoint failed: it is made again, whether or not anything else happens. These groups still are
    /// to be forgotten.
    pub(crate) fn retry(&self, deleted: Vec<GroupId>, delay: Duration) {
        self.lock().deleted.extend(deleted);
        self.want_within(delay);
    }

    fn want_within(&self, delay: Duration) {
        let mut state = self.lock();
        let soon = Instant::now() + delay;
        state.due = Some(state.due.map_or(soon, |due| due.min(soon)));
        drop(state);
        self.wake.notify_one();
    }

    /// Streams were deleted since the list was last taken.
    pub(crate) fn has_deleted(&self) -> bool {
        !self.lock().deleted.is_empty()
    }

    /// The checkpointer is to come to an end.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.wake.notify_one();
    }

    /// Waits until a checkpoint is due and begins the next count; `None` when it is time to stop.
    pub(crate) fn wait(&self) -> Option<Vec<GroupId>> {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return None;
            }
            let now = Instant::now();
            let due = state.due;
            if state.bytes >= CHECKPOINT_BYTES || due.is_some_and(|due| due <= now) {
                return Some(state.reset());
            }
            state = match due {
                None => self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    self.wake
                        .wait_timeout(state, due - now)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Begins the next count before a checkpoint is due, and takes the list of the deleted.
    pub(crate) fn begin(&self) -> Vec<GroupId> {
        self.lock().reset()
    }

    fn lock(&self) -> MutexGuard<'_, ActivityState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ActivityState {
    fn reset(&mut self) -> Vec<GroupId> {
        self.bytes = 0;
        self.due = None;
        std::mem::take(&mut self.deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_checkpoint_is_due_again_without_new_activity() {
        let activity = Activity::new();
        assert!(activity.lock().due.is_none());
        activity.retry(vec![GroupId(3)], Duration::ZERO);
        assert_eq!(activity.wait(), Some(vec![GroupId(3)]));
        assert!(activity.lock().due.is_none());
    }
}
