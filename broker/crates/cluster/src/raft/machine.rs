//! The state machine openraft applies to: it hands committed entries on.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, StreamExt};
use hitherto_jetstream::{GroupId, LogIndex};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use tokio::sync::watch;

use super::group_log::GroupLog;
use super::latch::Latch;
use super::log_store::until_flushed;
use super::snapshot::{self, RaftSnapshot, Snapshots};
use super::types::{
    Applied, Entry, LogId, Membership, SnapshotMeta, StoredMembership, TypeConfig, term_of,
};
use crate::budget::Budget;
use crate::commits::SharedCommits;
use crate::{Committed, InFlight};

/// What of a group outlives its Raft core: how far it was handed on, and the last snapshot.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Mutex<State>,
    /// The term of the last entry handed on.
    term: watch::Sender<u64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            term: watch::Sender::new(0),
        }
    }
}

#[derive(Debug, Default, Clone)]
struct State {
    applied: Option<LogId>,
    membership: StoredMembership,
    snapshot: Option<(SnapshotMeta, RaftSnapshot)>,
}

/// Hands the committed entries of one group to [`Commits`](crate::Commits).
pub(crate) struct Machine<R> {
    pub(crate) group: GroupId,
    pub(crate) log: Arc<GroupLog>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) commits: SharedCommits<R>,
    /// What was handed on without receipts and is not applied: proposals have their own, so that those behind
    /// such entries cannot keep them from being handed on.
    pub(crate) budget: Arc<Budget>,
    pub(crate) snapshots: Arc<dyn Snapshots>,
    pub(crate) gate: Gate,
}

/// Keeps the state machine of a core that has ended from handing anything on: openraft does not wait for it.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    is_open: Arc<tokio::sync::Mutex<bool>>,
    /// Set first: whoever waits inside leaves.
    closing: Arc<Latch>,
}

impl Gate {
    pub(crate) fn open() -> Self {
        Self {
            is_open: Arc::new(tokio::sync::Mutex::new(true)),
            closing: Arc::new(Latch::closed()),
        }
    }

    /// Waits for what is being handed on; then nothing is any more.
    pub(crate) async fn close(&self) {
        self.begin_close();
        *self.is_open.lock().await = false;
    }

    /// Lets nothing wait for room any more.
    pub(crate) fn begin_close(&self) {
        self.closing.open();
    }

    /// Keeps the gate open as long as the result is held.
    async fn enter(&self) -> io::Result<tokio::sync::OwnedMutexGuard<bool>> {
        let open = Arc::clone(&self.is_open).lock_owned().await;
        match *open {
            true => Ok(open),
            false => Err(Self::closed()),
        }
    }

    fn closed() -> io::Error {
        io::Error::other("the Raft core has ended")
    }
}

impl Progress {
    /// Begins with what the state machine has from its checkpoint.
    ///
    /// # Errors
    /// When the log has not what the checkpoint is of.
    pub(crate) fn begin(log: &GroupLog, applied: LogIndex) -> io::Result<Self> {
        let progress = Self::default();
        let has_gap = log.purged().is_some_and(|purged| purged.index > applied.0);
        if applied.0 > 0 || has_gap {
            let missing = || {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the log ends before what is applied",
                )
            };
            let mut state = progress.lock();
            state.applied = Some(log.begin_behind(applied.0).ok_or_else(missing)?);
            state.membership = log.membership_at(applied.0)?;
        }
        Ok(progress)
    }

    pub(crate) fn applied(&self) -> Option<LogId> {
        self.lock().applied
    }

    /// Follows the term of the last entry handed on.
    pub(crate) fn term(&self) -> watch::Receiver<u64> {
        self.term.subscribe()
    }

    /// Says so when the term of what was handed on is another.
    fn tell_term(&self) {
        let term = self.applied().map_or(0, |applied| term_of(&applied));
        self.term
            .send_if_modified(|told| std::mem::replace(told, term) != term);
    }

    /// The last snapshot there is.
    pub(crate) fn snapshot(&self) -> Option<(SnapshotMeta, RaftSnapshot)> {
        self.lock().snapshot.clone()
    }

    fn note_applied(&self, id: LogId, membership: Option<Membership>) {
        let mut state = self.lock();
        state.applied = Some(id);
        if let Some(membership) = membership {
            state.membership = StoredMembership::new(Some(id), membership);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Send + 'static> Machine<R> {
    /// Says whether an entry of the log is the next to be handed on. openraft does not look: it takes the end of
    /// what was read for the end of what was to be read. Its suite hands on entries no log has.
    fn check_follows(&self, id: &LogId) -> io::Result<()> {
        match self.progress.applied() {
            Some(applied)
                if id.index != applied.index + 1 && self.log.log_id_at(id.index) == Some(*id) =>
            {
                let what = format!("entry {id} was to be handed on behind {applied}");
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
            _ => Ok(()),
        }
    }

    /// Waits while too much of what was handed on is not applied: a node that catches up reads faster than it
    /// applies.
    async fn until_room(&self) -> io::Result<()> {
        if !self.budget.is_full() {
            return Ok(());
        }
        self.commits.with(|commits| commits.round_complete());
        // Both may be dropped at any time.
        tokio::select! {
            () = self.gate.closing.until_open() => Err(Gate::closed()),
            () = self.budget.until_room() => Ok(()),
        }
    }

    fn hand_on(&self, entry: Entry) -> Applied {
        let membership = match &entry.payload {
            EntryPayload::Membership(membership) => Some(membership.clone()),
            EntryPayload::Blank | EntryPayload::Normal(_) => None,
        };
        let body = match entry.payload {
            EntryPayload::Normal(records) => records.0,
            EntryPayload::Blank | EntryPayload::Membership(_) => bytes::Bytes::new(),
        };
        self.progress.note_applied(entry.log_id, membership);
        Applied {
            body,
            position: self.log.position_of(entry.log_id.index),
        }
    }

    /// Nobody here waits for it: it was proposed elsewhere, or before a restart, or is openraft's own.
    fn tell(&self, id: &LogId, applied: Applied) {
        // The first membership of a group comes before everything, and 0 stands for "nothing" everywhere else.
        if id.index == 0 {
            return;
        }
        self.budget.take(applied.body.len());
        let in_flight = InFlight::of_taken(&self.budget, applied.body.len());
        self.commits.with(|commits| {
            commits.committed(Committed {
                group: self.group,
                index: LogIndex(id.index),
                term: term_of(id),
                body: applied.body,
                position: applied.position,
                receipts: Vec::new(),
                in_flight,
            });
        });
    }
}

impl<R: Send + 'static> RaftStateMachine<TypeConfig> for Machine<R> {
    type SnapshotData = RaftSnapshot;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let state = self.progress.lock();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let _open = self.gate.enter().await?;
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let id = entry.log_id;
            self.check_follows(&id)?;
            let is_records = matches!(entry.payload, EntryPayload::Normal(_));
            if responder.is_none() {
                self.until_room().await?;
            }
            let applied = self.hand_on(entry);
            match responder {
                // It has the receipts, and tells of the entry with them.
                Some(responder) if is_records => responder.send(applied),
                Some(responder) => {
                    let position = applied.position;
                    self.tell(&id, applied);
                    let body = bytes::Bytes::new();
                    responder.send(Applied { body, position });
                }
                None => self.tell(&id, applied),
            }
        }
        self.commits.with(|commits| commits.round_complete());
        self.progress.tell_term();
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            group: self.group,
            log: Arc::clone(&self.log),
            progress: Arc::clone(&self.progress),
            snapshots: Arc::clone(&self.snapshots),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: RaftSnapshot,
    ) -> io::Result<()> {
        let _open = self.gate.enter().await?;
        let Some(last) = meta.last_log_id else {
            return Err(io::Error::other("a snapshot of nothing"));
        };
        let membership = meta.last_membership.clone();
        until_flushed(|flushed| self.log.begin_install(last, membership, flushed)).await?;
        let group = self.group;
        let (snapshots, installed) = (Arc::clone(&self.snapshots), snapshot.clone());
        snapshot::blocking(move || snapshots.install(group, installed)).await?;
        let mut state = self.progress.lock();
        state.applied = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        state.snapshot = Some((meta.clone(), snapshot));
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<openraft::alias::SnapshotOf<TypeConfig, RaftSnapshot>>> {
        let snapshot = self.progress.snapshot();
        Ok(snapshot.map(|(meta, snapshot)| openraft::Snapshot { meta, snapshot }))
    }
}

/// Asks for a snapshot and says which entry it is of.
pub(crate) struct Builder {
    group: GroupId,
    log: Arc<GroupLog>,
    progress: Arc<Progress>,
    snapshots: Arc<dyn Snapshots>,
}

impl Builder {
    /// The id of the entry the snapshot is of, and the membership that holds there.
    fn describe(&self, index: LogIndex) -> io::Result<SnapshotMeta> {
        let state = self.progress.lock().clone();
        let applied = state.applied.filter(|applied| applied.index == index.0);
        let (last, membership) = match applied {
            Some(applied) => (applied, state.membership),
            None => {
                let unknown = || io::Error::other("the snapshot is of no entry of the log");
                let last = self.log.log_id_at(index.0).ok_or_else(unknown)?;
                (last, self.log.membership_at(index.0)?)
            }
        };
        Ok(SnapshotMeta {
            last_log_id: Some(last),
            last_membership: membership,
        })
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = RaftSnapshot;

    async fn build_snapshot(
        &mut self,
    ) -> io::Result<openraft::alias::SnapshotOf<TypeConfig, RaftSnapshot>> {
        let (group, snapshots) = (self.group, Arc::clone(&self.snapshots));
        let snapshot = snapshot::blocking(move || snapshots.take(group)).await?;
        let meta = self.describe(snapshot.index)?;
        self.progress.lock().snapshot = Some((meta.clone(), snapshot.clone()));
        Ok(openraft::Snapshot { meta, snapshot })
    }
}
