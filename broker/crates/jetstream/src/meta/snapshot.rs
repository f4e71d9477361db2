//! The meta state between restarts.

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Meta, Node, NodeEntry, StreamEntry};
use crate::{GroupId, Limits, LogIndex, NodeId, StreamConfig};

/// The last version of the layout this build reads, and writes where there are nodes.
const VERSION: u8 = 2;
/// The version of a layout without nodes: what a node on its own writes, and earlier builds read.
const VERSION_ALONE: u8 = 1;

/// The meta state at one point of its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaSnapshot {
    version: u8,
    applied: LogIndex,
    next_group: GroupId,
    streams: Vec<StreamRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<NodeEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StreamRecord {
    group: GroupId,
    created: Timestamp,
    config: StreamConfig,
    /// `None` when it is `config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_with: Option<StreamConfig>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    peers: Vec<NodeId>,
}

/// Says why a snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetaRestoreError {
    /// It was written by a later version.
    #[error("the meta snapshot has version {0}; this version reads {VERSION}: upgrade first")]
    Version(u8),
    /// Two streams share a name or a group, a group lies outside those given out, or a peer is no node.
    #[error("the meta snapshot contradicts itself at stream {name:?}")]
    Contradiction {
        /// The stream.
        name: String,
    },
    /// Two nodes share a name or an id, or there are too many.
    #[error("the meta snapshot contradicts itself at node {name:?}")]
    Node {
        /// The node's name.
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
            peers: entry.peers.clone(),
        });
        MetaSnapshot {
            version: match self.is_alone() {
                true => VERSION_ALONE,
                false => VERSION,
            },
            applied: self.applied(),
            next_group: self.next_group,
            streams: streams.collect(),
            nodes: self.nodes.values().cloned().collect(),
        }
    }

    /// The state a snapshot keeps.
    ///
    /// # Errors
    ///
    /// Says whether it is from a later version or contradicts itself.
    pub fn restore(snapshot: MetaSnapshot, limits: Limits) -> Result<Self, MetaRestoreError> {
        if !(VERSION_ALONE..=VERSION).contains(&snapshot.version) {
            return Err(MetaRestoreError::Version(snapshot.version));
        }
        let mut meta = Self::new(limits);
        meta.applied = snapshot.applied;
        meta.restored = snapshot.applied;
        meta.next_group = snapshot.next_group;
        for entry in snapshot.nodes {
            let Node { id, name, .. } = &entry.node;
            if meta.nodes.contains_key(id) || meta.check_node(&entry.node, true).is_err() {
                return Err(MetaRestoreError::Node { name: name.clone() });
            }
            meta.nodes.insert(*id, entry);
        }
        for record in snapshot.streams {
            let name = record.config.name.clone();
            let is_given_out = (GroupId(1)..snapshot.next_group).contains(&record.group);
            let is_new = meta.iter().all(|(_, entry)| entry.group != record.group);
            let mut entry = StreamEntry::new(record.group, record.config, record.created);
            if let Some(created_with) = record.created_with {
                entry.created_with = created_with;
            }
            let has_nodes = record
                .peers
                .iter()
                .all(|peer| meta.nodes.contains_key(peer));
            entry.peers = record.peers;
            let before = meta.streams.insert(name.clone(), entry);
            if before.is_some() || !is_given_out || !is_new || !has_nodes {
                return Err(MetaRestoreError::Contradiction { name });
            }
        }
        Ok(meta)
    }
}
