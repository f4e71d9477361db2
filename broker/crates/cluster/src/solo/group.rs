//! One group of the solo log: the records that wait to be written.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use hitherto_jetstream::{GroupId, LogIndex};

use super::{ENTRY_BYTES_MAX, ENTRY_RECORDS_MAX};
use crate::budget::Budget;
use crate::{Encode, Refusal, Refused};

/// Room a new batch starts with; then the size of the batch before it.
const BATCH_BYTES_MIN: usize = 4 * 1024;

pub(super) struct Group<R> {
    id: GroupId,
    /// The last entry written; only the lane moves it.
    last: AtomicU64,
    waiting: Mutex<Waiting<R>>,
}

struct Waiting<R> {
    /// Complete entries, oldest first.
    complete: VecDeque<Batch<R>>,
    /// The entry records are added to.
    open: Batch<R>,
    /// The group is on its way to the lane, which will look into it.
    queued: bool,
    /// Set once; then nothing is taken any more.
    refuses: Option<Refusal>,
}

/// Records that become one entry.
pub(super) struct Batch<R> {
    pub(super) records: BytesMut,
    /// One per record.
    pub(super) receipts: Vec<R>,
}

impl<R> Group<R> {
    pub(super) fn new(id: GroupId, last: LogIndex) -> Self {
        Self {
            id,
            last: AtomicU64::new(last.0),
            waiting: Mutex::new(Waiting {
                complete: VecDeque::new(),
                open: Batch::with_capacity(0, 0),
                queued: false,
                refuses: None,
            }),
        }
    }

    pub(super) fn id(&self) -> GroupId {
        self.id
    }

    pub(super) fn last(&self) -> LogIndex {
        LogIndex(self.last.load(Ordering::Relaxed))
    }

    pub(super) fn set_last(&self, last: LogIndex) {
        self.last.store(last.0, Ordering::Relaxed);
    }

    /// Adds a record; says `true` when the caller must put the group before the lane.
    pub(super) fn push(
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
        open.receipts.push(receipt);
        budget.take(open.records.len() - before);
        if open.is_complete() {
            let next = open.successor();
            let complete = std::mem::replace(open, next);
            waiting.complete.push_back(complete);
        }
        Ok(!std::mem::replace(&mut waiting.queued, true))
    }

    /// Takes the oldest entry; `None` when there is none, and then the group must be queued again.
    pub(super) fn take(&self) -> Option<Batch<R>> {
        let mut waiting = self.lock();
        if let Some(batch) = waiting.complete.pop_front() {
            return Some(batch);
        }
        if waiting.open.receipts.is_empty() {
            waiting.queued = false;
            return None;
        }
        let next = waiting.open.successor();
        Some(std::mem::replace(&mut waiting.open, next))
    }

    /// Takes nothing any more. The first reason stands.
    pub(super) fn refuse(&self, reason: Refusal) {
        self.lock().refuses.get_or_insert(reason);
    }

    /// The group was closed while the log goes on.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().refuses == Some(Refusal::NoGroup)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<R>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Batch<R> {
    fn with_capacity(bytes: usize, receipts: usize) -> Self {
        Self {
            records: BytesMut::with_capacity(bytes),
            receipts: Vec::with_capacity(receipts),
        }
    }

    /// A new batch with the room this one needed.
    fn successor(&self) -> Self {
        let bytes = self.records.len().clamp(BATCH_BYTES_MIN, ENTRY_BYTES_MAX);
        Self::with_capacity(bytes, self.receipts.len())
    }

    fn is_complete(&self) -> bool {
        self.records.len() >= ENTRY_BYTES_MAX || self.receipts.len() >= ENTRY_RECORDS_MAX
    }
}
