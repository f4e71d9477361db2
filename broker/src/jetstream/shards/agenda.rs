//! Which of its streams a shard looks after, and when.

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use hitherto_jetstream::GroupId;
use hitherto_protocol::Timestamp;

use crate::jetstream::replicas::Replica;

/// How often a shard looks for abandoned batches while some are open, and tries again what the disk did not
/// take: to write behind, to freeze, to open streams.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How soon a shard tries again to propose what the log had no room for.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// The streams something has happened to, and the alarms of all.
#[derive(Default)]
pub(super) struct Agenda {
    /// Streams to look after in this round.
    touched: Vec<GroupId>,
    /// Some of them have more to deliver right away.
    has_ready: bool,
    /// When streams want to be looked after.
    alarms: BTreeSet<(Timestamp, GroupId)>,
}

impl Agenda {
    /// Something has happened to a stream: it is looked after in this round.
    pub(super) fn touch(&mut self, replica: &mut Replica) {
        if !mem::replace(&mut replica.touched, true) {
            self.touched.push(replica.entry.group);
        }
    }

    /// The streams to look after now. Each is to be noted again, or forgotten, when it was.
    pub(super) fn take_touched(&mut self) -> Vec<GroupId> {
        self.has_ready = false;
        mem::take(&mut self.touched)
    }

    /// A stream was looked after: notes when it wants to be again.
    pub(super) fn note(&mut self, replica: &mut Replica) {
        let group = replica.entry.group;
        let due = replica.next_timeout();
        if due != replica.due {
            if let Some(old) = replica.due {
                self.alarms.remove(&(old, group));
            }
            self.alarms.extend(due.map(|due| (due, group)));
            replica.due = due;
        }
        let waits = replica.waits_for_room();
        let has_ready = replica.has_ready() && !waits;
        self.has_ready |= has_ready;
        if waits || has_ready {
            self.touch(replica);
        }
    }

    /// Takes an alarm that is due, and says whose it is.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<GroupId> {
        let (due, group) = *self.alarms.first()?;
        if due > now {
            return None;
        }
        self.alarms.pop_first();
        Some(group)
    }

    /// A stream goes.
    pub(super) fn forget(&mut self, replica: &Replica) {
        if let Some(due) = replica.due {
            self.alarms.remove(&(due, replica.entry.group));
        }
    }

    /// Some stream has more to deliver right away.
    pub(super) fn has_ready(&self) -> bool {
        self.has_ready
    }

    /// How long no stream wants to be looked after; `None` for ever.
    pub(super) fn wait_max(&self, now: Timestamp) -> Option<Duration> {
        let alarm = self.alarms.first();
        let alarm = alarm.map(|(due, _)| due.saturating_duration_since(now));
        let retry = (!self.touched.is_empty()).then_some(RETRY_AFTER);
        alarm.into_iter().chain(retry).min()
    }
}
