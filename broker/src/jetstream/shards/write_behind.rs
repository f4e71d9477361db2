//! Moving the bodies a shard holds in memory to the segments of its streams.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::Ordering;

use hitherto_jetstream::GroupId;

use crate::jetstream::files::TAIL_BYTES_MAX;
use crate::jetstream::replicas::Replica;
use crate::jetstream::taking::Intake;

/// Bytes of all streams of a shard in memory at which they are written to their segments: 16 MiB, with
/// four shards 64 MiB for the node.
const TAILS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes committed after which a shard looks how much it holds in memory: 1 MiB.
const TAIL_CHECK_BYTES: usize = 1024 * 1024;

/// How much was committed, and whether the disk takes it.
#[derive(Default)]
pub(super) struct WriteBehind {
    /// Bytes committed since the tails were last looked at.
    unchecked_bytes: usize,
    /// Bodies cannot be written; counted in [`Intake::stuck_shards`].
    is_stuck: bool,
}

impl WriteBehind {
    /// So many bytes were committed.
    pub(super) fn add(&mut self, bytes: usize) {
        self.unchecked_bytes += bytes;
    }

    /// The disk did not take the bodies when this was last tried.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Writes bodies to the disk when enough are in memory. While that fails publishers are refused, so
    /// that memory stays bounded.
    pub(super) fn write(&mut self, replicas: &mut BTreeMap<GroupId, Replica>, intake: &Intake) {
        if self.unchecked_bytes < TAIL_CHECK_BYTES && !self.is_stuck {
            return;
        }
        self.unchecked_bytes = 0;
        let tails = replicas.values().map(|replica| replica.store.tail_bytes());
        let bytes_max = if tails.sum::<u64>() >= TAILS_BYTES_MAX || self.is_stuck {
            1
        } else {
            TAIL_BYTES_MAX
        };
        let mut is_stuck = false;
        for replica in replicas.values_mut() {
            if replica.store.tail_bytes() >= bytes_max {
                is_stuck |= !replica.write_behind(&intake.reserve);
            }
        }
        if is_stuck != mem::replace(&mut self.is_stuck, is_stuck) {
            let stuck_shards = &intake.stuck_shards;
            if is_stuck {
                stuck_shards.fetch_add(1, Ordering::Relaxed);
            } else {
                stuck_shards.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}
