//! The state of a stream without its index, in the form that is stored.
//!
//! The index is built again from what storage knows of each message, so that a snapshot does not
//! grow with the number of messages. Together with the log behind it, it is the whole stream.

use std::collections::VecDeque;

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::consumers::Consumers;
use super::dedupe::{Dedupe, Remembered};
use super::lifetimes::Lifetimes;
use super::{Stream, republish_of};
use crate::consumer::{Consumer, ConsumerSnapshot};
use crate::index::Index;
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
        if snapshot.version != VERSION {
            return Err(RestoreError::Version(snapshot.version));
        }
        let mut messages = messages.into_iter().peekable();
        let before_first = messages
            .peek()
            .map_or(snapshot.last_seq, |meta| meta.seq.previous());
        let mut index = Index::new(before_first);
        let mut lifetimes = Lifetimes::default();
        for meta in messages {
            if meta.seq <= index.last_seq() || meta.seq > snapshot.last_seq {
                return Err(RestoreError::Misplaced {
                    seq: meta.seq,
                    after: index.last_seq(),
                    last: snapshot.last_seq,
                });
            }
            index.append(&meta);
            if let Some(lifetime) = meta.lifetime {
                lifetimes.insert(meta.seq, lifetime);
            }
        }
        if index.last_seq() < snapshot.last_seq {
            index.skip_to(snapshot.last_seq);
        }
        let mut consumers = Consumers::default();
        for consumer in snapshot.consumers {
            consumers.insert(Consumer::restore(&snapshot.config.name, consumer));
        }
        Ok(Self {
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
            applied: snapshot.applied,
            restored: snapshot.applied,
            expiry_asked: Timestamp::ZERO,
            outputs: VecDeque::new(),
        })
    }
}
