//! How many bytes of entries the Raft groups of a node keep in memory, besides having them in the log.
//!
//! Replication and apply read what was just written; only who lags far behind makes the disk read.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, Weak};

use super::group_log::GroupLog;

/// Bytes of entries in memory at most, those not yet written aside: 64 MiB per node.
pub(crate) const TAIL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The written entries in memory, in the order in which they were written.
#[derive(Debug)]
pub(crate) struct Tail {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<KeptEntry>,
    bytes: usize,
}

/// An entry whose body is in memory. It may have been truncated or purged since.
#[derive(Debug)]
pub(crate) struct KeptEntry {
    pub(crate) log: Weak<GroupLog>,
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) bytes: usize,
}

impl Tail {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            kept: Mutex::default(),
        }
    }

    /// Takes note of entries that were written; the oldest ones go for them. Must not be called with a
    /// group's lock held.
    pub(crate) fn keep(&self, entries: impl IntoIterator<Item = KeptEntry>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            kept.bytes += entry.bytes;
            kept.entries.push_back(entry);
        }
        let mut evicted = Vec::new();
        while kept.bytes > self.bytes_max
            && let Some(oldest) = kept.entries.pop_front()
        {
            kept.bytes -= oldest.bytes;
            evicted.push(oldest);
        }
        drop(kept);
        for entry in evicted {
            if let Some(log) = entry.log.upgrade() {
                log.forget_body(entry.index, entry.term);
            }
        }
    }
}
