//! The log of one Raft group: what it has in memory, and how that gets into the node's log.
//!
//! Every change is made in memory first and left at the lane under the same lock, so the items of a group lie
//! in the node's log in the order of the changes: a vote before the entries it justifies, a truncation before
//! what replaces the entries it takes. An entry is readable at once and durable when its item is done.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use hitherto_jetstream::GroupId;
use hitherto_storage::{EntryKind, WalFileReader, WalPosition, WalReader};

use super::tail::{KeptEntry, Tail};
use super::types::{Entry, LogId, StoredMembership, Vote, log_id, term_of};
use super::wal_item::{self, Content, HardState};
use crate::LogError;
use crate::lane::{Item, ItemEntry, Submit};

/// Told when a change is durable, or why it never will be.
pub(crate) type Flushed = Box<dyn FnOnce(Result<(), LogError>) + Send>;

pub(crate) struct GroupLog {
    group: GroupId,
    /// For the callbacks of the lane.
    this: Weak<Self>,
    lane: Arc<dyn Submit>,
    reader: WalReader,
    tail: Arc<Tail>,
    entries: Mutex<Entries>,
}

/// The entries and the state of a group, as its log in memory and as recovery finds them.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) state: HardState,
    /// The index of the first slot; without a meaning when there is none.
    pub(crate) first: u64,
    pub(crate) slots: VecDeque<Slot>,
    /// `state` has changed since it was written.
    pub(crate) is_state_behind: bool,
    /// Where the last state lies that is durable; `None` when there never was one.
    pub(crate) state_place: Option<Place>,
    /// Items left at the lane.
    items: u64,
    /// What was let go of last, as long as that is not durable: the item that says so, and where a replay must
    /// begin without it.
    let_go: Option<(u64, WalPosition)>,
}

/// What an item holds of a group.
#[derive(Debug, Default)]
struct Written {
    /// Index and term of each entry.
    entries: Vec<(u64, u64)>,
    has_state: bool,
}

/// Where something lies in the node's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind here: it is not durable yet.
    Behind(WalPosition),
    /// In the frame that starts here.
    At(WalPosition),
}

impl Place {
    /// Where a replay begins that finds it.
    pub(crate) fn bound(self) -> WalPosition {
        match self {
            Self::Behind(position) | Self::At(position) => position,
        }
    }

    fn is_durable(self) -> bool {
        matches!(self, Self::At(_))
    }
}

/// One entry.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) term: u64,
    pub(crate) kind: EntryKind,
    /// `None`: read it from its place, which is known then.
    pub(crate) body: Option<Bytes>,
    pub(crate) place: Place,
}

impl GroupLog {
    pub(crate) fn new(
        group: GroupId,
        entries: Entries,
        (lane, reader, tail): (Arc<dyn Submit>, WalReader, Arc<Tail>),
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            group,
            this: Weak::clone(this),
            lane,
            reader,
            tail,
            entries: Mutex::new(entries),
        })
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.lock().state.vote
    }

    pub(crate) fn committed(&self) -> Option<LogId> {
        self.lock().state.committed
    }

    pub(crate) fn purged(&self) -> Option<LogId> {
        self.lock().state.purged
    }

    /// The last entry, or what was purged last.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.lock().last()
    }

    pub(crate) fn save_vote(&self, vote: Vote, flushed: Flushed) {
        let mut entries = self.lock();
        entries.state.vote = Some(vote);
        self.submit_state(&mut entries, flushed);
    }

    /// Keeps what is known to be committed; it is written with the next change.
    pub(crate) fn save_committed(&self, committed: Option<LogId>) {
        let mut entries = self.lock();
        if entries.state.committed != committed {
            entries.state.committed = committed;
            entries.is_state_behind = true;
        }
    }

    /// Appends entries that follow the last one.
    ///
    /// # Errors
    /// When they do not, and then nothing is done.
    pub(crate) fn append(
        &self,
        appended: impl IntoIterator<Item = Entry>,
        flushed: Flushed,
    ) -> io::Result<()> {
        let mut entries = self.lock();
        let mut items = Vec::new();
        let mut written = Written::default();
        let before = entries.slots.len();
        let place = Place::Behind(self.lane.position());
        for entry in appended {
            entries.check_begins(entry.log_id.index)?;
            let content = Content::of(&entry.payload);
            if let Err(gap) = entries.push(&entry.log_id, content.clone(), place) {
                entries.slots.truncate(before);
                return Err(gap);
            }
            items.push(content.to_item(self.group, &entry.log_id));
            let id = (entry.log_id.index, term_of(&entry.log_id));
            written.entries.push(id);
        }
        if items.is_empty() {
            drop(entries);
            flushed(Ok(()));
            return Ok(());
        }
        written.has_state = std::mem::take(&mut entries.is_state_behind);
        if written.has_state {
            entries.state_place.get_or_insert(place);
            items.push(entries.state.to_item(self.group));
        }
        self.submit(&mut entries, (items, written), flushed);
        Ok(())
    }

    /// Takes the entries behind `last` away; all of them for `None`.
    pub(crate) fn truncate_after(&self, last: Option<LogId>, flushed: Flushed) {
        let mut entries = self.lock();
        let next = last.map_or(0, |last| last.index + 1);
        let keep = next.saturating_sub(entries.first);
        let needed = entries.needed_from();
        entries
            .slots
            .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        let truncation = vec![wal_item::truncation(self.group, next)];
        self.submit(&mut entries, (truncation, Written::default()), flushed);
        entries.hold(needed);
    }

    /// Takes the entries up to `upto` away, and everything when it is behind the last.
    ///
    /// # Errors
    /// When a membership among them is unreadable, and then nothing is done.
    pub(crate) fn purge(&self, upto: LogId, flushed: Flushed) -> io::Result<()> {
        let mut entries = self.lock();
        let (first, needed) = (entries.first, entries.needed_from());
        if entries.purge(upto)? {
            self.submit_truncation(&mut entries, first);
        }
        self.submit_state(&mut entries, flushed);
        entries.hold(needed);
        Ok(())
    }

    /// Keeps what a snapshot is of that the state machine is about to take over.
    pub(crate) fn begin_install(&self, id: LogId, membership: StoredMembership, flushed: Flushed) {
        let mut entries = self.lock();
        entries.state.installing = Some((id, membership));
        self.submit_state(&mut entries, flushed);
    }

    /// Makes the log go with a state machine that has the effect of the entries up to `applied`, and returns
    /// that entry's id; `None` when the log does not go with it.
    ///
    /// It differs when the node ended while a snapshot was taken over: the state machine has it and the log
    /// not, or has other entries there. Then the log begins behind the snapshot.
    pub(crate) fn begin_behind(&self, applied: u64) -> Option<LogId> {
        let mut entries = self.lock();
        let held = entries.log_id_at(applied);
        let installing = entries.state.installing.clone();
        let Some((id, _)) = installing.filter(|(id, _)| id.index == applied) else {
            return held;
        };
        if held != Some(id) {
            let (first, needed) = (entries.first, entries.needed_from());
            if entries.begin_at_snapshot() {
                self.submit_truncation(&mut entries, first);
            }
            self.submit_state(&mut entries, Box::new(drop));
            entries.hold(needed);
        }
        Some(id)
    }

    /// The membership that holds at an index, out of the entries at or before it.
    pub(crate) fn membership_at(&self, index: u64) -> io::Result<StoredMembership> {
        self.lock().membership_at(index)
    }

    /// The id of the entry at an index that was not purged, or was purged last.
    pub(crate) fn log_id_at(&self, index: u64) -> Option<LogId> {
        self.lock().log_id_at(index)
    }

    /// Where an entry lies; a place before it while it is not durable.
    pub(crate) fn position_of(&self, index: u64) -> WalPosition {
        let place = self.lock().slot(index).map(|slot| slot.place);
        place.map_or_else(|| self.lane.position(), Place::bound)
    }

    /// Where the replay must begin for this group.
    pub(crate) fn needed_from(&self) -> Option<WalPosition> {
        self.lock().needed_from()
    }

    /// Writes the state once more if it lies before `before`, so that the log before may go.
    pub(crate) fn move_state_forward(&self, before: WalPosition) {
        let mut entries = self.lock();
        if entries
            .state_place
            .is_some_and(|at| at.is_durable() && at.bound() < before)
        {
            self.submit_state(&mut entries, Box::new(drop));
        }
    }

    /// Tells when everything that was changed so far is durable.
    pub(crate) fn sync(&self, flushed: Flushed) {
        let mut entries = self.lock();
        self.submit(&mut entries, (Vec::new(), Written::default()), flushed);
    }

    /// Takes everything away, for good.
    pub(crate) fn remove(&self, flushed: Flushed) {
        let mut entries = self.lock();
        let needed = entries.needed_from();
        *entries = Entries {
            items: entries.items,
            ..Entries::default()
        };
        let removal = vec![wal_item::removal(self.group)];
        self.submit(&mut entries, (removal, Written::default()), flushed);
        entries.hold(needed);
    }

    /// Lets go of a body that can be read from the disk.
    pub(crate) fn forget_body(&self, index: u64, term: u64) {
        let mut entries = self.lock();
        if let Some(slot) = entries.slot_mut(index)
            && slot.term == term
            && slot.place.is_durable()
        {
            slot.body = None;
        }
    }

    /// What is there of a range, up to so many bytes and one entry; bodies not in memory are still to be
    /// [read](Self::read).
    pub(crate) fn look_up(
        &self,
        range: std::ops::Range<u64>,
        bytes_max: usize,
    ) -> Vec<(u64, Slot)> {
        let entries = self.lock();
        let start = range.start.max(entries.first);
        let mut found = Vec::new();
        let mut bytes = 0;
        for index in start..range.end {
            let Some(slot) = entries.slot(index) else {
                break;
            };
            found.push((index, slot.clone()));
            // A body on disk is taken for a full batch.
            bytes += slot
                .body
                .as_ref()
                .map_or(crate::ENTRY_BYTES_MAX / 4, Bytes::len);
            if bytes >= bytes_max {
                break;
            }
        }
        found
    }

    /// Makes entries of what was looked up. Reads the disk for bodies that are not in memory.
    ///
    /// # Errors
    /// When the log on disk does not have them as they were written.
    pub(crate) fn read(&self, found: Vec<(u64, Slot)>) -> io::Result<Vec<Entry>> {
        let mut file: Option<WalFileReader> = None;
        let mut entries = Vec::with_capacity(found.len());
        for (index, slot) in found {
            let body = match slot.body {
                Some(body) => body,
                None => self.read_body(index, &slot, &mut file)?,
            };
            let content = Content {
                kind: slot.kind,
                body,
            };
            let entry = content.to_entry(slot.term, index);
            entries.push(entry.map_err(|error| self.damaged(index, &error))?);
        }
        Ok(entries)
    }

    fn read_body(
        &self,
        index: u64,
        slot: &Slot,
        file: &mut Option<WalFileReader>,
    ) -> io::Result<Bytes> {
        let missing = || self.damaged(index, &"the log does not have it");
        let position = slot.place.bound();
        if file.as_ref().map(WalFileReader::number) != Some(position.file) {
            let opened = self.reader.open(position.file);
            *file = opened.map_err(|error| self.damaged(index, &error))?;
        }
        let reader = file.as_mut().ok_or_else(missing)?;
        let frame = reader.entries_at(position.offset);
        let frame = frame.map_err(|error| self.damaged(index, &error))?;
        let entry = frame.into_iter().find(|entry| {
            (entry.group, entry.index.0, entry.term, entry.kind)
                == (self.group, index, slot.term, slot.kind)
        });
        entry.map(|entry| entry.body).ok_or_else(missing)
    }

    fn damaged(&self, index: u64, why: &dyn std::fmt::Display) -> io::Error {
        let group = self.group;
        let what = format!("cannot read entry {index} of group {group}: {why}");
        io::Error::new(io::ErrorKind::InvalidData, what)
    }

    fn submit_state(&self, entries: &mut Entries, flushed: Flushed) {
        entries.is_state_behind = false;
        let place = Place::Behind(self.lane.position());
        entries.state_place.get_or_insert(place);
        let written = Written {
            has_state: true,
            ..Written::default()
        };
        let state = vec![entries.state.to_item(self.group)];
        self.submit(entries, (state, written), flushed);
    }

    fn submit_truncation(&self, entries: &mut Entries, first: u64) {
        let truncation = vec![wal_item::truncation(self.group, first)];
        self.submit(entries, (truncation, Written::default()), Box::new(drop));
    }

    /// Leaves an item at the lane while the lock is held: items lie in the order of the changes.
    fn submit(
        &self,
        entries: &mut Entries,
        (items, written): (Vec<ItemEntry>, Written),
        flushed: Flushed,
    ) {
        entries.items += 1;
        let number = entries.items;
        let this = Weak::clone(&self.this);
        let done = move |position: Result<WalPosition, LogError>| {
            if let (Ok(position), Some(this)) = (&position, this.upgrade()) {
                this.note_written(number, &written, *position);
            }
            flushed(position.map(drop));
        };
        let done = Box::new(done);
        self.lane.submit(Item {
            entries: items,
            done,
        });
    }

    fn note_written(&self, number: u64, written: &Written, position: WalPosition) {
        let mut entries = self.lock();
        entries.let_go.take_if(|(item, _)| *item <= number);
        let mut kept = Vec::with_capacity(written.entries.len());
        for (index, term) in written.entries.iter().copied() {
            let Some(slot) = entries.slot_mut(index).filter(|slot| slot.term == term) else {
                continue;
            };
            slot.place = Place::At(position);
            // The others are small, and looked at when memberships are.
            if slot.kind == wal_item::RECORDS {
                kept.push(KeptEntry {
                    log: Weak::clone(&self.this),
                    index,
                    term,
                    bytes: slot.body.as_ref().map_or(0, Bytes::len),
                });
            }
        }
        // Not when the group was removed meanwhile.
        if written.has_state && entries.state_place.is_some() {
            entries.state_place = Some(Place::At(position));
        }
        drop(entries);
        self.tail.keep(kept);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    pub(crate) fn last(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(log_id(slot.term, self.first + self.slots.len() as u64 - 1)),
            None => self.state.purged,
        }
    }

    fn needed_from(&self) -> Option<WalPosition> {
        let first = self.slots.front().map(|slot| slot.place);
        let places = [self.state_place, first].into_iter().flatten();
        let held = self.let_go.map(|(_, needed)| needed);
        places.map(Place::bound).chain(held).min()
    }

    /// Keeps the log from `needed` on until the item that was left last is durable: it says that something there is
    /// not needed any more, and without it the next start would find the log half there.
    fn hold(&mut self, needed: Option<WalPosition>) {
        self.let_go = None;
        let now = self.needed_from();
        let let_go = needed.filter(|needed| now.is_none_or(|now| *needed < now));
        self.let_go = let_go.map(|needed| (self.items, needed));
    }

    /// Says whether an entry may be the first one behind what is purged, if it would be that.
    fn check_begins(&self, index: u64) -> io::Result<()> {
        match self.state.purged {
            Some(purged) if self.slots.is_empty() && index != purged.index + 1 => {
                let what = format!("entry {index} does not follow entry {}", purged.index);
                Err(io::Error::new(io::ErrorKind::InvalidInput, what))
            }
            _ => Ok(()),
        }
    }

    /// Appends an entry with its body in memory.
    pub(crate) fn push(&mut self, id: &LogId, content: Content, place: Place) -> io::Result<()> {
        if self.slots.is_empty() {
            self.first = id.index;
        }
        let next = self.first + self.slots.len() as u64;
        if id.index != next {
            let what = format!("entry {} does not follow entry {}", id.index, next - 1);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        self.slots.push_back(Slot {
            term: term_of(id),
            kind: content.kind,
            body: Some(content.body),
            place,
        });
        Ok(())
    }

    /// Says whether the entries behind went too, as not following: they must be truncated in the node's log.
    pub(crate) fn purge(&mut self, upto: LogId) -> io::Result<bool> {
        if self.state.purged.is_some_and(|purged| purged >= upto) {
            return Ok(false);
        }
        if matches!(&self.state.installing, Some((id, _)) if *id == upto) {
            return Ok(self.begin_at_snapshot());
        }
        self.state.membership = self.membership_at(upto.index)?;
        self.state.purged = Some(upto);
        self.drop_purged();
        Ok(false)
    }

    /// Begins behind the snapshot that was taken over. Entries behind it stay if they follow it; says whether
    /// some went for not doing so.
    fn begin_at_snapshot(&mut self) -> bool {
        let Some((id, membership)) = self.state.installing.take() else {
            return false;
        };
        let is_other = self.log_id_at(id.index) != Some(id) && !self.slots.is_empty();
        if is_other {
            self.slots.clear();
        }
        self.state.purged = Some(id);
        self.state.membership = membership;
        self.drop_purged();
        is_other
    }

    fn log_id_at(&self, index: u64) -> Option<LogId> {
        match self.slot(index) {
            Some(slot) => Some(log_id(slot.term, index)),
            None => self.state.purged.filter(|purged| purged.index == index),
        }
    }

    /// Lets go of the slots up to what is purged.
    pub(crate) fn drop_purged(&mut self) {
        let Some(purged) = self.state.purged else {
            return;
        };
        while !self.slots.is_empty() && self.first <= purged.index {
            self.slots.pop_front();
            self.first += 1;
        }
    }

    fn membership_at(&self, index: u64) -> io::Result<StoredMembership> {
        let held = |(at, slot): &(u64, &Slot)| *at <= index && slot.kind == wal_item::MEMBERSHIP;
        let indexed = self.slots.iter().enumerate();
        let indexed = indexed.map(|(place, slot)| (self.first + place as u64, slot));
        let Some((at, slot)) = indexed.rev().find(held) else {
            return Ok(self.state.membership.clone());
        };
        let body = slot.body.clone().unwrap_or_default();
        let mut reader = super::codec::Reader(body);
        let membership = reader.membership().map_err(io::Error::other)?;
        Ok(StoredMembership::new(
            Some(log_id(slot.term, at)),
            membership,
        ))
    }

    fn slot(&self, index: u64) -> Option<&Slot> {
        let place = index.checked_sub(self.first)?;
        self.slots.get(usize::try_from(place).ok()?)
    }

    fn slot_mut(&mut self, index: u64) -> Option<&mut Slot> {
        let place = index.checked_sub(self.first)?;
        self.slots.get_mut(usize::try_from(place).ok()?)
    }
}

impl std::fmt::Debug for GroupLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupLog")
            .field("group", &self.group)
            .field("last", &self.last())
            .finish_non_exhaustive()
    }
}
