//! States at hand, and the queue in front of each aggregate.
//!
//! Each aggregate in use has one slot behind one async lock: commands of this process queue there
//! instead of conflicting with each other. At most [`AGGREGATES_MAX`] slots are kept besides those in
//! use; the least recently used goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::{IdOf, Known};
use crate::aggregate::Aggregate;

/// Slots kept.
const AGGREGATES_MAX: usize = 4_096;

/// The known state, `None` when it must be loaded.
pub(super) type Slot<A> = Arc<tokio::sync::Mutex<Option<Known<A>>>>;

pub(super) struct Cache<A: Aggregate> {
    slots: Mutex<Slots<A>>,
}

struct Slots<A: Aggregate> {
    by_id: HashMap<IdOf<A>, (Slot<A>, u64)>,
    /// Every slot once, by the tick of its last use.
    by_use: BTreeMap<u64, IdOf<A>>,
    tick: u64,
}

impl<A: Aggregate> Default for Cache<A> {
    fn default() -> Self {
        let slots = Slots {
            by_id: HashMap::new(),
            by_use: BTreeMap::new(),
            tick: 0,
        };
        Self {
            slots: Mutex::new(slots),
        }
    }
}

impl<A: Aggregate> Cache<A> {
    pub(super) fn slot(&self, id: &IdOf<A>) -> Slot<A> {
        // A panic while the lock was held left the maps whole: nothing of the user's runs inside.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.take(id)
    }
}

impl<A: Aggregate> Slots<A> {
    fn take(&mut self, id: &IdOf<A>) -> Slot<A> {
        self.tick += 1;
        let (slot, last_use) = self
            .by_id
            .entry(id.clone())
            .or_insert_with(|| (Slot::default(), 0));
        self.by_use.remove(last_use);
        *last_use = self.tick;
        let slot = Arc::clone(slot);
        self.by_use.insert(self.tick, id.clone());
        if self.by_id.len() > AGGREGATES_MAX {
            self.evict();
        }
        slot
    }

    fn evict(&mut self) {
        let idle = self.by_use.iter().find(|(_, id)| {
            self.by_id
                .get(*id)
                .is_some_and(|(slot, _)| Arc::strong_count(slot) == 1)
        });
        if let Some((tick, id)) = idle.map(|(tick, id)| (*tick, id.clone())) {
            self.by_use.remove(&tick);
            self.by_id.remove(&id);
        }
    }
}
