//! What is asked of a replicated group besides taking records: reads, leaders, voters, snapshots.

use std::collections::BTreeSet;
use std::time::Duration;

use hitherto_jetstream::{GroupId, LogIndex};
use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, LinearizableReadError, RaftError};
use tokio::time::timeout;

use super::RaftLog;
use super::raft_group::{Core, RaftGroup};
use super::status::GroupStatus;
use super::types::TypeConfig;
use crate::NodeId;
use crate::commits::Leadership;

/// How long a node that joins may take for one step: to have what was in the log when it was asked for. A
/// node that is slower must be asked for again.
const CATCH_UP_MAX: Duration = Duration::from_secs(600);

/// Why a group does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The group is not open on this node, or just starting.
    #[error("group {0} does not run on this node")]
    NotRunning(GroupId),
    /// Another node leads the group.
    #[error("this node does not lead the group; {}", match leader { Some(node) => format!("ask node {node}"), None => "no leader is known".to_owned() })]
    NotLeader {
        /// Who does; `None` when nobody is known to.
        leader: Option<NodeId>,
    },
    /// Too few nodes answer.
    #[error("too few nodes of the group answer for a decision")]
    NoQuorum,
    /// The voters are being changed.
    #[error("the voters of the group are being changed; wait until that is through")]
    ChangeInProgress,
    /// A node that joins does not catch up.
    #[error("node {0} has not caught up with the group")]
    Behind(NodeId),
    /// No other voter can lead.
    #[error("no other voter of the group is there to lead it")]
    NoSuccessor,
    /// The voters asked for make no group.
    #[error("the voters asked for make no group: {0}")]
    Refused(String),
    /// The core has ended while it was asked; whether it did it is unknown.
    #[error("the group was restarted meanwhile; whether it was done is unknown")]
    Unknown,
}

impl<R: Send + 'static> RaftLog<R> {
    /// Tells who leads a group; `None` when it is not open here.
    pub fn leadership(&self, group: GroupId) -> Option<Leadership> {
        Some(self.group(group)?.leadership())
    }

    /// Tells how a group is; `None` when it is not open here, or just starting.
    pub fn status(&self, group: GroupId) -> Option<GroupStatus> {
        let group = self.group(group)?;
        let core = group.core()?;
        let metrics = core.metrics();
        let metrics = metrics.borrow_watched();
        Some(GroupStatus::new(&metrics, group.leadership()))
    }

    /// Confirms with a majority that this node still leads, and returns the index a state machine must have
    /// applied to answer a read that sees every write acknowledged before the call.
    ///
    /// # Errors
    /// [`GroupError::NotLeader`], [`GroupError::NoQuorum`], [`GroupError::NotRunning`], [`GroupError::Unknown`].
    pub async fn read_index(&self, group: GroupId) -> Result<LogIndex, GroupError> {
        let (_, core) = self.running(group)?;
        match core.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _)) => Ok(LogIndex(read.index())),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                Err(GroupError::not_leader(forward.leader_id))
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(GroupError::NoQuorum)
            }
            Err(RaftError::Fatal(_)) => Err(GroupError::Unknown),
        }
    }

    /// Asks a voter to lead in place of this node, which takes no records meanwhile. That it does is seen in
    /// [`RaftLog::leadership`]; if it does not, this node leads on or an election follows.
    ///
    /// # Errors
    /// [`GroupError::NotLeader`], [`GroupError::NoSuccessor`] when the node is no voter, [`GroupError::NotRunning`],
    /// [`GroupError::Unknown`].
    pub async fn transfer_leader(&self, group: GroupId, to: NodeId) -> Result<(), GroupError> {
        let (open, core) = self.running(group)?;
        let status = GroupStatus::new(&core.metrics().borrow_watched(), open.leadership());
        status.must_lead()?;
        if !status.voters.contains(&to) {
            return Err(GroupError::NoSuccessor);
        }
        let asked = core.trigger().transfer_leader(to.0).await;
        asked.map_err(|_| GroupError::Unknown)
    }

    /// Asks the voter that lacks the least to lead in place of this node; returns it.
    ///
    /// # Errors
    /// As [`RaftLog::transfer_leader`].
    pub async fn step_down(&self, group: GroupId) -> Result<NodeId, GroupError> {
        let status = self.status(group).ok_or(GroupError::NotRunning(group))?;
        status.must_lead()?;
        let others = status.peers.iter();
        let others = others.filter(|peer| status.voters.contains(&peer.node));
        let best = others.max_by_key(|peer| (peer.matched, std::cmp::Reverse(peer.last_contact)));
        let to = best.ok_or(GroupError::NoSuccessor)?.node;
        self.transfer_leader(group, to).await?;
        Ok(to)
    }

    /// Makes a node follow the group without a vote, and waits until it has what the log had at the call.
    ///
    /// # Errors
    /// Those of [`RaftLog::change_voters`].
    pub async fn add_learner(&self, group: GroupId, learner: NodeId) -> Result<(), GroupError> {
        let (_, core) = self.running(group)?;
        let added = core.add_learner(learner.0, (), false).await;
        added.map_err(GroupError::of_change)?;
        self.until_caught_up(group, &core, learner).await
    }

    /// Changes who votes, in two steps that each need a majority of the old and of the new voters, so that no
    /// two majorities ever decide apart. New voters learn first, and catch up before they count.
    ///
    /// # Errors
    /// [`GroupError::NotLeader`], [`GroupError::ChangeInProgress`], [`GroupError::Behind`],
    /// [`GroupError::Refused`], [`GroupError::NotRunning`], [`GroupError::Unknown`]. After an error the
    /// group may have some of the new nodes as learners; asking again goes on from there.
    pub async fn change_voters(
        &self,
        group: GroupId,
        voters: impl IntoIterator<Item = NodeId>,
    ) -> Result<(), GroupError> {
        let voters: BTreeSet<u128> = voters.into_iter().map(|node| node.0).collect();
        let (open, core) = self.running(group)?;
        let status = GroupStatus::new(&core.metrics().borrow_watched(), open.leadership());
        status.must_lead()?;
        for node in voters.iter().map(|node| NodeId(*node)) {
            if !status.voters.contains(&node) {
                self.add_learner(group, node).await?;
            }
        }
        let changed = core.change_membership(voters, false).await;
        changed.map(drop).map_err(GroupError::of_change)
    }

    /// Lets the log of a group go up to what a snapshot holds, but for the last `keep` entries: the state
    /// machine is asked for a snapshot, and later ones find nodes that lack more.
    ///
    /// # Errors
    /// [`GroupError::NotRunning`], [`GroupError::Unknown`].
    pub async fn compact(&self, group: GroupId, keep: u64) -> Result<(), GroupError> {
        let (_, core) = self.running(group)?;
        let before = core.metrics().borrow_watched().snapshot;
        let applied = core.metrics().borrow_watched().last_applied;
        let fatal = |_| GroupError::Unknown;
        core.trigger().snapshot().await.map_err(fatal)?;
        let mut metrics = core.metrics();
        let built = async {
            loop {
                let snapshot = metrics.borrow_watched().snapshot;
                if snapshot > before || snapshot.is_some() && snapshot >= applied {
                    return Ok(snapshot);
                }
                metrics.changed().await.map_err(|_| GroupError::Unknown)?;
            }
        };
        let built = timeout(CATCH_UP_MAX, built).await;
        let snapshot = built.map_err(|_| GroupError::Unknown)??;
        let upto = snapshot
            .map_or(0, |snapshot| snapshot.index)
            .saturating_sub(keep);
        core.trigger().purge_log(upto).await.map_err(fatal)
    }

    /// Waits until a node has what is in the log now.
    async fn until_caught_up(
        &self,
        group: GroupId,
        core: &Core<R>,
        node: NodeId,
    ) -> Result<(), GroupError> {
        let mut metrics = core.metrics();
        let target = metrics.borrow_watched().last_log_index;
        let caught_up = async {
            loop {
                let replication = metrics.borrow_watched().replication.clone();
                let replication = replication.ok_or(GroupError::not_leader(None))?;
                let matched = replication.get(&node.0).copied().flatten();
                if node == self.node.here || matched.map(|matched| matched.index) >= target {
                    return Ok(());
                }
                let changed = metrics.changed().await;
                changed.map_err(|_| GroupError::NotRunning(group))?;
            }
        };
        let caught_up = timeout(CATCH_UP_MAX, caught_up).await;
        caught_up.map_err(|_| GroupError::Behind(node))?
    }

    fn running(
        &self,
        group: GroupId,
    ) -> Result<(std::sync::Arc<RaftGroup<R>>, Core<R>), GroupError> {
        let not_running = || GroupError::NotRunning(group);
        let open = self.group(group).ok_or_else(not_running)?;
        let core = open.core().ok_or_else(not_running)?;
        Ok((open, core))
    }
}

impl GroupStatus {
    fn must_lead(&self) -> Result<(), GroupError> {
        match self.leadership.is_here {
            true => Ok(()),
            false => Err(GroupError::NotLeader {
                leader: self.leadership.leader,
            }),
        }
    }
}

impl GroupError {
    fn not_leader(leader: Option<u128>) -> Self {
        Self::NotLeader {
            leader: leader.map(NodeId),
        }
    }

    fn of_change(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Self {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                Self::not_leader(forward.leader_id)
            }
            RaftError::APIError(ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_),
            )) => Self::ChangeInProgress,
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
                Self::Refused(error.to_string())
            }
            RaftError::APIError(_) | RaftError::Fatal(_) => Self::Unknown,
        }
    }
}
