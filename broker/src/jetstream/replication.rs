//! What a node of a cluster has beside one on its own: the log it shares with the others, and what it knows of
//! them.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use hitherto_cluster::{
    Inbox, Leadership, OpenError, RaftLog, RaftOptions, RaftParts, RaftSnapshot, RecoveredGroups,
    SnapshotFile, Snapshots,
};
use hitherto_jetstream::api::ClusterInfo;
use hitherto_jetstream::{
    ByStorage, ClusterView, GroupId, GroupView, Limits, LogIndex, Meta, Node, NodeId, PeerView,
};
use hitherto_platform::{Disk, Entropy};
use hitherto_storage::Wal;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::replicas::Keeping;
use super::taking::ToShards;
use super::telling::Receipt;
use crate::route::{self, LogLinks};

/// What makes a node one of a cluster.
pub(crate) struct Seat {
    /// This node.
    pub(crate) here: NodeId,
    /// The name of the server.
    pub(crate) name: String,
    /// The name of the cluster.
    pub(crate) cluster: String,
    /// The way to the others.
    pub(crate) links: Arc<LogLinks>,
    /// Where the tasks of the groups run.
    pub(crate) runtime: Handle,
    /// Whether a new store begins a cluster; otherwise the node waits until one admits it.
    pub(crate) founds: bool,
    /// The founder of the cluster that has admitted the node, as its store says.
    pub(crate) founder: Option<NodeId>,
    /// Where that is noted.
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
}

/// The replicated groups of this node.
pub(crate) struct Replication {
    pub(crate) seat: Seat,
    pub(crate) log: Arc<RaftLog<Receipt>>,
    /// The meta state as applied here, for those who are not on its shard.
    meta: Mutex<Arc<Meta>>,
    /// The founder of the cluster that has admitted this node.
    founder: OnceLock<NodeId>,
    /// What goes on in the background.
    tasks: Mutex<JoinSet<()>>,
}

impl Replication {
    /// Starts the log on what its replay found. No group is open yet.
    ///
    /// # Errors
    /// As [`RaftLog::start`].
    pub(crate) fn start(
        seat: Seat,
        (wal, recovered): (Wal, RecoveredGroups),
        commits: ToShards,
        entropy: Arc<dyn Entropy>,
    ) -> io::Result<Arc<Self>> {
        let parts = RaftParts {
            here: seat.here,
            links: Arc::<LogLinks>::clone(&seat.links),
            snapshots: Arc::new(NoSnapshots),
            entropy,
            runtime: seat.runtime.clone(),
            options: RaftOptions::default(),
        };
        let log = Arc::new(RaftLog::start(wal, recovered, commits, parts)?);
        let inbox: Arc<dyn Inbox> = Arc::<RaftLog<Receipt>>::clone(&log);
        seat.links.set_inbox(Arc::downgrade(&inbox));
        let founder = OnceLock::new();
        if let Some(noted) = seat.founder {
            founder.get_or_init(|| noted);
        }
        Ok(Arc::new(Self {
            founder,
            seat,
            log,
            meta: Mutex::new(Arc::new(Meta::new(Limits::default()))),
            tasks: Mutex::default(),
        }))
    }

    /// Opens a group that has the effect of its entries up to `applied`.
    ///
    /// # Errors
    /// As [`RaftLog::open_replicated`].
    pub(crate) fn open(
        &self,
        group: GroupId,
        applied: LogIndex,
        first_voters: &[NodeId],
    ) -> Result<Keeping, OpenError> {
        let voters = first_voters.iter().copied();
        self.log.open_replicated(group, applied, voters)?;
        Ok(Keeping::Group(Leadership::default()))
    }

    /// Takes a group off this node, with its log.
    pub(crate) fn remove(&self, group: GroupId) {
        let log = Arc::clone(&self.log);
        self.spawn(async move {
            if let Err(error) = log.remove_replicated(group).await {
                tracing::warn!(%group, %error, "the log of a deleted stream is removed at the next start");
            }
        });
    }

    /// Who leads the meta group; `None` when nobody is known to.
    pub(crate) fn meta_leader(&self) -> Option<NodeId> {
        self.log.leadership(GroupId::META)?.leader
    }

    /// Tells whether this node leads the meta group.
    pub(crate) fn leads_meta(&self) -> bool {
        let leadership = self.log.leadership(GroupId::META);
        leadership.is_some_and(|leadership| leadership.is_here)
    }

    /// The first node was admitted: its id names the cluster for good. Those of other clusters are refused from now
    /// on, and after a restart.
    pub(crate) fn note_founder(&self, founder: NodeId) {
        if self.founder.get().is_some() {
            return;
        }
        self.founder.get_or_init(|| founder);
        let id = route::NodeId::from(founder);
        if let Err(error) = id.note_cluster(&*self.seat.disk, &self.seat.dir) {
            tracing::error!(%error, "cannot note which cluster this node belongs to");
        }
        self.seat.links.set_cluster_id(founder);
    }

    /// Says to other nodes which cluster this one belongs to, if it does; a founder is of its own from the start.
    pub(crate) fn tell_founder(&self) {
        let own = self.seat.founds.then_some(self.seat.here);
        if let Some(founder) = self.founder.get().copied().or(own) {
            self.seat.links.set_cluster_id(founder);
        }
    }

    /// Says in the log what this start means for the cluster.
    pub(crate) fn log_what_it_does(&self) {
        let cluster = &self.seat.cluster;
        match (self.founder.get(), self.seat.founds) {
            (Some(founder), _) => tracing::info!(cluster, %founder, "the node is one of a cluster"),
            (None, true) => tracing::info!(cluster, "the node founds a cluster"),
            (None, false) => tracing::warn!(
                cluster,
                "JetStream waits until a cluster admits this node; if there is none yet, start exactly one \
                 node with bootstrap: true in its section cluster, or without routes"
            ),
        }
    }

    /// Notes the meta state, which changes seldom.
    pub(crate) fn note_meta(&self, meta: &Meta) {
        *lock(&self.meta) = Arc::new(meta.clone());
    }

    pub(crate) fn is_admitted(&self, node: NodeId) -> bool {
        self.meta().node(node).is_some()
    }

    fn meta(&self) -> Arc<Meta> {
        Arc::clone(&lock(&self.meta))
    }

    /// A node as the meta group is told of it.
    pub(crate) fn describe(&self, id: NodeId, name: String) -> Node {
        Node {
            id,
            name,
            tags: Vec::new(),
            limits: ByStorage::default(),
            used: ByStorage::default(),
        }
    }

    /// What is known of the cluster beside the meta state.
    pub(crate) fn view(&self, group: Option<GroupId>) -> ClusterView {
        let leader = group.and_then(|group| self.log.leadership(group)?.leader);
        let meta = self.meta();
        let admitted = meta.nodes().map(|entry| entry.node.id);
        let is_away = |node: &NodeId| *node != self.seat.here && !self.seat.links.is_linked(*node);
        ClusterView {
            name: self.seat.cluster.clone(),
            unique_tag: None,
            offline: admitted.filter(is_away).collect(),
            leader,
        }
    }

    /// Where a stream lives, as this node, which leads it, knows.
    pub(crate) fn cluster_info(&self, stream: &str, group: GroupId) -> Option<ClusterInfo> {
        let meta = self.meta();
        let entry = meta.find(stream).filter(|entry| entry.group == group)?;
        meta.cluster_info(entry, &self.group_view(group), &self.view(Some(group)))
    }

    fn group_view(&self, group: GroupId) -> GroupView {
        let status = self.log.status(group).unwrap_or_default();
        let peers = status.peers.iter().map(|peer| PeerView {
            node: peer.node,
            lag: peer.lag,
            last_contact: peer.last_contact,
        });
        GroupView {
            leader: status.leadership.leader,
            leader_since: None,
            peers: peers.collect(),
        }
    }

    /// Runs something until it is through or the node ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.seat.runtime);
    }

    /// Ends all groups, writes what was taken, and ends the log. Blocks; not to be called from a task.
    pub(crate) fn shutdown(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        self.seat.runtime.block_on(async {
            tasks.shutdown().await;
            self.log.shutdown().await;
        });
    }

    /// Lets go of everything at once.
    pub(crate) fn abandon(&self) {
        lock(&self.tasks).abort_all();
        hitherto_cluster::Log::end(&*self.log);
    }
}

/// The log of a group is never shortened, so nobody needs a snapshot in place of entries.
struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn take(&self, _: GroupId) -> io::Result<RaftSnapshot> {
        Err(unsupported())
    }

    fn read(&self, _: GroupId, _: &SnapshotFile, _: u64, _: usize) -> io::Result<Bytes> {
        Err(unsupported())
    }

    fn received(&self, _: GroupId, _: &SnapshotFile) -> io::Result<u64> {
        Err(unsupported())
    }

    fn receive(&self, _: GroupId, _: &SnapshotFile, _: u64, _: &[u8]) -> io::Result<()> {
        Err(unsupported())
    }

    fn install(&self, _: GroupId, _: RaftSnapshot) -> io::Result<()> {
        Err(unsupported())
    }
}

fn unsupported() -> io::Error {
    let text = "groups have no snapshots: their logs are whole";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Replication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replication")
            .field("here", &self.seat.here)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}
