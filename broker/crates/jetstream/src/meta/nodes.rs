//! Admitting, changing and removing nodes.

use super::{Meta, MetaOutcome, Moved, Node, NodeEntry};
use crate::api::ApiError;
use crate::{NodeId, StreamConfig};

impl Meta {
    /// An admitted node.
    pub fn node(&self, node: NodeId) -> Option<&NodeEntry> {
        self.nodes.get(&node)
    }

    /// The admitted nodes by their ids; none on a node on its own.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeEntry> {
        self.nodes.values()
    }

    /// The node that a request means: by its name, or by the text of its [`NodeId`].
    pub fn find_peer(&self, text: &str) -> Option<NodeId> {
        let mut nodes = self.nodes.values().map(|entry| &entry.node);
        let found = nodes.find(|node| node.name == text || node.id.to_string() == text)?;
        Some(found.id)
    }

    /// Tells whether this is a node on its own, which keeps all streams.
    pub fn is_alone(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn check_node(&self, node: &Node, is_new: bool) -> Result<(), ApiError> {
        if !is_new && !self.nodes.contains_key(&node.id) {
            return Err(ApiError::server_not_member());
        }
        let mut others = self.nodes.values().filter(|other| other.node.id != node.id);
        if let Some(other) = others.find(|other| other.node.name == node.name) {
            let (name, id) = (&node.name, other.node.id);
            let text = format!("the server name {name:?} belongs to node {id}");
            return Err(ApiError::raft_general(&text));
        }
        if !self.nodes.contains_key(&node.id) && self.nodes.len() >= Node::COUNT_MAX {
            let text = format!("a cluster has at most {} nodes", Node::COUNT_MAX);
            return Err(ApiError::raft_general(&text));
        }
        Ok(())
    }

    /// A node that is admitted already is noted anew, and takes streams again.
    pub(super) fn admit(&mut self, node: Node) -> Result<MetaOutcome, ApiError> {
        self.check_node(&node, true)?;
        let id = node.id;
        let is_first = self.is_alone();
        let leaving = false;
        self.nodes.insert(id, NodeEntry { node, leaving });
        let moved = match is_first {
            true => self.change_peers(|_| vec![id]),
            false => Vec::new(),
        };
        Ok(MetaOutcome::NodeChanged { node: id, moved })
    }

    pub(super) fn update_node(&mut self, node: Node) -> Result<MetaOutcome, ApiError> {
        self.check_node(&node, false)?;
        let id = node.id;
        let Some(entry) = self.nodes.get_mut(&id) else {
            return Err(ApiError::server_not_member());
        };
        entry.node = node;
        let moved = Vec::new();
        Ok(MetaOutcome::NodeChanged { node: id, moved })
    }

    pub(super) fn set_leaving(
        &mut self,
        node: NodeId,
        leaving: bool,
    ) -> Result<MetaOutcome, ApiError> {
        let Some(entry) = self.nodes.get_mut(&node) else {
            return Err(ApiError::server_not_member());
        };
        entry.leaving = leaving;
        let moved = Vec::new();
        Ok(MetaOutcome::NodeChanged { node, moved })
    }

    pub(super) fn check_removal(&self, node: NodeId, force: bool) -> Result<(), ApiError> {
        let Some(entry) = self.node(node) else {
            return Err(ApiError::server_not_member());
        };
        let name = &entry.node.name;
        if self.nodes.len() == 1 {
            let text = format!("node {name:?} is the last one of the cluster");
            return Err(ApiError::raft_general(&text));
        }
        let alone = self.iter().filter(|(_, entry)| entry.peers == [node]);
        match alone.count() {
            0 => Ok(()),
            _ if force => Ok(()),
            streams => Err(ApiError::raft_general(&format!(
                "node {name:?} keeps {streams} streams that are nowhere else; evacuate it, or force the removal"
            ))),
        }
    }

    pub(super) fn remove_node(
        &mut self,
        node: NodeId,
        force: bool,
    ) -> Result<MetaOutcome, ApiError> {
        self.check_removal(node, force)?;
        self.nodes.remove(&node);
        let moved = self.change_peers(|peers| {
            let others = peers.iter().copied();
            others.filter(|peer| *peer != node).collect()
        });
        Ok(MetaOutcome::NodeChanged { node, moved })
    }

    fn change_peers(&mut self, change: impl Fn(&[NodeId]) -> Vec<NodeId>) -> Vec<Moved> {
        let mut moved = Vec::new();
        for entry in self.streams.values_mut() {
            let peers = change(&entry.peers);
            if peers != entry.peers {
                moved.push(Moved {
                    group: entry.group,
                    was: std::mem::replace(&mut entry.peers, peers.clone()),
                    peers,
                });
            }
        }
        moved
    }

    /// What was chosen at the proposer has to be possible still: nodes may have gone meanwhile.
    pub(super) fn check_peers(
        &self,
        config: &StreamConfig,
        peers: &[NodeId],
    ) -> Result<(), ApiError> {
        let replicas = usize::try_from(config.num_replicas).unwrap_or(usize::MAX);
        let is_new = |(place, peer): (usize, &NodeId)| !peers[..place].contains(peer);
        let possible = match self.is_alone() {
            true => peers.is_empty(),
            false => {
                peers.len() == replicas
                    && peers.iter().all(|peer| self.nodes.contains_key(peer))
                    && peers.iter().enumerate().all(is_new)
            }
        };
        match possible {
            true => Ok(()),
            false => Err(ApiError::no_suitable_peers(
                "no suitable peers for placement",
            )),
        }
    }
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
