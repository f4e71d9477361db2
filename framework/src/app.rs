//! Wiring: what an application is made of, and the running application.

mod error;

use std::any::{Any, TypeId, type_name};
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::aggregate::{Aggregate, Decide};
use crate::broker::Broker;
use crate::cause::Cause;
use crate::consumer::{AnyConsumer, Consumer, ConsumerRunner, Dependencies};
use crate::event::{Event, Recorded};
use crate::id::Position;
use crate::jetstream::{EnsuredStream, JetStream};
use crate::projection::{
    AnyProjection, Projection, ProjectionError, Projector, ReadModel, RebuildProgress,
    RebuildReport, Rows,
};
use crate::repository::{ExecuteError, Executed, LoadError, Loaded, Repository};
use crate::store::ReadStore;

pub use self::error::StartError;

/// How long [`RunningApp::catch_up`] waits while nothing moves.
const CATCH_UP_STALL_MAX: Duration = Duration::from_secs(30);

type Streams = BTreeMap<&'static str, EnsuredStream>;
type AnyRepository = Arc<dyn Any + Send + Sync>;
type MakeRepository = Box<dyn FnOnce(&JetStream, &Streams) -> (TypeId, AnyRepository) + Send>;
type MakeProjection = Box<dyn FnOnce(&JetStream, &Streams) -> Arc<dyn AnyProjection> + Send>;
type MakeConsumer = Box<dyn FnOnce(&Streams, Arc<dyn ReadStore>) -> Arc<dyn AnyConsumer> + Send>;

/// An application being put together; [`start`](Self::start) runs it.
#[must_use = "an application does nothing until it is started"]
pub struct App {
    broker: Broker,
    contexts: Vec<&'static str>,
    repositories: Vec<MakeRepository>,
    projections: Vec<MakeProjection>,
    consumers: Vec<(&'static str, MakeConsumer)>,
    inbox: Option<Arc<dyn ReadStore>>,
    dependencies: Dependencies,
}

impl App {
    /// Begins an application on a broker.
    pub fn new(broker: Broker) -> Self {
        Self {
            broker,
            contexts: Vec::new(),
            repositories: Vec::new(),
            projections: Vec::new(),
            consumers: Vec::new(),
            inbox: None,
            dependencies: Dependencies::default(),
        }
    }

    /// Adds a kind of aggregate, so that its commands can be executed.
    pub fn aggregate<A: Aggregate>(mut self) -> Self {
        self.contexts.push(A::Event::CONTEXT);
        self.repositories.push(Box::new(|jetstream, streams| {
            let stream = stream_of::<A::Event>(streams).name;
            let repository = Repository::<A>::new(jetstream.clone(), stream);
            (TypeId::of::<A>(), Arc::new(repository))
        }));
        self
    }

    /// Adds a projection whose rows live in `store`. Stores are cheap to clone and share.
    pub fn projection<P: Projection>(mut self, projection: P, store: impl ReadStore) -> Self {
        self.contexts.push(P::Event::CONTEXT);
        self.projections.push(Box::new(move |jetstream, streams| {
            let stream = stream_of::<P::Event>(streams);
            Arc::new(Projector::new(
                projection,
                Arc::new(store),
                jetstream.clone(),
                stream,
            ))
        }));
        self
    }

    /// Adds a consumer. It needs an [`inbox`](Self::inbox).
    pub fn consumer<C: Consumer>(mut self, consumer: C) -> Self {
        self.contexts.push(C::Event::CONTEXT);
        let durable = consumer.settings().durable;
        let make = move |streams: &Streams, inbox| {
            let stream = stream_of::<C::Event>(streams);
            Arc::new(ConsumerRunner {
                consumer,
                stream,
                inbox,
            }) as Arc<dyn AnyConsumer>
        };
        self.consumers.push((durable, Box::new(make)));
        self
    }

    /// Sets the store where consumers keep which events they have handled, and the rows they write.
    pub fn inbox(mut self, store: impl ReadStore) -> Self {
        self.inbox = Some(Arc::new(store));
        self
    }

    /// Provides a value to handlers, one per type; a later one of the same type replaces it.
    pub fn provide<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.dependencies.provide(value);
        self
    }

    /// Finds or makes the streams and consumers, then starts projections and consumers.
    ///
    /// # Errors
    /// [`StartError`] when the broker or a setting forbids it; nothing runs then.
    pub async fn start(self) -> Result<RunningApp, StartError> {
        let jetstream = JetStream::new(&self.broker);
        let mut streams = Streams::new();
        for context in self.contexts {
            if !streams.contains_key(context) {
                let stream = jetstream
                    .ensure_stream(context)
                    .await
                    .map_err(StartError::stream)?;
                for difference in &stream.differences {
                    tracing::warn!(stream = stream.name, "{difference}");
                }
                streams.insert(context, stream);
            }
        }
        let make = self.repositories.into_iter();
        let repositories = make.map(|make| make(&jetstream, &streams)).collect();
        let make = self.projections.into_iter();
        let projections: Vec<_> = make.map(|make| make(&jetstream, &streams)).collect();
        check_unique(&projections)?;
        let consumers = make_consumers(self.consumers, &streams, self.inbox.as_ref())?;
        let core = Arc::new(Core {
            jetstream,
            repositories,
            projections,
            dependencies: self.dependencies,
            inbox: self.inbox,
            streams,
        });
        for consumer in &consumers {
            let durable = consumer.settings().durable;
            let missing = |source| StartError::Dependency { durable, source };
            consumer.check(&core.dependencies).map_err(missing)?;
            let refused = |error| StartError::consumer(durable, &error);
            consumer.ensure(&core).await.map_err(refused)?;
        }
        Ok(RunningApp {
            tasks: Arc::new(Tasks::start(&core, consumers)),
            core,
        })
    }
}

impl Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("broker", &self.broker)
            .finish_non_exhaustive()
    }
}

fn stream_of<E: Event>(streams: &Streams) -> EnsuredStream {
    streams
        .get(E::CONTEXT)
        .cloned()
        .expect("start() ensures the stream of every context first")
}

fn check_unique(projections: &[Arc<dyn AnyProjection>]) -> Result<(), StartError> {
    for (at, projection) in projections.iter().enumerate() {
        for other in projections.iter().take(at) {
            if other.name() == projection.name() || other.table() == projection.table() {
                let (first, second) = (other.name(), projection.name());
                let table = projection.table();
                return Err(StartError::Duplicate {
                    first,
                    second,
                    table,
                });
            }
        }
    }
    Ok(())
}

fn make_consumers(
    consumers: Vec<(&'static str, MakeConsumer)>,
    streams: &Streams,
    inbox: Option<&Arc<dyn ReadStore>>,
) -> Result<Vec<Arc<dyn AnyConsumer>>, StartError> {
    let make = |(durable, make): (&'static str, MakeConsumer)| {
        let inbox = inbox.ok_or(StartError::NoInbox { durable })?;
        Ok(make(streams, Arc::clone(inbox)))
    };
    consumers.into_iter().map(make).collect()
}

/// A running application. Cloning is cheap and gives the same one; when the last clone is dropped
/// its tasks are aborted, which loses nothing. [`shutdown`](Self::shutdown) ends them in order.
#[derive(Clone)]
pub struct RunningApp {
    core: Arc<Core>,
    tasks: Arc<Tasks>,
}

/// What tasks share.
pub(crate) struct Core {
    pub(crate) jetstream: JetStream,
    repositories: HashMap<TypeId, AnyRepository>,
    projections: Vec<Arc<dyn AnyProjection>>,
    pub(crate) dependencies: Dependencies,
    pub(crate) inbox: Option<Arc<dyn ReadStore>>,
    streams: Streams,
}

impl Core {
    pub(crate) fn repository<A: Aggregate>(&self) -> Result<Arc<Repository<A>>, LoadError> {
        let found = self.repositories.get(&TypeId::of::<A>()).cloned();
        let found = found.and_then(|repository| repository.downcast::<Repository<A>>().ok());
        found.ok_or(LoadError::NotRegistered {
            aggregate: type_name::<A>(),
        })
    }

    pub(crate) fn projection_of(&self, table: &str) -> Option<&Arc<dyn AnyProjection>> {
        self.projections
            .iter()
            .find(|projection| projection.table() == table)
    }
}

struct Tasks {
    stop: watch::Sender<bool>,
    consumers: Mutex<JoinSet<()>>,
    projections: Mutex<JoinSet<()>>,
}

impl Tasks {
    fn start(core: &Arc<Core>, consumers: Vec<Arc<dyn AnyConsumer>>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        for consumer in consumers {
            running.spawn(consumer.run(Arc::clone(core), stopped.clone()));
        }
        let mut projecting = JoinSet::new();
        for projection in &core.projections {
            let projection = Arc::clone(projection);
            projecting.spawn(async move { projection.run().await });
        }
        Self {
            stop,
            consumers: Mutex::new(running),
            projections: Mutex::new(projecting),
        }
    }
}

impl RunningApp {
    /// Executes a command on an aggregate.
    ///
    /// The command takes effect once: sent again with the same id on the same aggregate, however
    /// much later, it returns what it led to and `duplicate: true`.
    ///
    /// # Errors
    /// [`ExecuteError`]: only `Unknown` leaves open whether events were written.
    pub async fn execute<A, C>(
        &self,
        id: &<A::Event as Event>::Id,
        cause: impl Into<Cause>,
        command: C,
    ) -> Result<Executed<A::Event>, ExecuteError<A::Rejection>>
    where
        A: Aggregate + Decide<C>,
    {
        self.core
            .repository::<A>()?
            .execute(id, &cause.into(), &command)
            .await
    }

    /// Loads an aggregate from the log.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn load<A: Aggregate>(
        &self,
        id: &<A::Event as Event>::Id,
    ) -> Result<Loaded<A>, LoadError> {
        self.core.repository::<A>()?.load(id).await
    }

    /// Reads all events of an aggregate, oldest first.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn history<A: Aggregate>(
        &self,
        id: &<A::Event as Event>::Id,
    ) -> Result<Vec<Recorded<A::Event>>, LoadError> {
        self.core.repository::<A>()?.history(id).await
    }

    /// Returns the rows of a read model: those of the projection that keeps them, or else those
    /// consumers write into the inbox's store.
    ///
    /// # Errors
    /// [`ProjectionError::NotRegistered`] when there is neither.
    pub fn rows<R: ReadModel>(&self) -> Result<Rows<R>, ProjectionError> {
        if let Some(projection) = self.core.projection_of(R::TABLE) {
            return Ok(Rows::projected(projection));
        }
        let store = self.core.inbox.clone();
        let store = store.ok_or(ProjectionError::NotRegistered { name: R::TABLE })?;
        Ok(Rows::written(store))
    }

    /// Waits until every projection has folded the events there are now.
    ///
    /// # Errors
    /// [`ProjectionError::Lagging`] when one fails, or does not move for 30 s.
    pub async fn catch_up(&self) -> Result<(), ProjectionError> {
        for projection in &self.core.projections {
            let target = projection.target().await?;
            wait_for(projection.as_ref(), target).await?;
        }
        Ok(())
    }

    /// Makes the rows of a projection anew from the first event while the old ones serve, compares
    /// both, and switches over. `progress` is called after every batch.
    ///
    /// # Errors
    /// [`ProjectionError`]; the old rows are untouched then.
    pub async fn rebuild<P: Projection>(
        &self,
        _projection: P,
        progress: impl FnMut(RebuildProgress),
    ) -> Result<RebuildReport, ProjectionError> {
        let found = self
            .core
            .projections
            .iter()
            .find(|found| found.name() == P::NAME);
        let found = found.map(|found| Arc::clone(found).into_any().downcast::<Projector<P>>());
        let Some(Ok(projector)) = found else {
            return Err(ProjectionError::NotRegistered { name: P::NAME });
        };
        projector.rebuild(progress).await
    }

    /// Returns how the streams found differ from what the framework would have made, one sentence
    /// each. Nothing is changed silently.
    #[must_use]
    pub fn stream_differences(&self) -> Vec<String> {
        self.core
            .streams
            .values()
            .flat_map(|stream| stream.differences.clone())
            .collect()
    }

    /// Stops pulling, waits up to 30 s for handlers at work, and stops the projections. Commands can
    /// still be executed and rows read. The broker goes on: see [`Broker::shutdown`].
    pub async fn shutdown(&self) {
        self.tasks.stop.send_replace(true);
        let mut consumers = self.tasks.consumers.lock().await;
        while consumers.join_next().await.is_some() {}
        // A projection may be stopped anywhere: rows and checkpoint are committed together.
        self.tasks.projections.lock().await.shutdown().await;
    }
}

impl Debug for RunningApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .core
            .projections
            .iter()
            .map(|found| found.name())
            .collect();
        f.debug_struct("RunningApp")
            .field("projections", &names)
            .finish_non_exhaustive()
    }
}

async fn wait_for(projection: &dyn AnyProjection, target: Position) -> Result<(), ProjectionError> {
    let mut progress = projection.progress();
    loop {
        let now = progress.borrow_and_update().clone();
        if now.position >= target {
            return Ok(());
        }
        let failing = now.failure.is_some();
        if failing
            || timeout(CATCH_UP_STALL_MAX, progress.changed())
                .await
                .is_err()
        {
            return Err(ProjectionError::Lagging {
                projection: projection.name(),
                position: now.position,
                wanted: target,
                failure: now.failure,
            });
        }
    }
}
