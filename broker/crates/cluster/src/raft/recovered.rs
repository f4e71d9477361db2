//! The Raft groups as the node's log has them.

use std::collections::BTreeMap;

use hitherto_jetstream::GroupId;
use hitherto_storage::Entry as WalRead;

use super::codec::Malformed;
use super::group_log::{Entries, Place, Slot};
use super::types::{log_id, term_of};
use super::wal_item::{
    BLANK, Content, HardState, MEMBERSHIP, RECORDS, REMOVED, SOLO, STATE, TRUNCATE,
};
use crate::LogIsBroken;

/// What a replay of the node's log tells of its Raft groups. Give it every entry that is replayed, and then to
/// [`RaftLog::start`](crate::RaftLog::start).
#[derive(Debug, Default)]
pub struct RecoveredGroups {
    pub(crate) groups: BTreeMap<GroupId, Entries>,
}

impl RecoveredGroups {
    /// Takes an entry if it is of a Raft group; `false` when it is of a group that stands alone, and the
    /// caller's.
    ///
    /// # Errors
    /// When the entry cannot follow those before it: something is missing or was never written so.
    pub fn take(&mut self, entry: &WalRead) -> Result<bool, LogIsBroken> {
        if entry.kind == SOLO {
            return Ok(false);
        }
        let broken = |what| LogIsBroken {
            group: entry.group,
            index: entry.index,
            what,
        };
        if entry.kind == REMOVED {
            self.groups.remove(&entry.group);
            return Ok(true);
        }
        let log = self.groups.entry(entry.group).or_default();
        let index = entry.index.0;
        match entry.kind {
            BLANK | RECORDS | MEMBERSHIP => {
                take_slot(log, entry).map_err(|_| broken("an entry is malformed"))?;
            }
            TRUNCATE => {
                let keep = index.saturating_sub(log.first);
                log.slots
                    .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
            }
            STATE => {
                let state = HardState::decode(entry.body.clone());
                log.state = state.map_err(|_| broken("its state is malformed"))?;
                log.state_place = Some(Place::At(entry.position));
                log.drop_purged();
            }
            _ => return Err(broken("an entry is of a kind this release does not know")),
        }
        Ok(true)
    }

    /// The groups found.
    pub fn ids(&self) -> impl Iterator<Item = GroupId> + '_ {
        self.groups.keys().copied()
    }

    /// Says whether every group has all its entries.
    pub(crate) fn check(&self) -> Result<(), LogIsBroken> {
        for (group, log) in &self.groups {
            let purged = log.state.purged.as_ref();
            let needed = purged.map_or(0, |purged| purged.index + 1);
            if !log.slots.is_empty() && log.first > needed {
                return Err(LogIsBroken {
                    group: *group,
                    index: hitherto_jetstream::LogIndex(needed),
                    what: "the entry is missing although later ones are there",
                });
            }
        }
        Ok(())
    }

    /// Says whether every group has voted in the terms of its entries: a vote lies before the entries it
    /// justifies, and a node that has lost one could give it again.
    pub(crate) fn check_votes(&self) -> Result<(), LogIsBroken> {
        for (group, log) in &self.groups {
            let voted = log.state.vote.map_or(0, |vote| vote.leader_id.term);
            if let Some(last) = log.last().filter(|last| term_of(last) > voted) {
                return Err(LogIsBroken {
                    group: *group,
                    index: hitherto_jetstream::LogIndex(last.index),
                    what: "the vote is missing under which the entry was taken",
                });
            }
        }
        Ok(())
    }
}

fn take_slot(log: &mut Entries, entry: &WalRead) -> Result<(), Malformed> {
    let index = entry.index.0;
    if log.state.purged.is_some_and(|purged| index <= purged.index) {
        return Ok(());
    }
    let content = Content {
        kind: entry.kind,
        body: entry.body.clone(),
    };
    // Says whether it can be read.
    content.to_entry(entry.term, index)?;
    let id = log_id(entry.term, index);
    let place = Place::At(entry.position);
    log.push(&id, content, place).map_err(|_| Malformed)?;
    if let Some(slot) = log.slots.back_mut().filter(|slot| slot.kind == RECORDS) {
        slot.body = None;
    }
    Ok(())
}

impl Slot {
    /// Tells whether its body is in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.body.is_some()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hitherto_jetstream::LogIndex;
    use hitherto_storage::WalPosition;

    use super::super::types::Vote;
    use super::*;

    #[test]
    fn entries_without_the_vote_they_were_taken_under_are_refused() {
        let group = GroupId(1);
        let mut recovered = RecoveredGroups::default();
        let mut entry = WalRead {
            group,
            index: LogIndex(0),
            term: 3,
            kind: BLANK,
            body: Bytes::new(),
            position: WalPosition { file: 1, offset: 0 },
        };
        recovered.take(&entry).unwrap();
        recovered.check().unwrap();
        for (voted, is_enough) in [(0, false), (2, false), (3, true), (4, true)] {
            let state = HardState {
                vote: (voted > 0).then(|| Vote::new(voted, 1)),
                ..HardState::default()
            };
            let state = state.to_item(group);
            (entry.kind, entry.body) = (state.kind, state.body);
            recovered.take(&entry).unwrap();
            assert_eq!(recovered.check_votes().is_ok(), is_enough, "{voted}");
        }
    }
}
