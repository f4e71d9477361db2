//! Which streams there are and who owns them, for the threads that take messages in.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use hitherto_jetstream::api::ApiError;
use hitherto_jetstream::{ByStorage, GroupId};

use super::entry::StreamEntry;
use super::intake::Intake;
use super::offline::{OfflineStream, Refusing};

/// The streams of the node by name. Streams come and go with the orders of the meta group.
#[derive(Default)]
pub(crate) struct Directory {
    streams: RwLock<HashMap<String, Arc<StreamEntry>>>,
    /// Those that do not serve.
    offline: RwLock<HashMap<GroupId, (OfflineStream, Refusing)>>,
}

/// The sum over all streams.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) streams: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: ByStorage<u64>,
    pub(crate) reserved_bytes: ByStorage<u64>,
    pub(crate) consumers: u64,
}

impl Directory {
    pub(crate) fn get(&self, stream: &str) -> Option<Arc<StreamEntry>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.get(stream).cloned()
    }

    pub(crate) fn insert(&self, entry: Arc<StreamEntry>) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.insert(entry.name.clone(), entry);
    }

    /// Removes the stream, unless another one has taken its name.
    pub(crate) fn remove(&self, entry: &StreamEntry) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams
            .get(&entry.name)
            .is_some_and(|other| other.group == entry.group)
        {
            streams.remove(&entry.name);
        }
    }

    /// Forgets all streams: the node ends.
    pub(crate) fn clear(&self) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.clear();
        drop(streams);
        self.offline_mut().clear();
    }

    /// Makes an offline stream known, and refuses what is published to it.
    pub(crate) fn insert_offline(&self, stream: OfflineStream, intake: &Arc<Intake>) {
        let refusing = Refusing::start(&stream, intake);
        self.offline_mut().insert(stream.group, (stream, refusing));
    }

    /// Forgets an offline stream, which is deleted, and returns its name; `None` when it is not offline.
    pub(crate) fn remove_offline(&self, group: GroupId) -> Option<String> {
        let (stream, _) = self.offline_mut().remove(&group)?;
        Some(stream.config.name)
    }

    /// Why the stream of a group does not answer.
    pub(crate) fn why_missing(&self, group: GroupId) -> ApiError {
        let offline = self.offline.read().unwrap_or_else(PoisonError::into_inner);
        let stream = offline.get(&group);
        stream.map_or_else(ApiError::stream_not_found, |(stream, _)| stream.error())
    }

    /// Why a stream is offline; `None` when it is not.
    pub(crate) fn offline_reason(&self, name: &str) -> Option<String> {
        let offline = self.offline.read().unwrap_or_else(PoisonError::into_inner);
        #[allow(clippy::iter_over_hash_type, reason = "names are unique")]
        for (stream, _) in offline.values() {
            if stream.config.name == name {
                return Some(stream.reason.clone());
            }
        }
        None
    }

    fn offline_mut(
        &self,
    ) -> std::sync::RwLockWriteGuard<'_, HashMap<GroupId, (OfflineStream, Refusing)>> {
        self.offline.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// All streams, sorted by name.
    pub(crate) fn all(&self) -> Vec<Arc<StreamEntry>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = streams.values().cloned().collect();
        drop(streams);
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// How many streams there are.
    pub(crate) fn len(&self) -> usize {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.len()
    }

    pub(crate) fn usage(&self) -> Usage {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let mut usage = Usage::default();
        #[allow(clippy::iter_over_hash_type, reason = "a sum has no order")]
        for entry in streams.values() {
            usage.streams += 1;
            usage.messages += entry.usage.messages.load(Ordering::Relaxed);
            *usage.bytes.of_mut(entry.storage) += entry.usage.bytes.load(Ordering::Relaxed);
            let reserved = usage.reserved_bytes.of_mut(entry.storage);
            let own = entry.usage.reserved_bytes.load(Ordering::Relaxed);
            *reserved = reserved.saturating_add(own);
            usage.consumers += entry.usage.consumers.load(Ordering::Relaxed);
        }
        usage
    }
}
