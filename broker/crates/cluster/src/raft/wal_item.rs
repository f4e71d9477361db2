//! What a Raft group writes into the node's log, and what the kinds of entries stand for.

use bytes::{BufMut, Bytes, BytesMut};
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_storage::EntryKind;
use openraft::EntryPayload;

use super::codec::{self, Malformed, Reader};
use super::types::{Entry, LogId, Payload, Records, StoredMembership, Vote, log_id, term_of};
use crate::lane::ItemEntry;

/// Records of a group that stands alone; [`EntryKind::default`].
pub(crate) const SOLO: EntryKind = EntryKind(0);
/// The empty entry a leader begins its term with.
pub(crate) const BLANK: EntryKind = EntryKind(1);
/// A batch of records.
pub(crate) const RECORDS: EntryKind = EntryKind(2);
/// A membership.
pub(crate) const MEMBERSHIP: EntryKind = EntryKind(3);
/// The group's log ends before this index.
pub(crate) const TRUNCATE: EntryKind = EntryKind(4);
/// Everything of the group that is not an entry, see [`HardState`]. The last one counts.
pub(crate) const STATE: EntryKind = EntryKind(5);
/// The group was removed from this node with all it had.
pub(crate) const REMOVED: EntryKind = EntryKind(6);

const STATE_VERSION: u8 = 1;

/// What a group must remember besides its entries. Written whole with each change: so the last one is all
/// that is needed, and moving it forward lets old files of the log go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HardState {
    pub(crate) vote: Option<Vote>,
    /// Known to be committed; may lag behind.
    pub(crate) committed: Option<LogId>,
    /// Entries up to here are gone.
    pub(crate) purged: Option<LogId>,
    /// The last membership at or before `purged`.
    pub(crate) membership: StoredMembership,
    /// A snapshot that is being taken over: its entry and the membership there. Says, when the node ends
    /// between the state machine and the log, that the log begins behind it.
    pub(crate) installing: Option<(LogId, StoredMembership)>,
}

impl HardState {
    pub(crate) fn to_item(&self, group: GroupId) -> ItemEntry {
        let mut body = BytesMut::with_capacity(128);
        body.put_u8(STATE_VERSION);
        codec::put_option(&mut body, self.vote.as_ref(), codec::put_vote);
        codec::put_option(&mut body, self.committed.as_ref(), codec::put_log_id);
        codec::put_option(&mut body, self.purged.as_ref(), codec::put_log_id);
        codec::put_stored_membership(&mut body, &self.membership);
        let installing = self.installing.as_ref();
        codec::put_option(&mut body, installing, |body, (id, membership)| {
            codec::put_log_id(body, id);
            codec::put_stored_membership(body, membership);
        });
        ItemEntry {
            group,
            index: LogIndex(0),
            term: 0,
            kind: STATE,
            body: body.freeze(),
        }
    }

    pub(crate) fn decode(body: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        if reader.u8()? != STATE_VERSION {
            return Err(Malformed);
        }
        let state = Self {
            vote: reader.option(Reader::vote)?,
            committed: reader.option(Reader::log_id)?,
            purged: reader.option(Reader::log_id)?,
            membership: reader.stored_membership()?,
            installing: reader
                .option(|reader| Ok((reader.log_id()?, reader.stored_membership()?)))?,
        };
        reader.end()?;
        Ok(state)
    }
}

/// An entry without its place: what it is and what it says.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) kind: EntryKind,
    pub(crate) body: Bytes,
}

impl Content {
    pub(crate) fn of(payload: &Payload) -> Self {
        let (kind, body) = match payload {
            EntryPayload::Blank => (BLANK, Bytes::new()),
            EntryPayload::Normal(records) => (RECORDS, records.0.clone()),
            EntryPayload::Membership(membership) => {
                let mut body = BytesMut::new();
                codec::put_membership(&mut body, membership);
                (MEMBERSHIP, body.freeze())
            }
        };
        Self { kind, body }
    }

    pub(crate) fn to_entry(&self, term: u64, index: u64) -> Result<Entry, Malformed> {
        let payload = match self.kind {
            BLANK => EntryPayload::Blank,
            RECORDS => EntryPayload::Normal(Records(self.body.clone())),
            MEMBERSHIP => {
                let mut reader = Reader(self.body.clone());
                let membership = reader.membership()?;
                reader.end()?;
                EntryPayload::Membership(membership)
            }
            _ => return Err(Malformed),
        };
        Ok(Entry {
            log_id: log_id(term, index),
            payload,
        })
    }

    pub(crate) fn to_item(&self, group: GroupId, id: &LogId) -> ItemEntry {
        ItemEntry {
            group,
            index: LogIndex(id.index),
            term: term_of(id),
            kind: self.kind,
            body: self.body.clone(),
        }
    }
}

/// The group's log ends before `first`.
pub(crate) fn truncation(group: GroupId, first: u64) -> ItemEntry {
    ItemEntry {
        group,
        index: LogIndex(first),
        term: 0,
        kind: TRUNCATE,
        body: Bytes::new(),
    }
}

/// The group is gone.
pub(crate) fn removal(group: GroupId) -> ItemEntry {
    ItemEntry {
        kind: REMOVED,
        ..truncation(group, 0)
    }
}
