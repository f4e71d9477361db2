//! The state of a stream without its index, in the form that is stored.
//!
//! The index is built again from what storage knows of each message, or taken up from its tables, so that a
//! snapshot does not grow with the number of messages. Together with the log behind it, it is the whole stream.

use std::collections::VecDeque;
use std::sync::Arc;

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::consumers::Consumers;
use super::dedupe::{Dedupe, Remembered};
use super::lifetimes::Lifetimes;
use super::tables::Freeze;
use super::{Stream, republish_of};
use crate::consumer::{Consumer, ConsumerSnapshot};
use crate::index::{Index, SavedTables, TableBytes, TableCache, TableDraft, Unreadable};
use crate::{LogIndex, MessageMeta, StreamConfig, StreamSeq};

/// Version of the layout; a reader refuses any other.
const VERSION: u8 = 3;

/// A stream at one point of its log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamSnapshot {
    version: u8,
    config: StreamConfig,
    created: Timestamp,
    applied: LogIndex,
    last_seq: StreamSeq,
    last_at: Timestamp,
    last_msg_id: Option<String>,
    dedupe: Vec<Remembered>,
    consumers: Vec<ConsumerSnapshot>,
    consumers_created: u64,
    /// Stores of earlier builds do not say it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    relaxed: bool,
}

impl StreamSnapshot {
    /// The last entry the snapshot contains.
    pub fn applied(&self) -> LogIndex {
        self.applied
    }

    /// The name of the stream.
    pub fn name(&self) -> &str {
        &self.config.name
    }
}

/// A snapshot that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It was written by a later version.
    #[error("a stream snapshot has version {0}; this version reads {VERSION}: upgrade first")]
    Version(u8),
    /// Storage has a message the snapshot does not know, or in the wrong order.
    #[error("stored message {seq} does not fit behind {after} in a stream that ends at {last}")]
    Misplaced {
        /// The message.
        seq: StreamSeq,
        /// The message before it.
        after: StreamSeq,
        /// The last sequence of the snapshot.
        last: StreamSeq,
    },
}

impl Stream {
    /// Takes a snapshot at the entry applied last.
    pub fn snapshot(&self) -> StreamSnapshot {
        StreamSnapshot {
            version: VERSION,
            config: self.config.clone(),
            created: self.created,
            applied: self.applied,
            last_seq: self.index.last_seq(),
            last_at: self.last_at,
            last_msg_id: self.last_msg_id.clone(),
            dedupe: self.dedupe.snapshot(),
            consumers: self.consumers.recorded().map(Consumer::snapshot).collect(),
            consumers_created: self.consumers_created,
            relaxed: self.relaxed,
        }
    }

    /// Builds the stream again from a snapshot and the messages storage has, ascending.
    ///
    /// # Errors
    /// [`RestoreError`] when the snapshot is of a later version or the messages are not its own.
    pub fn restore(
        snapshot: StreamSnapshot,
        messages: impl IntoIterator<Item = MessageMeta>,
    ) -> Result<Self, RestoreError> {
        let mut restoring = Restoring::new(snapshot, OpenTables::default())?;
        for meta in messages {
            restoring.append(&meta)?;
        }
        Ok(restoring.finish())
    }
}

/// Tables of the index that a stream is built on.
#[derive(Debug, Default)]
pub struct OpenTables {
    /// `None` without tables.
    index: Option<Index>,
    lifetimes: Lifetimes,
}

impl OpenTables {
    /// Takes up the tables a checkpoint names.
    ///
    /// # Errors
    /// When one of them cannot be read, or they are not in order. The stream can be built without them.
    pub fn open(saved: SavedTables<'_>, cache: &TableCache) -> Result<Self, Unreadable> {
        let mut lifetimes = Lifetimes::default();
        let index = Index::open(saved, cache, |seq, lifetime| {
            lifetimes.insert(seq, lifetime)
        })?;
        let index = (index.messages() > 0).then_some(index);
        Ok(Self { index, lifetimes })
    }

    /// The last sequence in them: what comes behind is to be appended. 0 without tables.
    pub fn last_seq(&self) -> StreamSeq {
        self.index.as_ref().map_or(StreamSeq(0), Index::last_seq)
    }
}

/// A stream that is being built again, message by message.
#[derive(Debug)]
pub struct Restoring {
    snapshot: StreamSnapshot,
    /// Made with the first message, when there are no tables.
    index: Option<Index>,
    lifetimes: Lifetimes,
    /// The tables were there when the snapshot was taken.
    has_saved_tables: bool,
}

impl Restoring {
    /// Begins with what is in tables.
    ///
    /// # Errors
    /// [`RestoreError`] when the snapshot is of a later version, or the tables reach beyond it.
    pub fn new(snapshot: StreamSnapshot, tables: OpenTables) -> Result<Self, RestoreError> {
        if snapshot.version != VERSION {
            return Err(RestoreError::Version(snapshot.version));
        }
        let OpenTables { index, lifetimes } = tables;
        let restoring = Self {
            has_saved_tables: index.is_some(),
            snapshot,
            index,
            lifetimes,
        };
        match &restoring.index {
            Some(index) if index.last_seq() > restoring.snapshot.last_seq => {
                Err(restoring.misplaced(index.last_seq()))
            }
            _ => Ok(restoring),
        }
    }

    /// Adds the next message.
    ///
    /// # Errors
    /// [`RestoreError::Misplaced`] when it does not come behind those before it.
    pub fn append(&mut self, meta: &MessageMeta) -> Result<(), RestoreError> {
        let before = meta.seq.previous();
        let index = self.index.get_or_insert_with(|| Index::new(before));
        if meta.seq <= index.last_seq() || meta.seq > self.snapshot.last_seq {
            return Err(self.misplaced(meta.seq));
        }
        match self.has_saved_tables {
            true => index.append_saved(meta),
            false => index.append(meta),
        }
        if let Some(lifetime) = meta.lifetime {
            self.lifetimes.insert(meta.seq, lifetime);
        }
        Ok(())
    }

    /// All messages were added: the stream.
    pub fn finish(self) -> Stream {
        let Self {
            snapshot,
            index,
            lifetimes,
            ..
        } = self;
        let mut index = index.unwrap_or_else(|| Index::new(snapshot.last_seq));
        index.skip_to(snapshot.last_seq);
        let mut consumers = Consumers::default();
        for consumer in snapshot.consumers {
            consumers.insert(Consumer::restore(&snapshot.config.name, consumer));
        }
        Stream {
            republish: republish_of(&snapshot.config),
            config: snapshot.config,
            created: snapshot.created,
            index,
            lifetimes,
            dedupe: Dedupe::restore(snapshot.dedupe),
            last_at: snapshot.last_at,
            last_msg_id: snapshot.last_msg_id,
            consumers,
            consumers_created: snapshot.consumers_created,
            relaxed: snapshot.relaxed,
            applied: snapshot.applied,
            restored: snapshot.applied,
            expiry_asked: Timestamp::ZERO,
            outputs: VecDeque::new(),
        }
    }

    fn misplaced(&self, seq: StreamSeq) -> RestoreError {
        RestoreError::Misplaced {
            seq,
            after: self.index.as_ref().map_or(StreamSeq(0), Index::last_seq),
            last: self.snapshot.last_seq,
        }
    }
}

impl Freeze for Restoring {
    fn hot_index_bytes(&self) -> u64 {
        self.index.as_ref().map_or(0, Index::hot_bytes)
    }

    fn hot_messages(&self) -> u64 {
        self.index.as_ref().map_or(0, Index::hot_messages)
    }

    /// `None` too while the messages are those behind tables that were saved.
    fn draft_table(&self, messages_max: usize) -> Option<TableDraft> {
        let index = self.index.as_ref().filter(|_| !self.has_saved_tables)?;
        index.draft_table(messages_max, |seq| self.lifetimes.get(seq))
    }

    fn freeze(&mut self, draft: TableDraft, source: Arc<dyn TableBytes>, cache: &TableCache) {
        if let Some(index) = &mut self.index {
            index.freeze(draft, source, cache);
        }
    }
}
