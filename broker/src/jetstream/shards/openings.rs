//! Streams that are created and whose files could not be made yet.

use std::collections::BTreeMap;
use std::mem;

use hitherto_jetstream::{GroupId, StreamConfig};
use hitherto_protocol::Timestamp;

use super::agenda::WATCH_INTERVAL;
use crate::jetstream::orders::Opening;

/// The openings that are tried again every [`WATCH_INTERVAL`], and whenever somebody asks for the stream. At
/// most as many as there may be streams.
pub(super) struct Openings {
    waiting: BTreeMap<GroupId, Opening>,
    /// Before then they are not tried again by themselves.
    due: Timestamp,
}

impl Openings {
    pub(super) fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            due: Timestamp::ZERO,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tells whether the stream of a group waits here.
    pub(super) fn holds(&self, group: GroupId) -> bool {
        self.waiting.contains_key(&group)
    }

    /// An opening has failed.
    pub(super) fn add(&mut self, opening: Opening) {
        self.waiting.insert(opening.group, opening);
    }

    /// Takes an opening out to be tried, or because its stream is deleted.
    pub(super) fn take(&mut self, group: GroupId) -> Option<Opening> {
        self.waiting.remove(&group)
    }

    /// Takes all out to be tried, when it is time.
    pub(super) fn take_due(&mut self, now: Timestamp) -> impl Iterator<Item = Opening> + use<> {
        let due = match now < self.due {
            true => BTreeMap::new(),
            false => {
                self.due = now.saturating_add(WATCH_INTERVAL);
                mem::take(&mut self.waiting)
            }
        };
        due.into_values()
    }

    /// The stream was configured while it waits: it gets the configuration when it opens.
    pub(super) fn configure(&mut self, group: GroupId, config: Box<StreamConfig>) {
        if let Some(opening) = self.waiting.get_mut(&group) {
            opening.update = Some(config);
        }
    }
}
