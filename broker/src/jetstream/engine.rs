//! Starting and ending JetStream on a node.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use hitherto_cluster::{Log, SoloLog, SoloOptions};
use hitherto_jetstream::{GroupId, Limits};
use hitherto_platform::{Clock, Disk, Entropy};
use hitherto_storage::Error;

use super::capture::Intake;
use super::checkpointer::{Activity, Checkpointer, CheckpointerThread};
use super::commits::{ToShards, shard_of};
use super::directory::Directory;
use super::input::{Input, ShardQueue};
use super::meta_owner::MetaOwner;
use super::order::{self, StreamOrder};
use super::outlet::Outlet;
use super::receipt::Receipt;
use super::recovery::{self, Recovered, RecoveredStream};
use super::room::{self, WaitingRoom};
use super::shard::{Shard, ShardParts};
use super::stores::Stores;
use crate::pubsub::{Router, SubscriptionKey};
use crate::services;

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
    /// Bounds for streams and consumers.
    pub(crate) limits: Limits,
}

/// JetStream on one node. Streams are recovered when [`JetStream::start`] returns.
///
/// Dropping it stops its threads without a last checkpoint; what is acknowledged is in the log.
pub(crate) struct JetStream {
    log: Arc<SoloLog<Receipt>>,
    shards: Vec<Arc<ShardQueue>>,
    waiting_room: Arc<WaitingRoom>,
    directory: Arc<Directory>,
    router: Arc<Router>,
    running: Mutex<Running>,
}

/// What there is to stop.
#[derive(Default)]
struct Running {
    services: Vec<SubscriptionKey>,
    checkpointer: Option<CheckpointerThread>,
    shards: Vec<JoinHandle<()>>,
}

impl JetStream {
    /// Recovers the streams, starts the threads, and attaches the streams and the API to the router.
    /// Blocks while it reads the log.
    ///
    /// # Errors
    /// When the store cannot be opened or is damaged; nothing was changed or cut then.
    pub(crate) fn start(options: JetStreamOptions) -> Result<Arc<Self>, Error> {
        let dir = options.store_dir.join("jetstream");
        let stores = Arc::new(Stores::new(Arc::clone(&options.disk), dir.join("streams")));
        let recovered = recovery::recover(&stores, &dir, &options.entropy, &options.limits)?;
        let thread_error = |source| Error::Io {
            action: "start the threads for",
            file: dir.clone(),
            source,
        };
        Self::run(&options, stores, recovered).map_err(thread_error)
    }

    /// Tells whether publishers may send more.
    pub(crate) fn has_room(&self) -> bool {
        room::has_room(&*self.log, &self.shards)
    }

    /// Waits until publishers may send more. May be dropped at any time.
    pub(crate) async fn wait_for_room(&self) {
        self.waiting_room.wait_until(|| self.has_room()).await;
    }

    /// Ends JetStream: takes nothing any more, writes what was taken, makes a last checkpoint, and joins
    /// all threads. Blocks. A second call does nothing.
    ///
    /// # Errors
    /// When the last checkpoint fails; the log has everything, and the next start reads more of it.
    pub(crate) fn shutdown(&self) -> Result<(), Error> {
        self.end(true)
    }

    fn run(
        options: &JetStreamOptions,
        stores: Arc<Stores>,
        recovered: Recovered,
    ) -> std::io::Result<Arc<Self>> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let queues: Vec<_> = (0..cores.min(SHARDS_MAX))
            .map(|_| Arc::new(ShardQueue::new()))
            .collect();
        let activity = Arc::new(Activity::new());
        let waiting_room = Arc::new(WaitingRoom::default());
        let commits = ToShards {
            shards: queues.clone(),
            waiting_room: Arc::clone(&waiting_room),
            activity: Arc::clone(&activity),
        };
        let log = SoloLog::start(recovered.wal, commits, SoloOptions::default())?;
        let log = Arc::new(log);
        let intake = Arc::new(Intake {
            log: Arc::<SoloLog<Receipt>>::clone(&log),
            clock: Arc::clone(&options.clock),
            router: Arc::clone(&options.router),
            outlet: Mutex::new(Outlet::new(&options.router)),
            stuck_shards: AtomicUsize::new(0),
        });
        let parts = ShardParts {
            intake,
            directory: Arc::new(Directory::default()),
            stores: Arc::clone(&stores),
            activity: Arc::clone(&activity),
            waiting_room: Arc::clone(&waiting_room),
            entropy: Arc::clone(&options.entropy),
        };
        let mut shards: Vec<_> = queues
            .iter()
            .map(|queue| Shard::new(Arc::clone(queue), parts.clone()))
            .collect();
        log.open_group(GroupId::META, recovered.meta.applied());
        for (_, known) in recovered.meta.iter() {
            let is_in_force =
                |recovered: &RecoveredStream| recovered.stream.config() == &known.config;
            if !recovered.streams.get(&known.group).is_some_and(is_in_force) {
                // The node ended between the meta group's decision and the stream's.
                let config = Box::new(known.config.clone());
                let order = StreamOrder::Configure(known.group, config, Receipt::None);
                shard_of(&queues, known.group).push(Input::Order(Box::new(order)));
            }
        }
        for (group, RecoveredStream { stream, store }) in recovered.streams {
            let shard = usize::try_from(group.0).unwrap_or_default() % shards.len();
            log.open_group(group, stream.applied());
            let replica = order::open(group, stream, store, &parts, &queues[shard]);
            shards[shard].replicas.insert(group, replica);
        }
        for group in recovered.deleted {
            activity.add_deleted(group);
        }
        shards[0].meta = Some(MetaOwner::new(
            recovered.meta,
            parts.clone(),
            queues.clone(),
        ));

        let checkpointer = CheckpointerThread::start(Checkpointer {
            disk: Arc::clone(&stores.disk),
            streams_dir: stores.streams_dir.clone(),
            checkpoints: recovered.checkpoints,
            log: Arc::<SoloLog<Receipt>>::clone(&log),
            shards: queues.clone(),
            activity,
        })?;
        let mut running = Running {
            services: Vec::new(),
            checkpointer: Some(checkpointer),
            shards: Vec::new(),
        };
        for (number, shard) in shards.into_iter().enumerate() {
            running.shards.push(shard.spawn(number)?);
        }
        running.services = services::attach(&parts, &queues);
        Ok(Arc::new(Self {
            log,
            shards: queues,
            waiting_room,
            directory: parts.directory,
            router: Arc::clone(&options.router),
            running: Mutex::new(running),
        }))
    }

    fn end(&self, with_checkpoint: bool) -> Result<(), Error> {
        let Running {
            services,
            checkpointer,
            shards,
        } = std::mem::take(&mut *self.running());
        for service in &services {
            self.router.unsubscribe(service);
        }
        self.log.shutdown();
        let checkpointer = checkpointer.and_then(|mut thread| thread.stop());
        let last = match checkpointer {
            Some(checkpointer) if with_checkpoint => checkpointer.last_checkpoint(),
            Some(_) | None => Ok(()),
        };
        for shard in &self.shards {
            shard.push(Input::Stop);
        }
        for shard in shards {
            if shard.join().is_err() {
                tracing::error!("a shard has panicked");
            }
        }
        self.directory.clear();
        // Whoever waits for room need not any more.
        self.waiting_room.notify();
        last
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            .field("log", &self.log)
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}
