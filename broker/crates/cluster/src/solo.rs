//! The log of a node that stands alone: durable on its own disk is committed.
//!
//! Proposers encode straight into the open batch of their group, under that group's lock. The lane (see
//! [`lane`]) swaps the batches of all groups that have some, makes one write and one sync of them, and
//! tells [`Commits`]. A batch is what arrived during the previous sync; there is no timer.
//!
//! A write of relaxed groups alone is told without a sync, which follows; see [`Durability`].

mod group;
mod lane;
mod synced;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_storage::{Wal, WalPosition};

use self::group::Group;
use self::lane::Lane;
use self::synced::Synced;
use crate::budget::Budget;
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

/// What proposers and the lane share.
struct Shared<R> {
    groups: RwLock<Groups<R>>,
    /// Lock order: a group's lock is never held while this one is taken, nor the other way round.
    desk: Mutex<Desk<R>>,
    lane_wake: Condvar,
    budget: Arc<Budget>,
    position: Mutex<WalPosition>,
    synced: Synced,
}

struct Groups<R> {
    by_id: HashMap<GroupId, Arc<Group<R>>>,
    /// Set once the log has ended; groups opened later refuse as well.
    ended: Option<Refusal>,
}

/// What waits for the lane.
struct Desk<R> {
    /// Groups with records.
    dirty: VecDeque<Arc<Group<R>>>,
    release: Option<WalPosition>,
    /// Somebody waits for a sync.
    wants_sync: bool,
    closing: bool,
    /// The lane sleeps: who leaves something wakes it, with one system call instead of one per record.
    lane_sleeps: bool,
}

impl<R: Send + 'static> SoloLog<R> {
    /// Starts the lane, which owns the write-ahead log from now on.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(wal: Wal, commits: impl Commits<R>, options: SoloOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            groups: RwLock::new(Groups {
                by_id: HashMap::new(),
                ended: None,
            }),
            desk: Mutex::new(Desk {
                dirty: VecDeque::new(),
                release: None,
                wants_sync: false,
                closing: false,
                lane_sleeps: false,
            }),
            lane_wake: Condvar::new(),
            budget: Budget::new(options.pending_bytes_max),
            position: Mutex::new(wal.replay_position()),
            synced: Synced::default(),
        });
        let lane = Lane::new(Arc::clone(&shared), wal, commits);
        let thread = thread::Builder::new()
            .name("hitherto-lane".to_owned())
            .spawn(move || lane.run())?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
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

impl<R> Shared<R> {
    /// Puts a group that has records before the lane.
    fn queue(&self, group: Arc<Group<R>>) {
        let mut desk = self.desk();
        desk.dirty.push_back(group);
        let lane_sleeps = std::mem::take(&mut desk.lane_sleeps);
        drop(desk);
        if lane_sleeps {
            self.lane_wake.notify_one();
        }
    }

    fn groups(&self) -> std::sync::RwLockReadGuard<'_, Groups<R>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn desk(&self) -> MutexGuard<'_, Desk<R>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn position(&self) -> MutexGuard<'_, WalPosition> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the log for proposers and returns the groups that were open.
    fn end(&self, reason: Refusal) -> Vec<Arc<Group<R>>> {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.ended = Some(reason);
        let mut open: Vec<_> = groups.by_id.drain().map(|(_, group)| group).collect();
        drop(groups);
        open.sort_by_key(|group| group.id());
        for group in &open {
            group.refuse(reason);
        }
        open
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
