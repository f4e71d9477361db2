//! The meta state between restarts.

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Meta, StreamEntry};
use crate::{GroupId, Limits, LogIndex, StreamConfig};

/// Version of the layout; a reader refuses any other.
const VERSION: u8 = 1;

/// The meta state at one point of its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaSnapshot {
    version: u8,
    applied: LogIndex,
    next_group: GroupId,
    streams: Vec<StreamRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StreamRecord {
    group: GroupId,
    created: Timestamp,
    config: StreamConfig,
    /// `None` when it is `config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_with: Option<StreamConfig>,
}

/// Says why a snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetaRestoreError {
    /// It was written by a later version.
    #[error("the meta snapshot has version {0}; this version reads {VERSION}: upgrade first")]
    Version(u8),
    /// Two streams share a name or a group, or a group lies outside those given out.
    #[error("the meta snapshot contradicts itself at stream {name:?}")]
    Contradiction {
        /// The stream.
        name: String,
    },
}

impl MetaSnapshot {
    /// The last entry the snapshot contains.
    pub fn applied(&self) -> LogIndex {
        self.applied
    }
}

impl Meta {
    /// The state as it is kept.
    pub fn snapshot(&self) -> MetaSnapshot {
        let streams = self.iter().map(|(_, entry)| StreamRecord {
            group: entry.group,
            created: entry.created,
            config: entry.config.clone(),
            created_with: Some(&entry.created_with)
                .filter(|created_with| **created_with != entry.config)
                .cloned(),
        });
        MetaSnapshot {
            version: VERSION,
            applied: self.applied(),
            next_group: self.next_group,
            streams: streams.collect(),
        }
    }

    /// The state a snapshot keeps.
    ///
    /// # Errors
    ///
    /// Says whether it is from a later version or contradicts itself.
    pub fn restore(snapshot: MetaSnapshot, limits: Limits) -> Result<Self, MetaRestoreError> {
        if snapshot.version != VERSION {
            return Err(MetaRestoreError::Version(snapshot.version));
        }
        let mut meta = Self::new(limits);
        meta.applied = snapshot.applied;
        meta.restored = snapshot.applied;
        meta.next_group = snapshot.next_group;
        for record in snapshot.streams {
            let name = record.config.name.clone();
            let is_given_out = (GroupId(1)..snapshot.next_group).contains(&record.group);
            let is_new = meta.iter().all(|(_, entry)| entry.group != record.group);
            let mut entry = StreamEntry::new(record.group, record.config, record.created);
            if let Some(created_with) = record.created_with {
                entry.created_with = created_with;
            }
            let before = meta.streams.insert(name.clone(), entry);
            if before.is_some() || !is_given_out || !is_new {
                return Err(MetaRestoreError::Contradiction { name });
            }
        }
        Ok(meta)
    }
}
