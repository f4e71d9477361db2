//! How a replicated group is, as its node knows.

use std::time::Duration;

use hitherto_jetstream::LogIndex;
use openraft::{Instant as _, RaftMetrics};

use super::types::TypeConfig;
use crate::{Leadership, NodeId};

/// How a replicated group is on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupStatus {
    /// Who leads.
    pub leadership: Leadership,
    /// The last entry in this node's log.
    pub last: LogIndex,
    /// The last entry this node knows to be committed.
    pub committed: LogIndex,
    /// The last entry that was handed on here.
    pub applied: LogIndex,
    /// Entries up to here are gone from the log.
    pub purged: LogIndex,
    /// The nodes that vote, as this node's log has them; of both memberships while they change.
    pub voters: Vec<NodeId>,
    /// The nodes that only learn.
    pub learners: Vec<NodeId>,
    /// The other nodes, as the leader sees them; empty elsewhere.
    pub peers: Vec<PeerStatus>,
}

/// Another node of the group, as the leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStatus {
    /// The node.
    pub node: NodeId,
    /// The last entry it is known to have.
    pub matched: LogIndex,
    /// How many entries it lacks.
    pub lag: u64,
    /// How long ago it answered; `None` when it never did.
    pub last_contact: Option<Duration>,
}

impl GroupStatus {
    pub(crate) fn new(metrics: &RaftMetrics<TypeConfig>, leadership: Leadership) -> Self {
        let index = |id: Option<super::types::LogId>| LogIndex(id.map_or(0, |id| id.index));
        let last = LogIndex(metrics.last_log_index.unwrap_or_default());
        let heard = |node: u128| {
            let heard = metrics.heartbeat.as_ref()?.get(&node)?.as_ref()?;
            Some(heard.elapsed())
        };
        let others = metrics.replication.iter().flatten();
        let others = others.filter(|(node, _)| **node != metrics.id);
        let peers = others.map(|(node, matched)| {
            let matched = index(*matched);
            PeerStatus {
                node: NodeId(*node),
                matched,
                lag: last.0.saturating_sub(matched.0),
                last_contact: heard(*node),
            }
        });
        let membership = metrics.membership_config.membership();
        Self {
            leadership,
            last,
            committed: index(metrics.local_committed.max(metrics.cluster_committed)),
            applied: index(metrics.last_applied),
            purged: index(metrics.purged),
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
            peers: peers.collect(),
        }
    }
}
