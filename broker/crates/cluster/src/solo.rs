//! The log of a node that stands alone: durable on its own disk is committed.
//!
//! Proposers encode straight into the open batch of their group, under that group's lock. The lane (see
//! `lane.rs`) swaps the batches of all groups that have some, makes one write and one sync of them, and
//! tells [`Commits`]. A batch is what arrived during the previous sync; there is no timer.
//!
//! A write of relaxed groups alone is told without a sync, which follows; see [`Durability`].

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_storage::{Wal, WalPosition};

use crate::group::Group;
use crate::lane::{Lane, Shared, Submit};
use crate::{Commits, Durability, Encode, Log, Refusal, Refused};

/// Size at which an entry is complete: 256 KiB. A larger record is an entry of its own.
pub const ENTRY_BYTES_MAX: usize = 256 * 1024;

/// Records at which an entry is complete: 4,096.
pub const ENTRY_RECORDS_MAX: usize = 4096;

/// Size at which a write is complete: 4 MiB. What is left over goes with the next one.
pub const ROUND_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Time within which the records of a relaxed group are synced after they were reported: 100 ms. The sync
/// begins after half of it.
pub const RELAXED_SYNC_WITHIN: Duration = Duration::from_millis(100);

/// Limits of a [`SoloLog`].
#[derive(Debug, Clone, Copy)]
pub struct SoloOptions {
    /// Bytes that may be under way, from proposal to applied; 64 MiB. At this many the log refuses, at
    /// half of it [`Log::pressure`] says so.
    pub pending_bytes_max: usize,
}

impl Default for SoloOptions {
    fn default() -> Self {
        Self {
            pending_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// A log on this node's disk alone. Dropping it writes what was taken, then stops the lane.
pub struct SoloLog<R> {
    shared: Arc<Shared<R>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<R: Send + 'static> SoloLog<R> {
    /// Starts the lane, which owns the write-ahead log from now on.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(wal: Wal, commits: impl Commits<R>, options: SoloOptions) -> io::Result<Self> {
        let shared = Shared::new(options.pending_bytes_max, wal.replay_position());
        let lane = Lane::new(Arc::clone(&shared), wal, commits);
        let thread = thread::Builder::new()
            .name("hitherto-lane".to_owned())
            .spawn(move || lane.run())?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// What proposers and the lane share.
    pub(crate) fn shared(&self) -> Arc<Shared<R>> {
        Arc::clone(&self.shared)
    }

    /// The lane, for replicated groups, which share it.
    pub(crate) fn lane(&self) -> Arc<dyn Submit> {
        Arc::<Shared<R>>::clone(&self.shared)
    }

    /// Takes nothing any more, writes what was taken, tells [`Commits`], and ends the lane. A second call
    /// does nothing.
    ///
    /// # Panics
    /// When the lane panicked: the log is broken and the process should stop.
    pub fn shutdown(&self) {
        self.shared.desk().closing = true;
        self.shared.lane_wake.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            assert!(thread.join().is_ok(), "the lane must not panic");
        }
    }
}

impl<R: Send + 'static> Log<R> for SoloLog<R> {
    fn propose(&self, group: GroupId, record: &dyn Encode, receipt: R) -> Result<(), Refused<R>> {
        let refused = |reason, receipt| Err(Refused { reason, receipt });
        let groups = self.shared.groups();
        let Some(group) = groups.by_id.get(&group) else {
            return refused(groups.ended.unwrap_or(Refusal::NoGroup), receipt);
        };
        if self.shared.budget.is_full() {
            return refused(Refusal::Full, receipt);
        }
        if group.push(record, receipt, &self.shared.budget)? {
            let group = Arc::clone(group);
            drop(groups);
            self.shared.queue(group);
        }
        Ok(())
    }

    fn open_group(&self, group: GroupId, last: LogIndex) {
        let mut groups = self
            .shared
            .groups
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if groups.ended.is_none() {
            groups
                .by_id
                .entry(group)
                .or_insert_with(|| Arc::new(Group::new(group, last)));
        }
    }

    fn close_group(&self, group: GroupId) {
        let mut groups = self
            .shared
            .groups
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = groups.by_id.remove(&group) {
            group.refuse(Refusal::NoGroup);
            drop(groups);
            // So that what it has comes back even if nobody proposes to it any more.
            self.shared.queue(group);
        }
    }

    fn set_durability(&self, group: GroupId, durability: Durability) {
        if let Some(group) = self.shared.groups().by_id.get(&group) {
            group.set_durability(durability);
        }
    }

    fn sync(&self) -> Result<(), Refusal> {
        let Some(told) = self.shared.synced.is_behind() else {
            return Ok(());
        };
        let mut desk = self.shared.desk();
        desk.wants_sync = true;
        desk.lane_sleeps = false;
        drop(desk);
        self.shared.lane_wake.notify_one();
        match self.shared.synced.wait_for(told) {
            true => Ok(()),
            false => Err(self.ended().unwrap_or(Refusal::Failed)),
        }
    }

    fn release(&self, before: WalPosition) {
        let mut desk = self.shared.desk();
        desk.release = desk.release.max(Some(before));
        drop(desk);
        // Not urgent: the lane looks at it with its next write.
    }

    fn position(&self) -> WalPosition {
        *self.shared.position()
    }

    fn pressure(&self) -> bool {
        self.shared.budget.is_half_full()
    }

    fn ended(&self) -> Option<Refusal> {
        self.shared.groups().ended
    }

    fn end(&self) {
        self.shared.end(Refusal::Failed);
    }
}

impl<R> Drop for SoloLog<R> {
    fn drop(&mut self) {
        self.shared.desk().closing = true;
        self.shared.lane_wake.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the lane has panicked");
        }
    }
}

impl<R> fmt::Debug for SoloLog<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoloLog")
            .field("position", &*self.shared.position())
            .field("budget", &self.shared.budget)
            .finish_non_exhaustive()
    }
}
