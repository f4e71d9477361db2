//! The log of replicated groups: Raft, with openraft's core on the node's one log.
//!
//! * `group_log`, `wal_item`, `tail`, `recovered`, `log_store`: the entries of a group, in memory and in the log
//!   of the node, and openraft's storage traits on them.
//! * `raft_group`, `pending`, `machine`: one group: batches go in, committed entries come out.
//! * `wire`, `codec`, `peers`, `client`, `fetching`: what nodes say to each other.

mod client;
mod codec;
mod fetching;
mod group_log;
mod latch;
mod log_store;
mod machine;
mod membership;
mod node;
mod options;
mod peers;
mod pending;
mod raft_group;
mod recovered;
mod snapshot;
mod status;
mod tail;
mod types;
mod wal_item;
mod wire;

#[cfg(test)]
mod restart_tests;
#[cfg(test)]
mod storage_tests;
#[cfg(test)]
mod suite_tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_platform::Entropy;
use hitherto_storage::{Wal, WalPosition, WalReader};
use tokio::runtime::Handle;

use self::group_log::GroupLog;
use self::machine::Progress;
use self::node::Node;
use self::peers::Peers;
use self::raft_group::RaftGroup;
use self::tail::Tail;
use self::wire::{Body, Message};
use crate::commits::SharedCommits;
use crate::links::{Inbox, Links};
use crate::{
    Commits, Durability, Encode, Log, LogIsBroken, NodeId, Refusal, Refused, SoloLog, SoloOptions,
};

pub use self::membership::GroupError;
pub use self::options::RaftOptions;
pub use self::recovered::RecoveredGroups;
pub use self::snapshot::{RaftSnapshot, SnapshotFile, Snapshots};
pub use self::status::{GroupStatus, PeerStatus};

/// The log of a node of a cluster: of the groups it shares with others, and of those it has alone.
///
/// All of them lie in one write-ahead log, one write and one sync for all. Groups opened with
/// [`Log::open_group`] stand alone, as in a [`SoloLog`]; those opened with [`RaftLog::open_replicated`] are
/// committed when a majority of their voters has them on disk.
pub struct RaftLog<R: Send + 'static> {
    solo: SoloLog<R>,
    node: Arc<Node<R>>,
    places: Arc<Places<R>>,
    tail: Arc<Tail>,
    reader: WalReader,
}

/// The replicated groups. Each is in one place, and keeps its part of the log in both. Lock order: as they stand.
struct Places<R: Send + 'static> {
    /// Those that are open, or being closed.
    open: RwLock<BTreeMap<GroupId, Arc<RaftGroup<R>>>>,
    /// What the replay found and nobody has opened yet, and what was closed.
    unopened: Mutex<BTreeMap<GroupId, Arc<GroupLog>>>,
}

/// Why a replicated group is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its log does not go with its state machine.
    #[error(transparent)]
    Broken(#[from] LogIsBroken),
    /// It is being closed; [`RaftLog::close_replicated`] waits for that.
    #[error("group {0} is still being closed")]
    Closing(GroupId),
}

/// What a [`RaftLog`] is made of.
pub struct RaftParts {
    /// This node.
    pub here: NodeId,
    /// The links to the others. What they send goes to the log's [`Inbox`].
    pub links: Arc<dyn Links>,
    /// The state machines, as far as snapshots concern them.
    pub snapshots: Arc<dyn Snapshots>,
    /// Where calls and streams get the numbers from that tell this life of the node from earlier ones.
    pub entropy: Arc<dyn Entropy>,
    /// Where the tasks of the groups run.
    pub runtime: Handle,
    /// Times and limits.
    pub options: RaftOptions,
}

impl<R: Send + 'static> RaftLog<R> {
    /// Starts the log on what its replay found.
    ///
    /// # Errors
    /// `InvalidData` when a group lacks entries or a vote it must have (the source is a [`LogIsBroken`]), `Other` when the
    /// options make no sense, and when the operating system gives no thread.
    pub fn start(
        wal: Wal,
        recovered: RecoveredGroups,
        commits: impl Commits<R>,
        parts: RaftParts,
    ) -> io::Result<Self> {
        let invalid = |error: LogIsBroken| io::Error::new(io::ErrorKind::InvalidData, error);
        recovered.check().map_err(invalid)?;
        recovered.check_votes().map_err(invalid)?;
        let config = parts.options.to_config()?;
        let (reader, commits) = (wal.reader(), SharedCommits::new(commits));
        let solo = SoloOptions {
            pending_bytes_max: parts.options.pending_bytes_max,
        };
        let solo = SoloLog::start(wal, commits.clone(), solo)?;
        let peers = Peers::new(parts.links, parts.runtime.clone(), parts.entropy.u64());
        let tail = Arc::new(Tail::new(parts.options.tail_bytes_max));
        let lane = solo.lane();
        let unopened = recovered.groups.into_iter().map(|(group, entries)| {
            let parts = (Arc::clone(&lane), reader.clone(), Arc::clone(&tail));
            (group, GroupLog::new(group, entries, parts))
        });
        Ok(Self {
            places: Arc::new(Places {
                open: RwLock::default(),
                unopened: Mutex::new(unopened.collect()),
            }),
            node: Arc::new(Node::new(
                (parts.here, parts.options),
                (config, parts.runtime, peers),
                (commits, parts.snapshots),
                solo.shared(),
            )),
            solo,
            tail,
            reader,
        })
    }

    /// Opens a replicated group, whose state machine has the effect of the entries up to `applied`; entries
    /// after it are handed over as they are known to be committed, those in the log already among them. A group that is
    /// open stays as it is.
    ///
    /// A group that has no log yet begins with `first_voters`, which must be the same on all of them; a node that
    /// joins later is given none and waits for the leader to find it.
    ///
    /// # Errors
    /// [`OpenError::Broken`] when the log ends before `applied` or begins behind it, and [`OpenError::Closing`].
    pub fn open_replicated(
        &self,
        group: GroupId,
        applied: LogIndex,
        first_voters: impl IntoIterator<Item = NodeId>,
    ) -> Result<(), OpenError> {
        let open = self.places.open.write();
        let mut groups = open.unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = groups.get(&group) {
            return match open.is_closing() {
                true => Err(OpenError::Closing(group)),
                false => Ok(()),
            };
        }
        let mut unopened = self.unopened();
        let log = unopened.remove(&group).unwrap_or_else(|| {
            let parts = (
                self.solo.lane(),
                self.reader.clone(),
                Arc::clone(&self.tail),
            );
            GroupLog::new(group, group_log::Entries::default(), parts)
        });
        let Ok(progress) = Progress::begin(&log, applied) else {
            unopened.insert(group, log);
            let what = "the log does not have the entry the state machine is at";
            let index = applied;
            return Err(LogIsBroken { group, index, what }.into());
        };
        let first_voters = first_voters.into_iter().map(|node| node.0).collect();
        let node = Arc::clone(&self.node);
        let started = RaftGroup::start(group, node, (log, progress), first_voters);
        groups.insert(group, started);
        Ok(())
    }

    /// Ends a replicated group on this node; its log stays for the next [`RaftLog::open_replicated`]. What was
    /// proposed comes back as failed or undecided.
    pub async fn close_replicated(&self, group: GroupId) {
        if let Some(closing) = self.begin_close(group) {
            closing.until_put_away().await;
        }
    }

    /// Begins to close a group, which is put away when that is through; `None` when it is not open.
    fn begin_close(&self, group: GroupId) -> Option<Arc<RaftGroup<R>>> {
        let closing = self.group(group)?;
        if closing.begin_close() {
            let (closing, places) = (Arc::clone(&closing), Arc::clone(&self.places));
            self.node.spawn(async move {
                closing.until_ended().await;
                let mut open = places.open.write().unwrap_or_else(PoisonError::into_inner);
                open.remove(&group);
                let log = Arc::clone(closing.log());
                places.unopened().insert(group, log);
                closing.note_put_away();
            });
        }
        Some(closing)
    }

    /// Takes a group away from this node with all of its log. Durable when it returns `Ok`. The others go on
    /// without it, and should have been told by a change of the voters.
    ///
    /// # Errors
    /// When the log has failed.
    pub async fn remove_replicated(&self, group: GroupId) -> Result<(), crate::LogError> {
        self.close_replicated(group).await;
        let log = self.unopened().get(&group).cloned();
        let Some(log) = log else {
            return Ok(());
        };
        let (told, removed) = tokio::sync::oneshot::channel();
        log.remove(Box::new(move |written| drop(told.send(written))));
        removed.await.unwrap_or(Err(crate::LogError::Failed))?;
        // Until then it keeps its part of the log.
        let mut unopened = self.unopened();
        if unopened
            .get(&group)
            .is_some_and(|held| Arc::ptr_eq(held, &log))
        {
            unopened.remove(&group);
        }
        Ok(())
    }

    /// Ends all groups, writes what was taken, and ends the lane. A second call does nothing.
    pub async fn shutdown(&self) {
        // A core that waits for a vote to be written does not end, and on a full disk it would wait for ever.
        self.node.lane.desk().gives_up_items = true;
        let open: Vec<_> = self.groups().keys().copied().collect();
        let closing: Vec<_> = open
            .into_iter()
            .filter_map(|group| self.begin_close(group))
            .collect();
        for group in closing {
            group.until_put_away().await;
        }
        self.node.peers.shutdown();
        self.node.join().await;
        // Joins a thread that writes for some milliseconds.
        self.solo.shutdown();
    }

    fn group(&self, group: GroupId) -> Option<Arc<RaftGroup<R>>> {
        self.groups().get(&group).cloned()
    }

    fn groups(&self) -> RwLockReadGuard<'_, BTreeMap<GroupId, Arc<RaftGroup<R>>>> {
        let open = self.places.open.read();
        open.unwrap_or_else(PoisonError::into_inner)
    }

    fn unopened(&self) -> MutexGuard<'_, BTreeMap<GroupId, Arc<GroupLog>>> {
        self.places.unopened()
    }

    fn logs(&self) -> Vec<Arc<GroupLog>> {
        let open = self.groups();
        let open = open.values().map(|group| Arc::clone(group.log()));
        open.chain(self.unopened().values().cloned()).collect()
    }
}

impl<R: Send + 'static> Places<R> {
    fn unopened(&self) -> MutexGuard<'_, BTreeMap<GroupId, Arc<GroupLog>>> {
        self.unopened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Send + 'static> Log<R> for RaftLog<R> {
    fn propose(&self, group: GroupId, record: &dyn Encode, receipt: R) -> Result<(), Refused<R>> {
        let groups = self.groups();
        let Some(replicated) = groups.get(&group) else {
            return self.solo.propose(group, record, receipt);
        };
        let refused = |reason, receipt| Err(Refused { reason, receipt });
        if let Some(ended) = self.solo.ended() {
            return refused(ended, receipt);
        }
        if self.node.budget.is_full() {
            return refused(Refusal::Full, receipt);
        }
        replicated.propose(record, receipt)
    }

    fn open_group(&self, group: GroupId, last: LogIndex) {
        self.solo.open_group(group, last);
    }

    /// A replicated group ends as with [`RaftLog::close_replicated`], which also waits for it.
    fn close_group(&self, group: GroupId) {
        if self.begin_close(group).is_none() {
            self.solo.close_group(group);
        }
    }

    /// Replicated groups are always [`Durability::Synced`].
    fn set_durability(&self, group: GroupId, durability: Durability) {
        self.solo.set_durability(group, durability);
    }

    fn sync(&self) -> Result<(), Refusal> {
        self.solo.sync()
    }

    /// Keeps what replicated groups need, wherever that lies. What of them is not an entry and lies before is
    /// written once more, so that more can go the next time.
    fn release(&self, before: WalPosition) {
        let logs = self.logs();
        let needed = logs.iter().filter_map(|log| log.needed_from()).min();
        self.solo
            .release(needed.map_or(before, |needed| needed.min(before)));
        for log in logs {
            log.move_state_forward(before);
        }
    }

    /// Not behind anything a replicated group needs.
    fn position(&self) -> WalPosition {
        // First, as what is appended meanwhile lies behind it.
        let solo = self.solo.position();
        let needed = self.logs().iter().filter_map(|log| log.needed_from()).min();
        needed.map_or(solo, |needed| needed.min(solo))
    }

    fn pressure(&self) -> bool {
        self.solo.pressure()
    }

    fn ended(&self) -> Option<Refusal> {
        self.solo.ended()
    }

    fn end(&self) {
        self.solo.end();
    }
}

impl<R: Send + 'static> Inbox for RaftLog<R> {
    fn unlinked(&self, peer: NodeId) {
        self.node.peers.lose(peer);
    }

    fn receive(&self, from: NodeId, frame: Bytes) {
        let messages = match Message::decode_frame(frame) {
            Ok(messages) => messages,
            Err(error) => {
                tracing::warn!(%from, %error, "a frame of another node is not understood and left out");
                return;
            }
        };
        for Message { group, call, body } in messages {
            let request = match body {
                Body::Response(response) => {
                    self.node.peers.answer(call, response);
                    continue;
                }
                Body::Request(request) => request,
            };
            match self.group(group) {
                Some(group) => group.handle(from, call, request),
                None => {
                    let to = (from, request.answered_on());
                    let refused = wire::Response::Refused;
                    self.node.peers.respond(to, (group, call), refused);
                }
            }
        }
    }
}

impl<R: Send + 'static> Drop for RaftLog<R> {
    fn drop(&mut self) {
        // Without `shutdown` nobody waits for them, but none goes on.
        for group in self.groups().values() {
            group.begin_close();
        }
        self.node.peers.shutdown();
    }
}

impl<R: Send + 'static> fmt::Debug for RaftLog<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftLog")
            .field("here", &self.node.here)
            .field("solo", &self.solo)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RaftParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftParts")
            .field("here", &self.here)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
