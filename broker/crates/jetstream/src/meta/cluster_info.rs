//! What infos show of the nodes that keep a stream.

use std::time::Duration;

use hitherto_protocol::Timestamp;

use super::{ClusterView, Meta, NodeEntry, StreamEntry};
use crate::api::{ClusterInfo, PeerInfo};
use crate::{GroupId, NodeId, Storage, StreamConfig};

/// How the group of a stream is, as the node that answers knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupView {
    /// Who leads it; `None` when nobody is known to.
    pub leader: Option<NodeId>,
    /// Since when, if the node that answers leads it.
    pub leader_since: Option<Timestamp>,
    /// What it has heard of the other peers; those it has heard nothing of may be missing.
    pub peers: Vec<PeerView>,
}

/// Another peer of a group, as its leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerView {
    /// The peer.
    pub node: NodeId,
    /// How many entries of the log it lacks.
    pub lag: u64,
    /// How long ago it answered; `None` when it never did.
    pub last_contact: Option<Duration>,
}

impl PeerView {
    /// A peer that was silent for longer, 2 seconds, is not called current: an election may be under way.
    pub const CONTACT_MAX: Duration = Duration::from_secs(2);

    fn is_current(&self) -> bool {
        let contact = self.last_contact;
        self.lag == 0 && contact.is_some_and(|ago| ago <= Self::CONTACT_MAX)
    }
}

impl Meta {
    /// Where a stream lives, and with it its consumers, which have no group of their own; `None` on a node on
    /// its own.
    pub fn cluster_info(
        &self,
        entry: &StreamEntry,
        group: &GroupView,
        view: &ClusterView,
    ) -> Option<ClusterInfo> {
        if self.is_alone() {
            return None;
        }
        let others = entry.peers.iter().copied();
        let others = others.filter(|peer| Some(*peer) != group.leader);
        let is_replicated = entry.config.num_replicas > 1;
        let leader = group.leader.and_then(|node| self.node(node));
        let replicas: Vec<PeerInfo> = others
            .filter_map(|peer| self.peer_info(peer, group, view))
            .collect();
        Some(ClusterInfo {
            name: Some(view.name.clone()),
            raft_group: is_replicated.then(|| raft_group(entry.group, &entry.config)),
            leader: leader.map(|entry| entry.node.name.clone()),
            leader_since: group.leader_since.filter(|_| is_replicated),
            replicas,
        })
    }

    fn peer_info(&self, peer: NodeId, group: &GroupView, view: &ClusterView) -> Option<PeerInfo> {
        let NodeEntry { node, .. } = self.node(peer)?;
        let heard = group.peers.iter().find(|heard| heard.node == peer);
        let offline = view.offline.contains(&peer);
        Some(PeerInfo {
            name: node.name.clone(),
            current: !offline && heard.is_some_and(PeerView::is_current),
            offline,
            active: heard
                .and_then(|heard| heard.last_contact)
                .unwrap_or_default(),
            lag: heard.map_or(0, |heard| heard.lag),
            peer: peer.to_string(),
        })
    }
}

/// In the form of nats-server, whose last part is random: `S-R3F-00000012`.
fn raft_group(group: GroupId, config: &StreamConfig) -> String {
    let storage = match config.storage {
        Storage::File => 'F',
        Storage::Memory => 'M',
    };
    format!("S-R{}{storage}-{:08}", config.num_replicas, group.0)
}

#[cfg(test)]
#[path = "cluster_info_tests.rs"]
mod tests;
