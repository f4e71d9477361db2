//! Starting and ending JetStream on a node.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use hitherto_cluster::{Log, RaftLog, RecoveredGroups, SoloLog, SoloOptions};
use hitherto_jetstream::command::Control;
use hitherto_jetstream::{Command, GroupId, Limits, Meta};
use hitherto_platform::{Clock, Disk, Entropy};
use hitherto_storage::{Error, Wal};

use super::admission;
use super::files::{IndexBudget, Reserve, Stores};
use super::keeping::{Checkpointer, CheckpointerThread, Keeper, KeeperOptions, KeeperThread};
use super::orders::{Activity, Input, ShardQueue, ShardQueues, StreamOrder};
use super::recovery::{Recovered, RecoveredStream, recover_as};
use super::replicas::{DamageReport, Record};
use super::replication::{Replication, Seat};
use super::shards::{MetaOwner, Shard, ShardParts, open_stream};
use super::taking::{Directory, Intake, OfflineStream, Quota, ToShards, WaitingRoom, room};
use super::telling::{ApiFigures, Outlet, Receipt};
use crate::pubsub::{Router, SubscriptionKey};
use crate::services::{self, Auditor};

/// Shards of a node: one per core, 4 at most. Each stream belongs to one of them.
pub(crate) const SHARDS_MAX: usize = 4;

/// What JetStream is made of.
pub(crate) struct JetStreamOptions {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// The directory of the node; everything lies in `jetstream` below it.
    pub(crate) store_dir: PathBuf,
    pub(crate) router: Arc<Router>,
    /// Tells who asked the API what.
    pub(crate) auditor: Arc<Auditor>,
    /// Bounds for streams and consumers.
    pub(crate) limits: Limits,
    /// Most memory the indexes of all streams may take, in bytes.
    pub(crate) index_bytes_max: u64,
    pub(crate) keeper: KeeperOptions,
    /// Room kept back for a full disk.
    pub(crate) reserve_bytes: u64,
    /// Its place in a cluster; `None` for a node on its own.
    pub(crate) seat: Option<Seat>,
}

/// JetStream on one node. Streams are recovered when [`JetStream::start`] returns.
///
/// Dropping it stops its threads without a last checkpoint; what is acknowledged is in the log.
pub(crate) struct JetStream {
    pub(super) log: Arc<dyn Log<Receipt>>,
    driver: Driver,
    waiting_room: Arc<WaitingRoom>,
    pub(super) parts: ShardParts,
    running: Mutex<Running>,
}

/// What runs the log.
enum Driver {
    Alone(Arc<SoloLog<Receipt>>),
    Cluster(Arc<Replication>),
}

/// What it was given, and keeps.
struct Seams {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    router: Arc<Router>,
    auditor: Arc<Auditor>,
    stores: Stores,
    index_bytes_max: u64,
    limits: Limits,
    keeper: KeeperOptions,
    reserve: Arc<Reserve>,
    seat: Option<Seat>,
}

/// What was recovered, for the shards.
struct Groups {
    meta: Meta,
    streams: BTreeMap<GroupId, RecoveredStream>,
    offline: BTreeMap<GroupId, OfflineStream>,
    deleted: Vec<GroupId>,
    /// The groups the log has entries of that are shared with other nodes.
    replicated: Vec<GroupId>,
}

/// What there is to stop.
#[derive(Default)]
struct Running {
    services: Vec<SubscriptionKey>,
    checkpointer: Option<CheckpointerThread>,
    keeper: Option<KeeperThread>,
    shards: Vec<JoinHandle<()>>,
}

impl JetStream {
    /// Recovers the streams, starts the threads, and attaches the streams and the API to the router.
    /// Blocks while it reads the log.
    ///
    /// # Errors
    /// When the store cannot be opened, or its log or list of streams is damaged; nothing was changed or
    /// cut then. A stream whose own files are damaged is offline, and the others serve.
    pub(crate) fn start(options: JetStreamOptions) -> Result<Arc<Self>, Error> {
        let dir = options.store_dir.join("jetstream");
        let reserve_file = dir.join("reserve.zero");
        let reserve = Reserve::new(
            Arc::clone(&options.disk),
            reserve_file,
            options.reserve_bytes,
        );
        let budget = IndexBudget::new(options.index_bytes_max);
        let stores = Stores::new(options.disk, dir.join("streams"), budget);
        let here = options.seat.as_ref().map(|seat| seat.here);
        let places = (&stores, dir.as_path());
        let recovered = recover_as(places, &options.entropy, &options.limits, here)?;
        if let Some(seat) = &options.seat
            && seat.founder == Some(seat.here)
            && !recovered
                .replicated
                .ids()
                .any(|group| group == GroupId::META)
        {
            // Never begin anew under the same name: others know what this node has said.
            return Err(Error::Damaged {
                file: dir.join("wal"),
                offset: 0,
                what: "the node has founded a cluster, and the log of that is gone",
            });
        }
        let seams = Seams {
            clock: options.clock,
            entropy: options.entropy,
            router: options.router,
            auditor: options.auditor,
            stores,
            index_bytes_max: options.index_bytes_max,
            limits: options.limits,
            keeper: options.keeper,
            reserve: Arc::new(reserve),
            seat: options.seat,
        };
        Self::run(seams, recovered).map_err(|source| Error::Io {
            action: "start the threads for",
            file: dir,
            source,
        })
    }

    /// Tells whether publishers may send more.
    pub(crate) fn has_room(&self) -> bool {
        room::has_room(&*self.log, &self.parts.queues)
    }

    /// Waits until publishers may send more. May be dropped at any time.
    pub(crate) async fn wait_for_room(&self) {
        self.waiting_room.wait_until(|| self.has_room()).await;
    }

    /// Begins to admit other nodes, if this one is of a cluster.
    pub(crate) fn admit_nodes(&self) {
        if let Some(replication) = self.driver.replication() {
            replication.tell_founder();
            let queues = self.parts.queues.clone();
            replication.spawn(admission::run(Arc::downgrade(replication), queues));
        }
    }

    /// What is known to be damaged.
    pub(crate) fn damage(&self) -> &DamageReport {
        &self.parts.damage
    }

    /// Ends JetStream: takes nothing any more, writes what was taken, makes a last checkpoint, and joins
    /// all threads. Blocks. A second call does nothing.
    ///
    /// # Errors
    /// When the last checkpoint fails; the log has everything, and the next start reads more of it.
    pub(crate) fn shutdown(&self) -> Result<(), Error> {
        self.end(true)
    }

    fn run(seams: Seams, recovered: Recovered) -> io::Result<Arc<Self>> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let queues = ShardQueues::new(cores.min(SHARDS_MAX));
        let activity = Arc::new(Activity::new());
        let waiting_room = Arc::new(WaitingRoom::default());
        let commits = ToShards {
            shards: queues.clone(),
            waiting_room: Arc::clone(&waiting_room),
            activity: Arc::clone(&activity),
        };
        let replicated = recovered.replicated.ids().collect();
        let found = (recovered.wal, recovered.replicated);
        let driver = Driver::start(seams.seat, found, commits, &seams.entropy)?;
        let log = driver.log();
        let figures = Arc::new(ApiFigures::default());
        let parts = ShardParts {
            queues: queues.clone(),
            intake: Arc::new(Intake {
                log: Arc::clone(&log),
                clock: seams.clock,
                entropy: Arc::clone(&seams.entropy),
                outlet: Mutex::new(Outlet::new(&seams.router, Arc::clone(&figures))),
                router: seams.router,
                account: seams.auditor.account.clone(),
                reserve: Arc::clone(&seams.reserve),
                stuck_shards: AtomicUsize::new(0),
                index_bytes: AtomicU64::new(0),
                index_bytes_max: seams.index_bytes_max,
                quota: Quota::new(&seams.limits, &seams.auditor.account),
            }),
            directory: Arc::new(Directory::default()),
            stores: Arc::new(seams.stores),
            activity: Arc::clone(&activity),
            waiting_room: Arc::clone(&waiting_room),
            entropy: seams.entropy,
            figures,
            damage: DamageReport::default(),
            limits: Arc::new(seams.limits),
            keeper_bell: Arc::default(),
            replication: driver.replication().cloned(),
            auditor: Arc::clone(&seams.auditor),
        };
        let needs = |stream: &OfflineStream| (stream.group, stream.needs);
        let replayed =
            |(group, stream): (&GroupId, &RecoveredStream)| (*group, stream.replayed_from);
        let offline = recovered.offline.values();
        let keeper = Keeper {
            disk: Arc::clone(&parts.stores.disk),
            shards: queues.clone(),
            activity: Arc::clone(&activity),
            reserve: Arc::clone(&seams.reserve),
            options: seams.keeper,
            bell: Arc::clone(&parts.keeper_bell),
        };
        let checkpointer = Checkpointer {
            disk: Arc::clone(&parts.stores.disk),
            streams_dir: parts.stores.streams_dir.clone(),
            checkpoints: recovered.checkpoints,
            log: Arc::clone(&log),
            shards: queues,
            activity,
            reserve: seams.reserve,
            saved: None,
            behind: recovered.offline.keys().copied().collect(),
            positions: offline
                .map(needs)
                .chain(recovered.streams.iter().map(replayed))
                .collect(),
        };
        let groups = Groups {
            meta: recovered.meta,
            streams: recovered.streams,
            offline: recovered.offline,
            deleted: recovered.deleted,
            replicated,
        };
        let shards = groups.give_to_shards(&parts)?;
        let mut running = Running {
            checkpointer: Some(CheckpointerThread::start(checkpointer)?),
            keeper: Some(KeeperThread::start(keeper)?),
            ..Running::default()
        };
        for (number, shard) in shards.into_iter().enumerate() {
            running.shards.push(shard.spawn(number)?);
        }
        running.services = services::attach(&parts);
        Ok(Arc::new(Self {
            log,
            driver,
            waiting_room,
            parts,
            running: Mutex::new(running),
        }))
    }

    fn end(&self, with_checkpoint: bool) -> Result<(), Error> {
        let Running {
            services,
            checkpointer,
            keeper,
            shards,
        } = std::mem::take(&mut *self.running());
        for service in &services {
            self.parts.intake.router.unsubscribe(service);
        }
        // It asks the shards, so it ends before them.
        drop(keeper);
        if with_checkpoint {
            self.settle();
        }
        match (&self.driver, with_checkpoint) {
            (Driver::Alone(log), _) => log.shutdown(),
            (Driver::Cluster(replication), true) => replication.shutdown(),
            // May be on a thread that runs tasks, which must not wait for them.
            (Driver::Cluster(replication), false) => replication.abandon(),
        }
        let checkpointer = checkpointer.and_then(|mut thread| thread.stop());
        let last = match checkpointer {
            Some(mut checkpointer) if with_checkpoint => checkpointer.last_checkpoint(),
            Some(_) | None => Ok(()),
        };
        for shard in self.parts.queues.iter() {
            shard.push(Input::Stop);
        }
        for shard in shards {
            if shard.join().is_err() {
                tracing::error!("a shard has panicked");
            }
        }
        self.parts.directory.clear();
        // Whoever waits for room need not any more.
        self.waiting_room.notify();
        last
    }

    /// Lets the relaxed streams put into the log that everything before is synced, as the log's end makes it.
    fn settle(&self) {
        let (answer, answers) = sync_channel(self.parts.queues.len());
        for shard in self.parts.queues.iter() {
            shard.push(Input::Settle(answer.clone()));
        }
        drop(answer);
        // Ends early when a shard has ended.
        for _ in self.parts.queues.iter() {
            if answers.recv().is_err() {
                return;
            }
        }
    }

    /// The numbers of the shards whose threads have ended.
    pub(super) fn ended_shards(&self) -> Vec<usize> {
        let running = self.running();
        let ended = running.shards.iter().enumerate();
        let ended = ended.filter(|(_, thread)| thread.is_finished());
        ended.map(|(number, _)| number).collect()
    }

    /// Makes a shard panic, and waits until the others know.
    #[cfg(test)]
    pub(crate) fn panic_shard(&self, number: usize) {
        let mut shards = self.parts.queues.iter();
        shards
            .nth(number)
            .expect("there is a shard of this number")
            .push(Input::Panic);
        while self.log.ended().is_none() {
            thread::yield_now();
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Groups {
    /// Opens every group in the log and gives it to its shard.
    fn give_to_shards(self, parts: &ShardParts) -> io::Result<Vec<Shard>> {
        let (log, queues) = (&parts.intake.log, &parts.queues);
        let shard = |queue: &Arc<ShardQueue>| Shard::new(Arc::clone(queue), parts.clone());
        let mut shards: Vec<_> = queues.iter().map(shard).collect();
        for (_, known) in self.meta.iter() {
            let stream = self.streams.get(&known.group);
            let is_behind =
                !stream.is_some_and(|recovered| *recovered.stream.config() == known.config);
            // Where a stream is replicated, whoever begins to lead it looks.
            if is_behind && parts.replication.is_none() {
                // The node ended between the meta group's decision and the stream's.
                let config = Box::new(known.config.clone());
                let order = StreamOrder::Configure(known.group, config, Receipt::None);
                queues.of(known.group).push(Input::Order(Box::new(order)));
            }
        }
        for (_, offline) in self.offline {
            let name = &offline.config.name;
            parts.damage.add_offline(name, &offline.reason);
            parts.directory.insert_offline(offline, &parts.intake);
        }
        for (group, RecoveredStream { stream, store, .. }) in self.streams {
            let peers = self.meta.find_group(group);
            let peers = peers.map_or(&[][..], |(_, known)| &known.peers);
            let keeping = parts.open_group(group, stream.applied(), peers);
            let keeping = keeping.map_err(io::Error::other)?;
            let resumes = stream.durability_to_resume();
            let resumes = resumes.filter(|_| parts.replication.is_none());
            let has_resumed = resumes.is_some_and(|control| propose_resume(&**log, group, control));
            let place = (parts, keeping);
            let mut replica = open_stream(group, stream, store, place, queues.of(group));
            if has_resumed {
                replica.note_resumed();
            }
            shards[queues.number_of(group)].add(replica);
        }
        for group in self.deleted {
            parts.activity.add_deleted(group);
        }
        if let Some(replication) = &parts.replication {
            replication.log_what_it_does();
            let is_gone = |group: &&GroupId| {
                self.meta.has_given_out(**group) && self.meta.find_group(**group).is_none()
            };
            for group in self.replicated.iter().filter(is_gone) {
                replication.remove(*group);
            }
        }
        let founders = parts.replication.as_ref();
        let founders = founders.filter(|replication| replication.seat.founds);
        let founders: Vec<_> = founders
            .map(|founder| founder.seat.here)
            .into_iter()
            .collect();
        let opened = parts.open_group(GroupId::META, self.meta.applied(), &founders);
        opened.map_err(io::Error::other)?;
        shards[queues.number_of(GroupId::META)].add_meta(MetaOwner::new(self.meta, parts.clone()));
        Ok(shards)
    }
}

impl Driver {
    fn start(
        seat: Option<Seat>,
        (wal, replicated): (Wal, RecoveredGroups),
        commits: ToShards,
        entropy: &Arc<dyn Entropy>,
    ) -> io::Result<Self> {
        Ok(match seat {
            None => {
                let log = SoloLog::start(wal, commits, SoloOptions::default())?;
                Self::Alone(Arc::new(log))
            }
            Some(seat) => {
                let entropy = Arc::clone(entropy);
                let found = (wal, replicated);
                Self::Cluster(Replication::start(seat, found, commits, entropy)?)
            }
        })
    }

    fn log(&self) -> Arc<dyn Log<Receipt>> {
        match self {
            Self::Alone(log) => Arc::<SoloLog<Receipt>>::clone(log),
            Self::Cluster(replication) => Arc::<RaftLog<Receipt>>::clone(&replication.log),
        }
    }

    fn replication(&self) -> Option<&Arc<Replication>> {
        match self {
            Self::Alone(_) => None,
            Self::Cluster(replication) => Some(replication),
        }
    }
}

/// Puts it before everything the stream takes in; `false` when the log has ended, and then nothing is taken.
fn propose_resume(log: &dyn Log<Receipt>, group: GroupId, control: Control) -> bool {
    let command = Command::Control(control);
    let record = Record::new(&command, &Receipt::Durability);
    log.propose(group, &record, Receipt::Durability).is_ok()
}

impl Drop for JetStream {
    fn drop(&mut self) {
        if let Err(error) = self.end(false) {
            tracing::error!(%error, "JetStream did not end cleanly");
        }
    }
}

impl fmt::Debug for JetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStream")
            .field("shards", &self.parts.queues.len())
            .finish_non_exhaustive()
    }
}
