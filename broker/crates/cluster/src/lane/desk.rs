//! What waits for the lane: the batches of groups, the items of replicated groups, and errands.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use hitherto_jetstream::GroupId;
use hitherto_storage::WalPosition;

use super::item::{Item, Submit};
use super::synced::Synced;
use crate::budget::Budget;
use crate::group::Group;
use crate::{LogError, Refusal};

/// What proposers and the lane share.
pub(crate) struct Shared<R> {
    pub(crate) groups: RwLock<Groups<R>>,
    /// Lock order: a group's lock is never held while this one is taken, nor the other way round.
    pub(crate) desk: Mutex<Desk<R>>,
    pub(crate) lane_wake: Condvar,
    pub(crate) budget: Arc<Budget>,
    pub(crate) position: Mutex<WalPosition>,
    pub(crate) synced: Synced,
}

pub(crate) struct Groups<R> {
    pub(crate) by_id: HashMap<GroupId, Arc<Group<R>>>,
    /// Set once the log has ended; groups opened later refuse as well.
    pub(crate) ended: Option<Refusal>,
}

/// What waits for the lane.
pub(crate) struct Desk<R> {
    /// Groups with records.
    pub(crate) dirty: VecDeque<Arc<Group<R>>>,
    /// What replicated groups want written, oldest first. How much they may leave is their affair: each
    /// waits for what it left.
    pub(crate) items: VecDeque<Item>,
    /// Items the disk has no room for are given up, and all behind them: those who wait for them are to end.
    pub(crate) gives_up_items: bool,
    /// Why nothing is written any more.
    pub(crate) ended: Option<LogError>,
    pub(crate) release: Option<WalPosition>,
    /// Somebody waits for a sync.
    pub(crate) wants_sync: bool,
    pub(crate) closing: bool,
    /// The lane sleeps: who leaves something wakes it, with one system call instead of one per record.
    pub(crate) lane_sleeps: bool,
}

impl<R> Shared<R> {
    pub(crate) fn new(pending_bytes_max: usize, position: WalPosition) -> Arc<Self> {
        Arc::new(Self {
            groups: RwLock::new(Groups {
                by_id: HashMap::new(),
                ended: None,
            }),
            desk: Mutex::new(Desk {
                dirty: VecDeque::new(),
                items: VecDeque::new(),
                gives_up_items: false,
                ended: None,
                release: None,
                wants_sync: false,
                closing: false,
                lane_sleeps: false,
            }),
            lane_wake: Condvar::new(),
            budget: Budget::new(pending_bytes_max),
            position: Mutex::new(position),
            synced: Synced::default(),
        })
    }

    /// Puts a group that has records before the lane.
    pub(crate) fn queue(&self, group: Arc<Group<R>>) {
        let mut desk = self.desk();
        desk.dirty.push_back(group);
        self.wake_lane(desk);
    }

    /// Wakes the lane, if it sleeps, for what was left.
    fn wake_lane(&self, mut desk: MutexGuard<'_, Desk<R>>) {
        let lane_sleeps = std::mem::take(&mut desk.lane_sleeps);
        drop(desk);
        if lane_sleeps {
            self.lane_wake.notify_one();
        }
    }

    pub(crate) fn groups(&self) -> RwLockReadGuard<'_, Groups<R>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk<R>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn position(&self) -> MutexGuard<'_, WalPosition> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the log for proposers and returns the groups that were open.
    pub(crate) fn end(&self, reason: Refusal) -> Vec<Arc<Group<R>>> {
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

impl<R: Send + 'static> Submit for Shared<R> {
    fn submit(&self, item: Item) {
        let mut desk = self.desk();
        if let Some(error) = &desk.ended {
            let error = error.clone();
            drop(desk);
            return (item.done)(Err(error));
        }
        desk.items.push_back(item);
        self.wake_lane(desk);
    }

    fn position(&self) -> WalPosition {
        *Self::position(self)
    }
}
