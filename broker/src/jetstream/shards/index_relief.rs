//! Making room in memory when the indexes take most of what they may.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::sync::atomic::Ordering;

use hitherto_jetstream::{Freeze, GroupId};
use hitherto_protocol::Timestamp;

use super::agenda::WATCH_INTERVAL;
use super::parts::ShardParts;
use crate::jetstream::replicas::Replica;

/// When tables may be written.
pub(super) struct IndexRelief {
    /// No table is written before, because that failed.
    from: Timestamp,
}

impl IndexRelief {
    pub(super) fn new() -> Self {
        Self {
            from: Timestamp::ZERO,
        }
    }

    /// Moves parts of these indexes into tables while all of the node's take most of what they may. Asked of a stream
    /// after each of its entries, so that publishers are refused for the index only when no part of it is worth
    /// moving, or the disk refuses; and of all after a round, since others may have to make room.
    pub(super) fn relieve(
        &mut self,
        replicas: &mut BTreeMap<GroupId, Replica>,
        groups: impl RangeBounds<GroupId>,
        parts: &ShardParts,
    ) {
        let used = parts.intake.index_bytes.load(Ordering::Relaxed);
        let streams = || parts.directory.len() as u64;
        let Some(share) = parts.stores.index_budget.share(used, streams) else {
            return;
        };
        let now = parts.now();
        if now < self.from {
            return;
        }
        let mut is_frozen = false;
        for (_, replica) in replicas.range_mut(groups) {
            if replica.stream.hot_index_bytes() < share {
                continue;
            }
            match replica.freeze(&parts.stores, &parts.intake.reserve) {
                Some(frozen) => is_frozen |= frozen,
                None => {
                    self.from = now.saturating_add(WATCH_INTERVAL);
                    break;
                }
            }
        }
        if is_frozen {
            parts.keeper_bell.ring();
        }
    }
}
