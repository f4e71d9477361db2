//! The lane: the thread that owns the write-ahead log.
//!
//! Each round it makes one write and one sync of what waits on its desk: batches of groups that stand alone,
//! which are committed by that, and items of replicated groups, whose owners are told that they are durable.

mod desk;
mod item;
mod synced;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_storage::{Error, Wal, WalEntry, WalPosition};

use crate::group::{Batch, Group};
use crate::{
    Commits, Committed, InFlight, LogError, RELAXED_SYNC_WITHIN, ROUND_BYTES_MAX, Refusal,
};

pub(crate) use self::desk::Shared;
pub(crate) use self::item::{Item, ItemEntry, Submit};

/// The log gets a mark behind its last frame when nothing has come for so long: from then on damage of
/// that frame is found. One more write for each pause of the clients, and none while they write.
const MARK_AFTER: Duration = Duration::from_millis(100);

/// When items are tried again that the disk had no room for. Nobody is told meanwhile: to the other nodes this
/// one is slow.
const ITEMS_AGAIN_AFTER: Duration = Duration::from_millis(100);

pub(crate) struct Lane<R, C> {
    shared: Arc<Shared<R>>,
    wal: Wal,
    commits: C,
    /// Groups that may still have records; each at most once as long as it is open.
    backlog: VecDeque<Arc<Group<R>>>,
    /// Items not written yet, oldest first.
    items: VecDeque<Item>,
    /// The entries of one write. Reused.
    round: Vec<Entry<R>>,
    /// The items of one write. Reused.
    round_items: Vec<Item>,
    /// The disk had no room for items: until then they are not tried again.
    items_wait_until: Option<Instant>,
    is_closing: bool,
    /// When what was told of without a sync is synced; `None` when there is none.
    sync_due: Option<Instant>,
}

struct Entry<R> {
    group: Arc<Group<R>>,
    index: LogIndex,
    batch: Batch<R>,
}

/// What the lane found on its desk.
struct Errand {
    release: Option<WalPosition>,
    wants_sync: bool,
    closing: bool,
    /// Nobody has written for [`MARK_AFTER`].
    is_idle: bool,
}

impl<R: Send + 'static, C: Commits<R>> Lane<R, C> {
    pub(crate) fn new(shared: Arc<Shared<R>>, wal: Wal, commits: C) -> Self {
        Self {
            shared,
            wal,
            commits,
            backlog: VecDeque::new(),
            items: VecDeque::new(),
            round: Vec::new(),
            round_items: Vec::new(),
            items_wait_until: None,
            is_closing: false,
            sync_due: None,
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            let errand = self.fetch();
            if let Err(error) = self.run_errand(&errand) {
                return self.fail(error);
            }
            if errand.closing {
                return self.close();
            }
        }
    }

    fn run_errand(&mut self, errand: &Errand) -> Result<(), Error> {
        if errand.is_idle {
            self.wal.mark()?;
            self.publish_position();
        }
        self.write_round()?;
        let is_due = self.sync_due.is_some_and(|due| due <= Instant::now());
        if is_due || errand.wants_sync {
            self.wal.sync()?;
            self.note_synced();
            self.publish_position();
        }
        match errand.release {
            Some(before) => self.release(before),
            None => Ok(()),
        }
    }

    /// Waits for something to do, and takes all of it.
    fn fetch(&mut self) -> Errand {
        let shared = Arc::clone(&self.shared);
        let mut desk = shared.desk();
        let mut is_idle = false;
        while desk.dirty.is_empty()
            && self.backlog.is_empty()
            && (self.items_wait_until.is_some() || desk.items.is_empty() && self.items.is_empty())
            && !(desk.closing || desk.wants_sync || is_idle)
        {
            let due = match (self.sync_due, self.items_wait_until) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            let pause = match due {
                Some(due) => Some(due.saturating_duration_since(Instant::now())),
                None => self.wal.needs_mark().then_some(MARK_AFTER),
            };
            desk.lane_sleeps = true;
            let Some(pause) = pause else {
                let woken = shared.lane_wake.wait(desk);
                desk = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let woken = shared.lane_wake.wait_timeout(desk, pause);
            let (back, waited) = woken.unwrap_or_else(PoisonError::into_inner);
            desk = back;
            if waited.timed_out() && due.is_some() {
                break;
            }
            is_idle = waited.timed_out();
        }
        desk.lane_sleeps = false;
        self.backlog.append(&mut desk.dirty);
        self.items.append(&mut desk.items);
        if self
            .items_wait_until
            .is_some_and(|until| until <= Instant::now())
        {
            self.items_wait_until = None;
        }
        Errand {
            release: desk.release.take(),
            wants_sync: std::mem::take(&mut desk.wants_sync),
            closing: desk.closing,
            is_idle,
        }
    }

    /// Makes one write of what waits, at most [`ROUND_BYTES_MAX`] and one entry.
    fn write_round(&mut self) -> Result<(), Error> {
        self.gather_items();
        self.gather();
        if self.round.is_empty() && self.round_items.is_empty() {
            return Ok(());
        }
        // Looked at after the records were taken: a group that is not relaxed any more has told so before.
        let can_wait = |entry: &Entry<R>| entry.group.is_relaxed() && !entry.batch.needs_sync;
        let is_relaxed = self.round_items.is_empty() && self.round.iter().all(can_wait);
        let items = self.round_items.iter().flat_map(|item| &item.entries);
        let items = items.map(ItemEntry::to_write);
        let entries: Vec<WalEntry<'_>> = items
            .chain(self.round.iter().map(Entry::to_write))
            .collect();
        let written = match is_relaxed {
            true => self.wal.append_unsynced(&entries),
            false => self.wal.append(&entries),
        };
        match written {
            Ok(position) => {
                self.note_written();
                for item in self.round_items.drain(..) {
                    (item.done)(Ok(position));
                }
                self.tell_committed(position);
            }
            Err(
                source @ (Error::Full { .. } | Error::NoNextFile { .. } | Error::TooLarge { .. }),
            ) => {
                let cause = std::error::Error::source(&source).map(ToString::to_string);
                tracing::error!(error = %source, cause, "records refused");
                let source = Arc::new(source);
                let error = LogError::NotWritten { source };
                self.put_items_back(&error);
                self.tell_failed(&error);
            }
            Err(error) => return Err(error),
        }
        self.commits.round_complete();
        Ok(())
    }

    /// Items go first, and leave half of the round to groups that stand alone.
    fn gather_items(&mut self) {
        if self.items_wait_until.is_some() {
            return;
        }
        let mut bytes = 0;
        while bytes < ROUND_BYTES_MAX / 2
            && let Some(item) = self.items.pop_front()
        {
            bytes += item.bytes();
            self.round_items.push(item);
        }
    }

    /// Nothing of the items was written: they are tried again, but for the last time when they are given up.
    fn put_items_back(&mut self, error: &LogError) {
        if self.round_items.is_empty() {
            return;
        }
        if self.is_closing || self.shared.desk().gives_up_items {
            // Nor may anything behind be written: it follows what is not there.
            return self.end_items(error, error);
        }
        for item in self.round_items.drain(..).rev() {
            self.items.push_front(item);
        }
        self.items_wait_until = Some(Instant::now() + ITEMS_AGAIN_AFTER);
    }

    fn gather(&mut self) {
        let mut bytes = 0;
        while bytes < ROUND_BYTES_MAX {
            let Some(group) = self.backlog.pop_front() else {
                return;
            };
            let mut last = group.last();
            while let Some(batch) = group.take() {
                if group.is_closed() {
                    self.give_back(group.id(), batch, &LogError::GroupClosed);
                    continue;
                }
                bytes += batch.records.len();
                last = LogIndex(last.0 + 1);
                self.round.push(Entry {
                    group: Arc::clone(&group),
                    index: last,
                    batch,
                });
                if bytes >= ROUND_BYTES_MAX {
                    // It may have more: after the others it is its turn again.
                    self.backlog.push_back(group);
                    return;
                }
            }
        }
    }

    fn tell_committed(&mut self, position: WalPosition) {
        for Entry {
            group,
            index,
            batch,
        } in self.round.drain(..)
        {
            group.set_last(index);
            let in_flight = InFlight::of_taken(&self.shared.budget, batch.records.len());
            self.commits.committed(Committed {
                group: group.id(),
                index,
                term: 0,
                body: batch.records,
                position,
                receipts: batch.receipts,
                in_flight,
            });
        }
        self.publish_position();
    }

    /// Only when everything before it has been told.
    fn publish_position(&self) {
        *self.shared.position() = self.wal.replay_position();
    }

    /// Takes note of a write before anybody is told of it.
    fn note_written(&mut self) {
        if self.wal.unsynced_bytes() == 0 {
            return self.note_synced();
        }
        self.shared.synced.tell();
        let due = || Instant::now() + RELAXED_SYNC_WITHIN / 2;
        self.sync_due.get_or_insert_with(due);
    }

    fn note_synced(&mut self) {
        if self.sync_due.take().is_some() {
            self.shared.synced.catch_up();
        }
    }

    fn tell_failed(&mut self, error: &LogError) {
        for entry in std::mem::take(&mut self.round) {
            self.give_back(entry.group.id(), entry.batch, error);
        }
    }

    fn give_back(&mut self, group: GroupId, batch: Batch<R>, error: &LogError) {
        drop(InFlight::of_taken(&self.shared.budget, batch.records.len()));
        self.commits.failed(group, batch.receipts, error);
    }

    fn release(&mut self, before: WalPosition) -> Result<(), Error> {
        match self.wal.release(before) {
            // The files stay for the next time.
            Err(error @ (Error::Full { .. } | Error::Io { .. })) => {
                tracing::warn!(%error, "cannot recycle files of the log yet");
                Ok(())
            }
            done => done,
        }
    }

    /// A write or sync failed: what it should have made durable is unknown, and nothing else is taken.
    fn fail(mut self, error: Error) {
        tracing::error!(%error, "the log failed; the node stores nothing any more until it is restarted");
        let source = Arc::new(error);
        let open = self.shared.end(Refusal::Failed);
        self.shared.synced.end();
        let unknown = LogError::Unknown { source };
        self.end_items(&unknown, &LogError::Failed);
        self.tell_failed(&unknown);
        self.backlog.append(&mut self.shared.desk().dirty);
        self.backlog.extend(open);
        for group in std::mem::take(&mut self.backlog) {
            while let Some(batch) = group.take() {
                self.give_back(group.id(), batch, &LogError::Failed);
            }
        }
        self.commits.round_complete();
    }

    /// Tells those whose items were being written and those whose were not. From now on whoever leaves an item
    /// is told at once.
    fn end_items(&mut self, written: &LogError, unwritten: &LogError) {
        let mut desk = self.shared.desk();
        desk.ended = Some(unwritten.clone());
        self.items.append(&mut desk.items);
        drop(desk);
        for item in self.round_items.drain(..) {
            (item.done)(Err(written.clone()));
        }
        for item in self.items.drain(..) {
            (item.done)(Err(unwritten.clone()));
        }
    }

    /// Writes what was taken before the end, however much it is.
    fn close(mut self) {
        self.is_closing = true;
        self.items_wait_until = None;
        let open = self.shared.end(Refusal::Closed);
        self.backlog.append(&mut self.shared.desk().dirty);
        // A group may be there twice; the second look finds nothing.
        self.backlog.extend(open);
        self.items.append(&mut self.shared.desk().items);
        while !(self.backlog.is_empty() && self.items.is_empty()) {
            if let Err(error) = self.write_round() {
                return self.fail(error);
            }
        }
        if let Err(error) = self.wal.sync() {
            return self.fail(error);
        }
        self.note_synced();
        if let Err(error) = self.wal.mark() {
            tracing::warn!(%error, "the log was not closed cleanly; nothing is lost");
        }
        self.shared.synced.end();
        self.end_items(&LogError::Closed, &LogError::Closed);
    }
}

impl<R> Entry<R> {
    fn to_write(&self) -> WalEntry<'_> {
        WalEntry::plain(self.group.id(), self.index, &self.batch.records)
    }
}
