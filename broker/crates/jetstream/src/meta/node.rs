//! A node of the cluster, as the meta state knows it.
//!
//! Whether a node votes in the meta group, and whether it is there at the moment, is known elsewhere.

use serde::{Deserialize, Serialize};

use crate::{ByStorage, NodeId, Storage};

/// What a node tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// The name of the server; no two nodes share one.
    pub name: String,
    /// What it is tagged with (`server_tags`).
    pub tags: Vec<String>,
    /// Bytes it has for streams; `None` means any number.
    pub limits: ByStorage<Option<u64>>,
    /// Bytes its streams took when it last told.
    pub used: ByStorage<u64>,
}

/// An admitted node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// What it last told of itself.
    pub node: Node,
    /// It is being emptied and takes no streams.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

impl Node {
    /// The most nodes there may be.
    pub const COUNT_MAX: usize = 128;

    /// Tells whether it has this tag. Case does not count, as on nats-server 2.15.
    pub(super) fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own.eq_ignore_ascii_case(tag))
    }

    /// The first of its tags that begin so.
    pub(super) fn tag_with_prefix(&self, prefix: &str) -> Option<String> {
        let tags = self.tags.iter().map(|tag| tag.to_lowercase());
        let prefix = prefix.to_lowercase();
        tags.into_iter().find(|tag| tag.starts_with(&prefix))
    }

    /// Bytes a further stream may promise to hold here, next to those `reserved` by others; `None` means any
    /// number.
    pub(super) fn free(&self, storage: Storage, reserved: u64) -> Option<u64> {
        let taken = reserved.max(*self.used.of(storage));
        self.limits
            .of(storage)
            .map(|limit| limit.saturating_sub(taken))
    }
}
