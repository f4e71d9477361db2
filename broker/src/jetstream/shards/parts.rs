//! What all shards share, and what they lend to their streams.

use std::sync::Arc;

use hitherto_cluster::OpenError;
use hitherto_jetstream::{GroupId, Limits, LogIndex, NodeId};
use hitherto_platform::Entropy;
use hitherto_protocol::Timestamp;

use crate::jetstream::files::Stores;
use crate::jetstream::orders::{Activity, KeeperBell, ShardQueues};
use crate::jetstream::replicas::{DamageReport, Hands, Keeping};
use crate::jetstream::replication::Replication;
use crate::jetstream::taking::{Directory, Intake, WaitingRoom};
use crate::jetstream::telling::{ApiFigures, Outlet};
use crate::services::Auditor;

/// What all shards share.
#[derive(Clone)]
pub(crate) struct ShardParts {
    /// The way to the shards.
    pub(crate) queues: ShardQueues,
    pub(crate) intake: Arc<Intake>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) stores: Arc<Stores>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) waiting_room: Arc<WaitingRoom>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) figures: Arc<ApiFigures>,
    pub(crate) damage: DamageReport,
    /// What the node allows its streams.
    pub(crate) limits: Arc<Limits>,
    pub(crate) keeper_bell: Arc<KeeperBell>,
    /// `None` on a node on its own.
    pub(crate) replication: Option<Arc<Replication>>,
    /// Tells who asked the API what.
    pub(crate) auditor: Arc<Auditor>,
}

impl ShardParts {
    /// Opens a group in the log. In a cluster `peers` are those who begin it.
    ///
    /// # Errors
    /// When its log does not go with what it has applied.
    pub(in crate::jetstream) fn open_group(
        &self,
        group: GroupId,
        applied: LogIndex,
        peers: &[NodeId],
    ) -> Result<Keeping, OpenError> {
        match &self.replication {
            None => {
                self.intake.log.open_group(group, applied);
                Ok(Keeping::Alone)
            }
            Some(replication) => replication.open(group, applied, peers),
        }
    }

    /// What a replica works with, borrowed from its shard.
    pub(super) fn hands<'a>(&'a self, outlet: &'a mut Outlet) -> Hands<'a> {
        Hands {
            now: self.now(),
            log: &*self.intake.log,
            entropy: &*self.entropy,
            bounds: &self.limits.consumers,
            replication: self.replication.as_deref(),
            outlet,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from(self.intake.clock.now())
    }
}
