//! One group: the records that wait to be proposed, gathered into batches.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use hitherto_jetstream::{GroupId, LogIndex};

use crate::budget::Budget;
use crate::{Durability, ENTRY_BYTES_MAX, ENTRY_RECORDS_MAX, Encode, Refusal, Refused};

/// Room a new batch starts with; then the size of the batch before it.
const BATCH_BYTES_MIN: usize = 4 * 1024;

/// A batch is copied to memory of its own size when that is at most this part of its room: what is stored
/// of it keeps all of its memory alive, and one small record must not hold 4 KiB.
const COPIED_PART: usize = 2;

pub(crate) struct Group<R> {
    id: GroupId,
    /// The last entry written; only the lane moves it.
    last: AtomicU64,
    /// Its records are reported before they are synced.
    is_relaxed: AtomicBool,
    waiting: Mutex<Waiting<R>>,
}

struct Waiting<R> {
    /// Complete entries, oldest first.
    complete: VecDeque<Batch<R>>,
    /// The entry records are added to.
    open: OpenBatch<R>,
    /// The group is on its way to whoever takes its batches and will look into it.
    queued: bool,
    /// Set once; then nothing is taken any more.
    refuses: Option<Refusal>,
}

/// Room is used again while it is at most so many times what the last batch needed.
const ROOM_TIMES_KEPT: usize = 4;

/// Records that are gathered for one entry.
struct OpenBatch<R> {
    records: BytesMut,
    /// One per record.
    receipts: Vec<R>,
    needs_sync: bool,
}

/// Records that become one entry.
pub(crate) struct Batch<R> {
    pub(crate) records: Bytes,
    /// One per record.
    pub(crate) receipts: Vec<R>,
    /// One of them does, see [`Encode::needs_sync`].
    pub(crate) needs_sync: bool,
}

impl<R> Group<R> {
    pub(crate) fn new(id: GroupId, last: LogIndex) -> Self {
        Self {
            id,
            last: AtomicU64::new(last.0),
            is_relaxed: AtomicBool::new(false),
            waiting: Mutex::new(Waiting {
                complete: VecDeque::new(),
                open: OpenBatch::with_capacity(0, 0),
                queued: false,
                refuses: None,
            }),
        }
    }

    pub(crate) fn id(&self) -> GroupId {
        self.id
    }

    pub(crate) fn last(&self) -> LogIndex {
        LogIndex(self.last.load(Ordering::Relaxed))
    }

    pub(crate) fn set_last(&self, last: LogIndex) {
        self.last.store(last.0, Ordering::Relaxed);
    }

    /// Holds for every record added from now on: who takes one under the lock sees what was set before.
    pub(crate) fn set_durability(&self, durability: Durability) {
        let is_relaxed = durability == Durability::Relaxed;
        self.is_relaxed.store(is_relaxed, Ordering::Release);
    }

    pub(crate) fn is_relaxed(&self) -> bool {
        self.is_relaxed.load(Ordering::Acquire)
    }

    /// Adds a record; says `true` when the caller must put the group before whoever takes its batches.
    pub(crate) fn push(
        &self,
        record: &dyn Encode,
        receipt: R,
        budget: &Budget,
    ) -> Result<bool, Refused<R>> {
        let mut waiting = self.lock();
        if let Some(reason) = waiting.refuses {
            return Err(Refused { reason, receipt });
        }
        let open = &mut waiting.open;
        if open.records.capacity() == 0 {
            open.records.reserve(BATCH_BYTES_MIN);
        }
        let before = open.records.len();
        record.encode(&mut open.records);
        open.needs_sync |= record.needs_sync();
        open.receipts.push(receipt);
        budget.take(open.records.len() - before);
        if open.is_complete() {
            let complete = open.take();
            waiting.complete.push_back(complete);
        }
        Ok(!std::mem::replace(&mut waiting.queued, true))
    }

    /// Takes the oldest entry; `None` when there is none, and then the group must be queued again.
    pub(crate) fn take(&self) -> Option<Batch<R>> {
        let mut waiting = self.lock();
        if let Some(batch) = waiting.complete.pop_front() {
            return Some(batch);
        }
        if waiting.open.receipts.is_empty() {
            waiting.queued = false;
            return None;
        }
        Some(waiting.open.take())
    }

    /// Takes nothing any more. The first reason stands.
    pub(crate) fn refuse(&self, reason: Refusal) {
        self.lock().refuses.get_or_insert(reason);
    }

    /// The group was closed while the log goes on.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().refuses == Some(Refusal::NoGroup)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<R>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> OpenBatch<R> {
    fn with_capacity(bytes: usize, receipts: usize) -> Self {
        Self {
            records: BytesMut::with_capacity(bytes),
            receipts: Vec::with_capacity(receipts),
            needs_sync: false,
        }
    }

    /// Takes what was gathered; the next batch has the room this one needed.
    fn take(&mut self) -> Batch<R> {
        let needs_sync = std::mem::take(&mut self.needs_sync);
        let bytes = self.records.len();
        let room = bytes.clamp(BATCH_BYTES_MIN, ENTRY_BYTES_MAX);
        if bytes <= self.records.capacity() / COPIED_PART {
            let records = Bytes::copy_from_slice(&self.records);
            self.records.clear();
            if self.records.capacity() > ROOM_TIMES_KEPT * room {
                self.records = BytesMut::with_capacity(room);
            }
            let receipts = Vec::with_capacity(self.receipts.len());
            let receipts = std::mem::replace(&mut self.receipts, receipts);
            return Batch {
                records,
                receipts,
                needs_sync,
            };
        }
        let next = Self::with_capacity(room, self.receipts.len());
        let Self {
            records, receipts, ..
        } = std::mem::replace(self, next);
        Batch {
            records: records.freeze(),
            receipts,
            needs_sync,
        }
    }

    fn is_complete(&self) -> bool {
        self.records.len() >= ENTRY_BYTES_MAX || self.receipts.len() >= ENTRY_RECORDS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Record(usize);

    impl Encode for Record {
        fn encode(&self, buf: &mut BytesMut) {
            buf.resize(buf.len() + self.0, 7);
        }
    }

    #[test]
    fn what_is_stored_keeps_little_more_memory_than_it_needs() {
        let group = Group::new(GroupId(1), LogIndex(0));
        let budget = Budget::new(usize::MAX);
        for bytes in [190, 3_000, 100_000, 190, 190, 5_000] {
            group.push(&Record(bytes), (), &budget).unwrap();
            let batch = group.take().unwrap();
            assert_eq!(batch.records, vec![7; bytes]);
            let memory = batch.records.try_into_mut().unwrap().capacity();
            assert!(memory <= COPIED_PART * bytes.max(BATCH_BYTES_MIN / COPIED_PART));
            assert!(bytes > BATCH_BYTES_MIN / COPIED_PART || memory == bytes);
            assert!(group.take().is_none());
        }
    }
}
