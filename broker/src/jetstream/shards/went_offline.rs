//! Streams that stop serving while the node runs, because their index cannot be read.

use std::collections::BTreeSet;

use hitherto_jetstream::{GroupId, Unreadable};

use super::parts::ShardParts;
use crate::jetstream::files::LOG_START;
use crate::jetstream::replicas::Replica;
use crate::jetstream::taking::OfflineStream;

/// The streams of a shard that went offline since the start.
#[derive(Default)]
pub(super) struct WentOffline(BTreeSet<GroupId>);

impl WentOffline {
    /// Tells whether the stream of a group is one of them.
    pub(super) fn holds(&self, group: GroupId) -> bool {
        self.0.contains(&group)
    }

    pub(super) fn groups(&self) -> Vec<GroupId> {
        self.0.iter().copied().collect()
    }

    /// The index of a stream cannot be read. What is in memory of the stream is half changed, so that it must not
    /// be used or saved; the log and the last checkpoint have it as it should be, for the next start.
    pub(super) fn take(&mut self, mut replica: Replica, error: &Unreadable, parts: &ShardParts) {
        let (stream, group) = (replica.entry.name.clone(), replica.entry.group);
        tracing::error!(%stream, %group, %error, "a stream is offline until the next start");
        parts.directory.remove(&replica.entry);
        replica.store.remove_tables();
        let offline = OfflineStream {
            group,
            config: replica.stream.config().clone(),
            reason: format!("{error}; start the node again, which builds the index anew"),
            needs: LOG_START,
        };
        let reason = offline.reason.clone();
        // Its subscriptions end before others refuse in their place, and who hears of the damage is refused.
        drop(replica);
        parts.directory.insert_offline(offline, &parts.intake);
        self.0.insert(group);
        parts.damage.add_offline(&stream, &reason);
    }

    /// A stream is deleted, which may be offline since before the start.
    pub(super) fn forget(&mut self, group: GroupId, parts: &ShardParts) {
        self.0.remove(&group);
        if let Some(name) = parts.directory.remove_offline(group) {
            parts.damage.forget(&name);
        }
    }
}
