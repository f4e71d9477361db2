//! What all Raft groups of a node share.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::options::RaftOptions;
use super::peers::Peers;
use super::snapshot::Snapshots;
use crate::NodeId;
use crate::budget::Budget;
use crate::commits::SharedCommits;
use crate::lane::Shared;

pub(crate) struct Node<R> {
    pub(crate) here: NodeId,
    pub(crate) options: RaftOptions,
    pub(crate) config: Arc<openraft::Config>,
    pub(crate) runtime: Handle,
    pub(crate) peers: Arc<Peers>,
    pub(crate) commits: SharedCommits<R>,
    /// Of what is proposed here, those that stand alone included.
    pub(crate) budget: Arc<Budget>,
    /// Of what is handed on without having been proposed here.
    pub(crate) handed_on: Arc<Budget>,
    pub(crate) snapshots: Arc<dyn Snapshots>,
    pub(crate) lane: Arc<Shared<R>>,
    /// Everything that runs for the groups. Whoever shuts the node down waits for it.
    tasks: Mutex<JoinSet<()>>,
}

impl<R: Send + 'static> Node<R> {
    pub(crate) fn new(
        (here, options): (NodeId, RaftOptions),
        (config, runtime, peers): (Arc<openraft::Config>, Handle, Arc<Peers>),
        (commits, snapshots): (SharedCommits<R>, Arc<dyn Snapshots>),
        lane: Arc<Shared<R>>,
    ) -> Self {
        Self {
            here,
            options,
            config,
            runtime,
            peers,
            commits,
            budget: Arc::clone(&lane.budget),
            handed_on: Budget::new(options.pending_bytes_max),
            snapshots,
            lane,
            tasks: Mutex::default(),
        }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are through need not be kept.
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of a Raft group has panicked");
            }
        }
        tasks.spawn_on(task, &self.runtime);
    }

    /// Waits until everything has ended; what goes on without end is aborted.
    pub(crate) async fn join(&self) {
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }

    /// Nothing is written any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.lane.groups().ended.is_some()
    }
}
