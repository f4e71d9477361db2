//! The consumers of a stream: by name, by what they select, by what is due, and those to look after.
//!
//! A stream may have a thousand consumers; a message, a timer or a round of deliveries touches only
//! those it concerns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

use hitherto_protocol::{SubjectFilter, SubjectTree, Timestamp};

use crate::consumer::Consumer;
use crate::index::Index;
use crate::output::{ConsumerKey, Output};
use crate::{StreamSeq, Surroundings};

/// The consumers of one stream.
#[derive(Default)]
pub(super) struct Consumers {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_name: BTreeMap<String, usize>,
    /// One entry for each filter; `>` for a consumer without any.
    by_filter: SubjectTree<usize>,
    alarms: BTreeSet<(Timestamp, usize)>,
    /// To be looked after in the next round.
    ready: Vec<usize>,
    unused: Vec<String>,
}

#[derive(Debug)]
struct Slot {
    consumer: Consumer,
    /// What stands in `alarms`.
    alarm: Option<Timestamp>,
    is_ready: bool,
}

impl Consumers {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Consumer> {
        let slot = self.slots[*self.by_name.get(name)?].as_ref();
        slot.map(|slot| &slot.consumer)
    }

    /// For whoever changes it: it is looked after in the next round.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Consumer> {
        let place = *self.by_name.get(name)?;
        self.make_ready(place);
        self.at_mut(place)
    }

    /// By the key that deliveries carry.
    pub(super) fn by_key(&mut self, key: ConsumerKey) -> Option<&mut Consumer> {
        self.make_ready(key.0);
        self.at_mut(key.0)
    }

    /// All of them, by name.
    pub(super) fn values(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.by_name.values().map(|place| {
            let slot = self.slots[*place].as_ref();
            &slot.expect("names lead to consumers").consumer
        })
    }

    /// Those of which records tell, by name: the same on every replica.
    pub(super) fn recorded(&self) -> impl Iterator<Item = &Consumer> {
        self.values().filter(|consumer| !consumer.is_volatile())
    }

    /// Adds one whose name is free.
    pub(super) fn insert(&mut self, mut consumer: Consumer) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        consumer.set_key(ConsumerKey(place));
        self.add_filters(place, &consumer);
        self.by_name.insert(consumer.name().to_owned(), place);
        self.slots[place] = Some(Slot {
            consumer,
            alarm: None,
            is_ready: false,
        });
        self.make_ready(place);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Consumer> {
        let place = self.by_name.remove(name)?;
        let slot = self.slots[place].take()?;
        self.free.push(place);
        if let Some(alarm) = slot.alarm {
            self.alarms.remove(&(alarm, place));
        }
        self.remove_filters(place, &slot.consumer);
        Some(slot.consumer)
    }

    /// Changes one in a way that may change what it selects.
    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&mut Consumer)) {
        let Some(&place) = self.by_name.get(name) else {
            return;
        };
        let Some(mut slot) = self.slots[place].take() else {
            return;
        };
        self.remove_filters(place, &slot.consumer);
        change(&mut slot.consumer);
        self.add_filters(place, &slot.consumer);
        self.slots[place] = Some(slot);
        self.make_ready(place);
    }

    /// None lives on more nodes than the stream. They do not get more again with it, as on nats-server 2.15.
    pub(super) fn limit_replicas(&mut self, max: u32) {
        for slot in self.slots.iter_mut().flatten() {
            slot.consumer.limit_replicas(max);
        }
    }

    /// A message was appended.
    pub(super) fn message_added(&mut self, seq: StreamSeq, subject: &str) {
        let Self {
            slots,
            by_filter,
            ready,
            ..
        } = self;
        by_filter.for_each_match(subject, |&place| {
            let Some(slot) = &mut slots[place] else {
                return;
            };
            if slot.consumer.message_added(seq) && !mem::replace(&mut slot.is_ready, true) {
                ready.push(place);
            }
        });
    }

    /// A message was removed.
    pub(super) fn message_removed(&mut self, seq: StreamSeq, subject: &str) {
        let Self {
            slots, by_filter, ..
        } = self;
        by_filter.for_each_match(subject, |&place| {
            if let Some(slot) = &mut slots[place] {
                slot.consumer.message_removed(seq, subject);
            }
        });
    }

    /// Begins to own all of them.
    pub(super) fn resume(&mut self, now: Timestamp, index: &Index) {
        for place in 0..self.slots.len() {
            if let Some(consumer) = self.at_mut(place) {
                consumer.resume(now, index);
                self.make_ready(place);
            }
        }
    }

    /// Ceases to own all of them: none is looked after any more.
    pub(super) fn stand_down(&mut self, out: &mut VecDeque<Output>) {
        for place in 0..self.slots.len() {
            if let Some(consumer) = self.at_mut(place) {
                consumer.stand_down(out);
            }
        }
        for slot in self.slots.iter_mut().flatten() {
            slot.alarm = None;
            slot.is_ready = false;
        }
        self.alarms.clear();
        self.ready.clear();
        self.unused.clear();
    }

    /// Records were lost; nobody knows whose.
    pub(super) fn handle_lost_records(&mut self, now: Timestamp) {
        for place in 0..self.slots.len() {
            if let Some(consumer) = self.at_mut(place) {
                consumer.handle_lost_records(now);
                self.make_ready(place);
            }
        }
    }

    /// Lets those whose time has come do what is due.
    pub(super) fn handle_timeout(&mut self, now: Timestamp, out: &mut VecDeque<Output>) {
        while let Some((at, place)) = self.alarms.first().copied()
            && at <= now
        {
            self.alarms.pop_first();
            if let Some(slot) = &mut self.slots[place] {
                slot.alarm = None;
                slot.consumer.handle_timeout(now, out);
                if slot.consumer.is_to_go() {
                    self.unused.push(slot.consumer.name().to_owned());
                }
                self.make_ready(place);
            }
        }
    }

    /// One round of deliveries of those that are ready.
    pub(super) fn deliver(
        &mut self,
        now: Timestamp,
        index: &Index,
        around: &mut dyn Surroundings,
        out: &mut VecDeque<Output>,
    ) {
        let mut ready = mem::take(&mut self.ready).into_iter();
        while !around.is_laden()
            && let Some(place) = ready.next()
        {
            let Some(slot) = &mut self.slots[place] else {
                continue;
            };
            slot.is_ready = false;
            let has_more = slot.consumer.deliver(now, index, around, out);
            let due = slot.consumer.next_timeout();
            if due != slot.alarm {
                if let Some(old) = slot.alarm {
                    self.alarms.remove(&(old, place));
                }
                self.alarms.extend(due.map(|due| (due, place)));
                slot.alarm = due;
            }
            if has_more {
                self.make_ready(place);
            }
        }
        self.ready.splice(..0, ready);
    }

    /// Those in memory alone that have been unused for too long, as found by
    /// [`Consumers::handle_timeout`].
    pub(super) fn take_unused(&mut self) -> Vec<String> {
        mem::take(&mut self.unused)
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }

    fn at_mut(&mut self, place: usize) -> Option<&mut Consumer> {
        let slot = self.slots.get_mut(place)?.as_mut();
        slot.map(|slot| &mut slot.consumer)
    }

    fn make_ready(&mut self, place: usize) {
        if let Some(Some(slot)) = self.slots.get_mut(place)
            && !mem::replace(&mut slot.is_ready, true)
        {
            self.ready.push(place);
        }
    }

    fn add_filters(&mut self, place: usize, consumer: &Consumer) {
        for filter in filters_of(consumer) {
            self.by_filter.insert(&filter, place);
        }
    }

    fn remove_filters(&mut self, place: usize, consumer: &Consumer) {
        for filter in filters_of(consumer) {
            self.by_filter.remove(&filter, |other| *other == place);
        }
    }
}

fn filters_of(consumer: &Consumer) -> Vec<SubjectFilter> {
    let filters = consumer.config().subject_filters();
    if consumer.selection().is_all() {
        return vec![SubjectFilter::new(">").expect("a fixed filter")];
    }
    filters
}

impl std::fmt::Debug for Consumers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.values().map(|consumer| (consumer.name(), consumer)))
            .finish()
    }
}
