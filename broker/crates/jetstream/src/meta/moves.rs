//! Where a stream lives from now on: chosen at the proposer, carried in the command.
//!
//! What the meta state remembers is where a stream *shall* live. Who keeps it at the moment is the
//! membership of its group, which follows.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use hitherto_protocol::Timestamp;

use super::placement::{Candidate, Misfits, Wanted, choose};
use super::{ClusterView, Meta, MetaCommand, MetaOutcome, Moved, Node, NodeEntry, StreamEntry};
use crate::api::ApiError;
use crate::{NodeId, Placement, Storage, StreamConfig};

/// What the streams ask of one node.
#[derive(Default, Clone, Copy)]
struct Load {
    streams: usize,
    led: usize,
    /// Bytes they promise to hold at most.
    reserved: u64,
}

impl Meta {
    /// The nodes for a new stream; none on a node on its own.
    pub(super) fn place(
        &self,
        config: &StreamConfig,
        view: &ClusterView,
    ) -> Result<Vec<NodeId>, ApiError> {
        if self.is_alone() {
            return alone(config);
        }
        let wanted = wanted(config, &[], view);
        choose(&wanted, &self.candidates(config, view)).map_err(no_suitable_peers)
    }

    /// The nodes for a stream that gets another configuration; none leaves it where it is.
    pub(super) fn place_anew(
        &self,
        entry: &StreamEntry,
        config: &StreamConfig,
        view: &ClusterView,
    ) -> Result<Vec<NodeId>, ApiError> {
        let moves = entry.config.placement != config.placement;
        let scales = entry.config.num_replicas != config.num_replicas;
        if self.is_alone() {
            return alone(config);
        }
        if moves && scales {
            return Err(ApiError::move_and_scale());
        }
        self.check_growth(entry, config)?;
        if !moves && !scales {
            return Ok(Vec::new());
        }
        let all = self.known(&entry.peers);
        let fitting = wanted(config, &[], view);
        let keep: Vec<&Node> = all
            .into_iter()
            .filter(|node| !moves || fitting.suits(node))
            .collect();
        let wanted = wanted(config, &keep, view);
        match wanted.replicas.cmp(&keep.len()) {
            Ordering::Less => Ok(self.shrunk(&keep, wanted.replicas, view)),
            Ordering::Equal | Ordering::Greater => {
                choose(&wanted, &self.candidates(config, view)).map_err(no_suitable_peers)
            }
        }
    }

    /// The command that takes a peer from a stream and gives it another one instead.
    ///
    /// # Errors
    ///
    /// 10010 on a node on its own, 10059, 10040 when the node does not keep the stream, 10075 when no other
    /// one can.
    pub fn without_peer(
        &self,
        name: &str,
        peer: NodeId,
        view: &ClusterView,
        at: Timestamp,
    ) -> Result<MetaCommand, ApiError> {
        if self.is_alone() {
            return Err(ApiError::cluster_required());
        }
        let entry = self.find(name).ok_or_else(ApiError::stream_not_found)?;
        if !entry.peers.contains(&peer) {
            return Err(ApiError::peer_not_member());
        }
        let command = self.replacing(entry, |other| other == peer, view, at);
        command.ok_or_else(ApiError::peer_remap_failed)
    }

    /// The next move there is to make, by name: of a stream with a peer on a node that is being emptied, or
    /// with fewer peers than it asks for. `None` when there is nothing to do, or no room to do it.
    ///
    /// One at a time, so that each sees what the one before it has changed, and copying stays bounded. A
    /// stream that nobody keeps is left alone: another node would begin it empty.
    pub fn next_move(&self, view: &ClusterView, at: Timestamp) -> Option<MetaCommand> {
        let is_leaving = |peer: NodeId| self.node(peer).is_some_and(|entry| entry.leaving);
        let mut streams = self.streams.values().filter(|entry| {
            let staying = entry.peers.iter().filter(|peer| !is_leaving(**peer));
            !entry.peers.is_empty() && staying.count() < replicas_of(&entry.config)
        });
        streams.find_map(|entry| self.replacing(entry, is_leaving, view, at))
    }

    /// The streams a node keeps, sorted by name.
    pub fn kept_by(&self, node: NodeId) -> impl Iterator<Item = (&str, &StreamEntry)> {
        self.iter()
            .filter(move |(_, entry)| entry.peers.contains(&node))
    }

    /// Who shall lead a stream in place of the one in `view`; `None` lets the group choose.
    ///
    /// # Errors
    ///
    /// 10010 on a node on its own, 10059, 10005 when the wish leaves nobody, in the words of nats-server 2.15.
    pub fn successor(
        &self,
        name: &str,
        wish: Option<&Placement>,
        view: &ClusterView,
    ) -> Result<Option<NodeId>, ApiError> {
        if self.is_alone() {
            return Err(ApiError::cluster_required());
        }
        let entry = self.find(name).ok_or_else(ApiError::stream_not_found)?;
        let Some(wish) = wish.filter(|wish| **wish != Placement::default()) else {
            return Ok(None);
        };
        let preferred = &wish.preferred;
        if !preferred.is_empty() {
            let found = self.find_peer(preferred);
            let text = match found.filter(|peer| entry.peers.contains(peer)) {
                None => format!("preferred server {preferred:?} not known"),
                Some(peer) if Some(peer) == view.leader => {
                    format!("preferred server {preferred:?} is already leader")
                }
                Some(peer) => return Ok(Some(peer)),
            };
            return Err(ApiError::no_suitable_peers(&text));
        }
        let wanted = Wanted {
            placement: Some(wish),
            ..wanted(&entry.config, &[], view)
        };
        let mut others = self.known(&entry.peers).into_iter().filter(|node| {
            Some(node.id) != view.leader && !view.offline.contains(&node.id) && wanted.suits(node)
        });
        let none = || ApiError::no_suitable_peers("no replacement peer connected");
        others.next().map(|node| Some(node.id)).ok_or_else(none)
    }

    pub(super) fn move_stream(
        &mut self,
        name: &str,
        was: &[NodeId],
        peers: Vec<NodeId>,
    ) -> Result<MetaOutcome, ApiError> {
        self.check_move(name, was, &peers)?;
        let Some(entry) = self.streams.get_mut(name) else {
            return Err(ApiError::stream_not_found());
        };
        let was = std::mem::replace(&mut entry.peers, peers.clone());
        let group = entry.group;
        Ok(MetaOutcome::Moved(Moved { group, was, peers }))
    }

    pub(super) fn check_move(
        &self,
        name: &str,
        was: &[NodeId],
        peers: &[NodeId],
    ) -> Result<(), ApiError> {
        let entry = self.find(name).ok_or_else(ApiError::stream_not_found)?;
        if entry.peers != was {
            return Err(ApiError::reconfigure_in_progress());
        }
        self.check_peers(&entry.config, peers)
    }

    /// Moves the stream away from the peers that go, as far as others can be found for all of them.
    fn replacing(
        &self,
        entry: &StreamEntry,
        goes: impl Fn(NodeId) -> bool,
        view: &ClusterView,
        at: Timestamp,
    ) -> Option<MetaCommand> {
        let peers = self.known(&entry.peers);
        let keep: Vec<&Node> = peers.into_iter().filter(|node| !goes(node.id)).collect();
        let mut candidates = self.candidates(&entry.config, view);
        candidates.retain(|candidate| !goes(candidate.node.id));
        let peers = choose(&wanted(&entry.config, &keep, view), &candidates).ok()?;
        Some(MetaCommand::MoveStream {
            name: entry.config.name.clone(),
            was: entry.peers.clone(),
            peers,
            at,
        })
    }

    /// The peers that are left of a stream that is scaled down: whoever leads it first, then those that
    /// answer and stay, then those with the fewest streams.
    fn shrunk(&self, peers: &[&Node], to: usize, view: &ClusterView) -> Vec<NodeId> {
        let loads = self.loads(Storage::File);
        let mut order: Vec<NodeId> = peers.iter().map(|node| node.id).collect();
        order.sort_by_key(|peer| {
            let leads = Some(*peer) == view.leader;
            let is_leaving = self.node(*peer).is_some_and(|entry| entry.leaving);
            let streams = loads.get(peer).map_or(0, |load| load.streams);
            (!leads, view.offline.contains(peer), is_leaving, streams)
        });
        order.truncate(to);
        order
    }

    /// A stream that promises more than before needs the room on each of its nodes.
    fn check_growth(&self, entry: &StreamEntry, config: &StreamConfig) -> Result<(), ApiError> {
        let growth = promised(config).saturating_sub(promised(&entry.config));
        if growth == 0 {
            return Ok(());
        }
        let storage = config.storage;
        let loads = self.loads(storage);
        let fits = |node: &&Node| {
            let load = loads.get(&node.id).copied().unwrap_or_default();
            let free = node.free(storage, load.reserved);
            free.is_none_or(|free| free >= growth)
        };
        match (self.known(&entry.peers).iter().all(fits), storage) {
            (true, _) => Ok(()),
            (false, Storage::File) => Err(ApiError::storage_exceeded()),
            (false, Storage::Memory) => Err(ApiError::memory_exceeded()),
        }
    }

    /// The nodes that take streams.
    fn candidates(&self, config: &StreamConfig, view: &ClusterView) -> Vec<Candidate<'_>> {
        let loads = self.loads(config.storage);
        let staying = self.nodes().filter(|entry| !entry.leaving);
        let candidates = staying.map(|NodeEntry { node, .. }| {
            let load = loads.get(&node.id).copied().unwrap_or_default();
            Candidate {
                node,
                is_online: !view.offline.contains(&node.id),
                free: node.free(config.storage, load.reserved),
                streams: load.streams,
                led: load.led,
            }
        });
        candidates.collect()
    }

    /// What the streams ask of each node; bytes of one kind of storage.
    fn loads(&self, storage: Storage) -> BTreeMap<NodeId, Load> {
        let mut loads: BTreeMap<NodeId, Load> = BTreeMap::new();
        for (_, entry) in self.iter() {
            for (place, peer) in entry.peers.iter().enumerate() {
                let load = loads.entry(*peer).or_default();
                load.streams += 1;
                load.led += usize::from(place == 0);
                if entry.config.storage == storage {
                    load.reserved = load.reserved.saturating_add(promised(&entry.config));
                }
            }
        }
        loads
    }

    fn known(&self, peers: &[NodeId]) -> Vec<&Node> {
        let known = peers.iter().filter_map(|peer| self.nodes.get(peer));
        known.map(|entry| &entry.node).collect()
    }
}

/// A node on its own keeps one copy, whatever its limits let a cluster keep.
fn alone(config: &StreamConfig) -> Result<Vec<NodeId>, ApiError> {
    match config.num_replicas {
        0 | 1 => Ok(Vec::new()),
        _ => Err(ApiError::replicas_not_supported()),
    }
}

fn wanted<'a>(config: &'a StreamConfig, keep: &'a [&'a Node], view: &'a ClusterView) -> Wanted<'a> {
    Wanted {
        replicas: replicas_of(config),
        placement: config.placement.as_ref(),
        bytes: promised(config),
        cluster: &view.name,
        unique_tag: view.unique_tag.as_deref(),
        keep,
    }
}

fn replicas_of(config: &StreamConfig) -> usize {
    usize::try_from(config.num_replicas.max(1)).unwrap_or(usize::MAX)
}

/// The bytes a stream promises to hold at most; 0 when it sets no `max_bytes`.
pub(super) fn promised(config: &StreamConfig) -> u64 {
    u64::try_from(config.max_bytes).unwrap_or(0)
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "`map_err` hands over the value"
)]
fn no_suitable_peers(misfits: Misfits) -> ApiError {
    ApiError::no_suitable_peers(&misfits.to_string())
}

#[cfg(test)]
#[path = "moves_tests.rs"]
mod tests;
