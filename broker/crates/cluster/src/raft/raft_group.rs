//! One Raft group on this node: its core, and what goes in and out of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hitherto_jetstream::{GroupId, LogIndex};
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::AppendEntriesRequest;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::client::Clients;
use super::fetching::{Fetcher, Fetching, PART_BYTES};
use super::group_log::GroupLog;
use super::latch::Latch;
use super::log_store::{LogStore, until_flushed};
use super::machine::{Gate, Machine, Progress};
use super::node::Node;
use super::pending::Pending;
use super::snapshot;
use super::types::{Records, Reply, TypeConfig};
use super::wire::{Fetch, Offer, Request, Response};
use crate::group::{Batch, Group};
use crate::links::Channel;
use crate::{Encode, Leadership, LogError, NodeId, Refusal, Refused};

/// Batches of one group that are under way at most. What comes meanwhile gathers into larger ones.
const BATCHES_IN_FLIGHT_MAX: usize = 8;

/// Requests of one stream of a leader that wait for the core at most; a leader has fewer under way.
const SESSION_REQUESTS_MAX: usize = 64;

/// Waits before a core that ended is started again, doubling from the first to the last.
const RESTART_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

pub(crate) type Core<R> = openraft::Raft<TypeConfig, Machine<R>>;

pub(crate) struct RaftGroup<R: Send + 'static> {
    id: GroupId,
    node: Arc<Node<R>>,
    intake: Group<R>,
    /// The intake has records.
    filled: Notify,
    places: Arc<Semaphore>,
    log: Arc<GroupLog>,
    progress: Arc<Progress>,
    fetching: Arc<Fetching>,
    /// `None` while none runs.
    core: Mutex<Option<Core<R>>>,
    leadership: Mutex<Leadership>,
    leads: AtomicBool,
    sessions: Mutex<HashMap<NodeId, Session>>,
    closing: Latch,
    /// The supervisor and the proposer, while they run.
    running: watch::Sender<usize>,
    /// It was closed and its log is where the next one finds it.
    is_put_away: Latch,
}

/// A stream of requests of a leader.
struct Session {
    number: u64,
    requests: mpsc::Sender<(u64, AppendEntriesRequest<TypeConfig>)>,
}

impl<R: Send + 'static> RaftGroup<R> {
    /// Starts the group. If it has no log, and this node is one of the first voters, it begins with them;
    /// with none it waits until a leader finds it.
    pub(crate) fn start(
        id: GroupId,
        node: Arc<Node<R>>,
        (log, progress): (Arc<GroupLog>, Progress),
        first_voters: BTreeSet<u128>,
    ) -> Arc<Self> {
        let group = Arc::new(Self {
            id,
            node,
            intake: Group::new(id, LogIndex(0)),
            filled: Notify::new(),
            places: Arc::new(Semaphore::new(BATCHES_IN_FLIGHT_MAX)),
            log,
            progress: Arc::new(progress),
            fetching: Arc::default(),
            core: Mutex::new(None),
            leadership: Mutex::default(),
            leads: AtomicBool::new(false),
            sessions: Mutex::default(),
            closing: Latch::closed(),
            running: watch::Sender::new(2),
            is_put_away: Latch::closed(),
        });
        let supervised = Arc::clone(&group);
        group.node.spawn(async move {
            supervised.supervise(first_voters).await;
            supervised.running.send_modify(|running| *running -= 1);
        });
        let proposing = Arc::clone(&group);
        group.node.spawn(async move {
            proposing.propose_batches().await;
            proposing.running.send_modify(|running| *running -= 1);
        });
        group
    }

    pub(crate) fn log(&self) -> &Arc<GroupLog> {
        &self.log
    }

    pub(crate) fn leadership(&self) -> Leadership {
        *lock(&self.leadership)
    }

    /// The core, while one runs.
    pub(crate) fn core(&self) -> Option<Core<R>> {
        lock(&self.core).clone()
    }

    pub(crate) fn propose(&self, record: &dyn Encode, receipt: R) -> Result<(), Refused<R>> {
        if !self.leads.load(Ordering::Acquire) {
            let leader = self.leadership().leader;
            let reason = match self.is_closing() {
                true => Refusal::NoGroup,
                false => Refusal::NotLeader { leader },
            };
            return Err(Refused { reason, receipt });
        }
        if self.intake.push(record, receipt, &self.node.budget)? {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Begins to end the core and gives back what was not proposed; the log stays. `false` when that was begun
    /// before.
    pub(crate) fn begin_close(&self) -> bool {
        self.intake.refuse(Refusal::NoGroup);
        self.closing.open()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_open()
    }

    /// Waits until nothing runs any more.
    pub(crate) async fn until_ended(&self) {
        let mut running = self.running.subscribe();
        // The sender lives as long as `self`.
        drop(running.wait_for(|running| *running == 0).await);
    }

    pub(crate) fn note_put_away(&self) {
        self.is_put_away.open();
    }

    /// Waits until it was closed and put away.
    pub(crate) async fn until_put_away(&self) {
        self.is_put_away.until_open().await;
    }

    /// Keeps a core running. One that ended, of a panic or a failed read, is begun anew on the same log.
    async fn supervise(&self, first_voters: BTreeSet<u128>) {
        let mut pause = RESTART_PAUSE.0;
        loop {
            let gate = Gate::open();
            match self.start_unless_closing(&gate, &first_voters).await {
                Ok(core) => self.watch(core).await,
                Err(error) => {
                    tracing::error!(group = %self.id, %error, "cannot start the Raft core");
                }
            }
            gate.close().await;
            if self.is_closing() || self.node.has_ended() {
                return;
            }
            tracing::error!(group = %self.id, ?pause, "the Raft core has ended; it starts again from the log");
            // Both may be dropped at any time.
            tokio::select! {
                () = self.closing.until_open() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RESTART_PAUSE.1);
        }
    }

    /// A core takes what it finds in the log for durable, and the one before may have left something that is not:
    /// a vote or entries it would answer for. And what is committed already is handed on before the core runs,
    /// which waits for the state machine.
    async fn start_unless_closing(
        &self,
        gate: &Gate,
        first_voters: &BTreeSet<u128>,
    ) -> io::Result<Core<R>> {
        // Both may be dropped at any time.
        tokio::select! {
            synced = until_flushed(|flushed| self.log.sync(flushed)) => synced?,
            () = self.closing.until_open() => return Err(io::Error::other("the group is being closed")),
        }
        let mut starting = std::pin::pin!(self.start_core(gate.clone(), first_voters));
        tokio::select! {
            started = &mut starting => return started,
            // May be dropped at any time.
            () = self.closing.until_open() => gate.begin_close(),
        }
        starting.await
    }

    async fn start_core(&self, gate: Gate, first_voters: &BTreeSet<u128>) -> io::Result<Core<R>> {
        let machine = Machine {
            group: self.id,
            log: Arc::clone(&self.log),
            progress: Arc::clone(&self.progress),
            commits: self.node.commits.clone(),
            budget: Arc::clone(&self.node.handed_on),
            snapshots: Arc::clone(&self.node.snapshots),
            gate,
        };
        let clients = Clients {
            peers: Arc::clone(&self.node.peers),
            group: self.id,
            here: self.node.here,
            fetching: Arc::clone(&self.fetching),
        };
        let is_new = self.log.last().is_none() && self.log.vote().is_none();
        let (here, config) = (self.node.here.0, Arc::clone(&self.node.config));
        let store = LogStore(Arc::clone(&self.log));
        let core = Core::new(here, config, clients, store, machine).await;
        let core = core.map_err(io::Error::other)?;
        if is_new && first_voters.contains(&here) {
            let voters: BTreeMap<u128, ()> =
                first_voters.iter().map(|voter| (*voter, ())).collect();
            // Another first voter may have been quicker, with the same first entry.
            if let Err(error) = core.initialize(voters).await {
                tracing::debug!(group = %self.id, %error, "the group has begun elsewhere");
            }
        }
        Ok(core)
    }

    /// Tells who leads until the core ends or is to end.
    async fn watch(&self, core: Core<R>) {
        let mut metrics = core.server_metrics();
        let mut applied_term = self.progress.term();
        *lock(&self.core) = Some(core.clone());
        loop {
            let metrics_now = metrics.borrow_watched().clone();
            // The vote is the one on disk. The leader the metrics name may be of a later one.
            let vote = metrics_now.vote;
            let leader = vote.committed.then_some(NodeId(vote.leader_id.voted_for));
            let term = vote.leader_id.term;
            // Once an entry of its own was handed on, a majority follows it and nothing before is missing.
            let is_ready = *applied_term.borrow_and_update() == term;
            self.tell_leader(Leadership {
                term,
                leader,
                is_here: metrics_now.state == ServerState::Leader
                    && leader == Some(self.node.here)
                    && is_ready,
            });
            // All may be dropped at any time. The sender of the term lives as long as `self`.
            tokio::select! {
                () = self.closing.until_open() => break,
                changed = metrics.changed() => if changed.is_err() {
                    break;
                },
                _ = applied_term.changed() => {}
            }
        }
        *lock(&self.core) = None;
        lock(&self.sessions).clear();
        self.tell_leader(Leadership {
            leader: None,
            is_here: false,
            ..self.leadership()
        });
        if let Err(error) = core.shutdown().await {
            tracing::error!(group = %self.id, %error, "the Raft core has panicked");
        }
    }

    fn tell_leader(&self, now: Leadership) {
        let before = std::mem::replace(&mut *lock(&self.leadership), now);
        if before == now {
            return;
        }
        self.leads.store(now.is_here, Ordering::Release);
        self.node
            .commits
            .with(|commits| commits.leader_changed(self.id, now));
    }

    /// Proposes batch after batch, a few ahead of what is committed.
    async fn propose_batches(&self) {
        loop {
            // Both may be dropped: a place that was given is given back.
            let place = tokio::select! {
                () = self.closing.until_open() => break,
                place = Arc::clone(&self.places).acquire_owned() => place.ok(),
            };
            let batch = loop {
                if let Some(batch) = self.intake.take() {
                    break batch;
                }
                // Both may be dropped: a notification that came stays for the next look.
                tokio::select! {
                    () = self.closing.until_open() => return self.give_back_rest(),
                    () = self.filled.notified() => {}
                }
            };
            let (pending, records) = self.pending(batch, place);
            let Some(core) = self.core() else {
                pending.give_back(&LogError::NotLeader { leader: None });
                continue;
            };
            let reply = Reply::new(move |result| pending.complete(result));
            // What it does not take it drops, and with it the receipts, which come back as undecided.
            if let Err(error) = core.client_write_ff(records, Some(reply)).await {
                tracing::debug!(group = %self.id, %error, "a batch was not proposed");
            }
        }
        self.give_back_rest();
    }

    fn pending(
        &self,
        batch: Batch<R>,
        place: Option<tokio::sync::OwnedSemaphorePermit>,
    ) -> (Pending<R>, Records) {
        let told = (self.node.commits.clone(), Arc::clone(&self.node.budget));
        let held = (batch.receipts, batch.records.len());
        (
            Pending::new(self.id, held, told, place),
            Records(batch.records),
        )
    }

    fn give_back_rest(&self) {
        while let Some(batch) = self.intake.take() {
            self.pending(batch, None)
                .0
                .give_back(&LogError::GroupClosed);
        }
    }

    /// Takes a request of another node.
    pub(crate) fn handle(self: &Arc<Self>, from: NodeId, call: u64, request: Request) {
        match request {
            Request::Append {
                session: 0,
                request,
            } => self.respond_later((from, Channel::Control), call, |group, core| async move {
                group.heartbeat(core, request).await
            }),
            Request::Append { session, request } => {
                self.queue_append((from, session), call, request);
            }
            Request::PreVote(request) => {
                self.respond_later((from, Channel::Control), call, |_, core| async move {
                    core.pre_vote(request).await.ok().map(Response::Vote)
                });
            }
            Request::Vote(request) => {
                self.respond_later((from, Channel::Control), call, |_, core| async move {
                    core.vote(request).await.ok().map(Response::Vote)
                });
            }
            Request::TransferLeader(request) => {
                self.respond_later((from, Channel::Control), call, |_, core| async move {
                    let taken = core.handle_transfer_leader(request).await.ok()?;
                    Some(Response::TransferLeader(taken.is_ok()))
                });
            }
            Request::Offer(offer) => {
                self.respond_later((from, Channel::Bulk), call, move |group, core| async move {
                    group.fetch_and_install(core, from, *offer).await
                });
            }
            Request::Fetch(fetch) => {
                self.respond_later((from, Channel::Bulk), call, move |group, _| async move {
                    group.read_part(from, fetch).await
                });
            }
        }
    }

    /// Asks the core in a task of its own; `None` refuses.
    fn respond_later<F>(
        self: &Arc<Self>,
        to: (NodeId, Channel),
        call: u64,
        ask: impl FnOnce(Arc<Self>, Core<R>) -> F + Send + 'static,
    ) where
        F: Future<Output = Option<Response>> + Send,
    {
        let group = Arc::clone(self);
        self.node.spawn(async move {
            let response = match group.core() {
                Some(core) => ask(Arc::clone(&group), core).await,
                None => None,
            };
            let response = response.unwrap_or(Response::Refused);
            group.node.peers.respond(to, (group.id, call), response);
        });
    }

    async fn heartbeat(
        &self,
        core: Core<R>,
        request: AppendEntriesRequest<TypeConfig>,
    ) -> Option<Response> {
        let previous = request.prev_log_id;
        let last = request.entries.last().map(|entry| entry.log_id);
        let response = core.append_entries(request).await.ok()?;
        let result = response.into_stream_result(previous, last.or(previous));
        Some(Response::Append(result))
    }

    /// Puts a request into the stream of its leader, and begins one if it is of another session.
    fn queue_append(
        self: &Arc<Self>,
        (from, session): (NodeId, u64),
        call: u64,
        request: AppendEntriesRequest<TypeConfig>,
    ) {
        let Some(core) = self.core() else {
            let to = (from, Channel::Append);
            let peers = &self.node.peers;
            return peers.respond(to, (self.id, call), Response::Refused);
        };
        let mut sessions = lock(&self.sessions);
        if sessions
            .get(&from)
            .is_none_or(|held| held.number != session)
        {
            let (requests, queued) = mpsc::channel(SESSION_REQUESTS_MAX);
            let answering = Arc::clone(self).answer_appends(core, from, queued);
            self.node.spawn(answering);
            let number = session;
            sessions.insert(from, Session { number, requests });
        }
        if let Some(held) = sessions.get(&from) {
            // It has ended: with a conflict or a higher vote, and the leader, told so, begins another. Or
            // it is full, which none of ours makes it: then the request is lost as in the network.
            drop(held.requests.try_send((call, request)));
        }
    }

    async fn answer_appends(
        self: Arc<Self>,
        core: Core<R>,
        from: NodeId,
        queued: mpsc::Receiver<(u64, AppendEntriesRequest<TypeConfig>)>,
    ) {
        let calls = Arc::new(Mutex::new(VecDeque::new()));
        let asked = Arc::clone(&calls);
        let requests = stream::unfold((queued, asked), |(mut queued, asked)| async move {
            let (call, request) = queued.recv().await?;
            lock(&asked).push_back(call);
            Some((request, (queued, asked)))
        });
        let mut results = Box::pin(core.stream_append(requests));
        while let Some(result) = results.next().await {
            let Some(call) = lock(&calls).pop_front() else {
                return;
            };
            let response = result.map_or(Response::Refused, Response::Append);
            let to = (from, Channel::Append);
            self.node.peers.respond(to, (self.id, call), response);
        }
    }

    async fn fetch_and_install(
        &self,
        core: Core<R>,
        from: NodeId,
        offer: Offer,
    ) -> Option<Response> {
        let Ok(_one) = self.fetching.busy.try_lock() else {
            return None;
        };
        let fetcher = Fetcher {
            peers: Arc::clone(&self.node.peers),
            snapshots: Arc::clone(&self.node.snapshots),
            group: self.id,
            from,
            rate: self.node.options.fetch_bytes_per_second,
        };
        // Both may be dropped: what was received stays.
        let fetched = tokio::select! {
            () = self.closing.until_open() => return None,
            fetched = fetcher.fetch(&offer.snapshot) => fetched,
        };
        if let Err(error) = fetched {
            tracing::warn!(group = %self.id, %from, %error, "a snapshot was not fetched; it will be offered again");
            return None;
        }
        let snapshot = openraft::Snapshot {
            meta: offer.meta,
            snapshot: offer.snapshot,
        };
        let installed = core
            .install_full_snapshot(offer.vote, snapshot)
            .await
            .ok()?;
        Some(Response::Installed(installed.vote))
    }

    async fn read_part(&self, to: NodeId, fetch: Fetch) -> Option<Response> {
        let (_, held) = self.progress.snapshot()?;
        let file = held.files.get(usize::try_from(fetch.file).ok()?)?.clone();
        let end = fetch.offset.checked_add(u64::from(fetch.len))?;
        if held.index.0 != fetch.snapshot || fetch.len > PART_BYTES || end > file.len {
            return None;
        }
        let (snapshots, group) = (Arc::clone(&self.node.snapshots), self.id);
        let read = move || snapshots.read(group, &file, fetch.offset, fetch.len as usize);
        let part = snapshot::blocking(read).await.ok()?;
        self.fetching.note_given(to);
        let crc = crc32c::crc32c(&part);
        Some(Response::Part(part, crc))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
