//! Keeping a read model up with the log.
//!
//! Reads from the checkpoint on through an ephemeral pull consumer without acks: the checkpoint in
//! the store is the truth, the broker's position is only a way of reading. A commit takes whatever
//! has arrived meanwhile, so it grows under load and stays small when idle.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::timeout;

use super::{Batch, Projection, ProjectionError, ReadModel};
use crate::envelope;
use crate::event::Recorded;
use crate::id::Position;
use crate::jetstream::{
    AckPolicy, ConsumerConfig, DeliverPolicy, Delivery, EnsuredStream, JetStream, PullConsumer,
};
use crate::store::{Checkpoint, Durability, ReadStore, StoreError, Table};

/// Events asked for in one pull.
const PULL: usize = 1_024;
/// How long to wait for an event the broker says is there, before committing what has come.
const LINGER: Duration = Duration::from_millis(50);
/// Longest wait before a failed projection tries again; doubles from 100 ms.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Longest wait of a runner that found itself behind another one, so that two do not go in step.
const FENCED_MAX_MS: u64 = 50;

/// Most events and payload bytes of one commit.
#[derive(Clone, Copy)]
pub(super) struct BatchLimits {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

const LIVE: BatchLimits = BatchLimits {
    events: 8_192,
    bytes: 4 << 20,
};

/// One projection of an application, and where it stands.
pub(crate) struct Projector<P: Projection> {
    pub(super) projection: P,
    pub(super) store: Arc<dyn ReadStore>,
    pub(super) jetstream: JetStream,
    pub(super) stream: EnsuredStream,
    /// The checkpoint as this process knows it. Whoever changes rows holds it.
    pub(super) checkpoint: Mutex<Option<Checkpoint>>,
    pub(super) rebuilding: Mutex<()>,
    pub(super) progress: watch::Sender<Progress>,
}

/// What the runner tells those who wait for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    pub(crate) position: Position,
    /// Why it does not go on; it tries again.
    pub(crate) failure: Option<String>,
}

/// A projection of any type.
#[async_trait]
pub(crate) trait AnyProjection: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    fn table(&self) -> &'static str;
    fn store(&self) -> Arc<dyn ReadStore>;
    fn progress(&self) -> watch::Receiver<Progress>;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;

    /// Runs until it is dropped; all state is in the store.
    async fn run(&self);

    /// Finds the last event there is for it.
    async fn target(&self) -> Result<Position, ProjectionError>;
}

#[async_trait]
impl<P: Projection> AnyProjection for Projector<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn table(&self) -> &'static str {
        P::Row::TABLE
    }

    fn store(&self) -> Arc<dyn ReadStore> {
        Arc::clone(&self.store)
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    async fn run(&self) {
        let mut retry_after = Duration::from_millis(100);
        loop {
            let before = self.progress.borrow().position;
            let Err(error) = self.follow().await;
            if is_fenced(&error) {
                // Not a failure: somebody else has folded these events, for example the last commit
                // of a process that has just ended. Go on from there.
                tracing::info!(projection = P::NAME, error = %crate::chain(&error), "going on behind another");
                tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=FENCED_MAX_MS))).await;
                continue;
            }
            let error = crate::chain(&error);
            tracing::warn!(projection = P::NAME, %error, "projection stopped, trying again");
            self.progress
                .send_modify(|progress| progress.failure = Some(error));
            if self.progress.borrow().position > before {
                retry_after = Duration::from_millis(100);
            }
            tokio::time::sleep(retry_after).await;
            retry_after = (retry_after * 2).min(RETRY_MAX);
        }
    }

    async fn target(&self) -> Result<Position, ProjectionError> {
        let filter = envelope::event_filter::<P::Event>();
        let last = self.jetstream.last_seq(&self.stream.name, &filter).await;
        let last = last.map_err(ProjectionError::unavailable(P::NAME))?;
        Ok(Position(last.unwrap_or(0)))
    }
}

impl<P: Projection> Projector<P> {
    pub(crate) fn new(
        projection: P,
        store: Arc<dyn ReadStore>,
        jetstream: JetStream,
        stream: EnsuredStream,
    ) -> Self {
        let (progress, _) = watch::channel(Progress::default());
        let checkpoint = Mutex::new(None);
        let rebuilding = Mutex::new(());
        Self {
            projection,
            store,
            jetstream,
            stream,
            checkpoint,
            rebuilding,
            progress,
        }
    }

    async fn follow(&self) -> Result<std::convert::Infallible, ProjectionError> {
        let position = self.resume().await?;
        let mut source =
            EventSource::<P>::open(&self.jetstream, &self.stream.name, position).await?;
        loop {
            let events = source.next_batch(LIVE).await?;
            self.commit(events).await?;
        }
    }

    /// Reads the checkpoint from the store.
    async fn resume(&self) -> Result<Position, ProjectionError> {
        let mut known = self.checkpoint.lock().await;
        *known = self.load_checkpoint().await?;
        if let Some(checkpoint) = known.as_ref()
            && checkpoint.incarnation != self.stream.incarnation
        {
            return Err(ProjectionError::OtherStream {
                projection: P::NAME,
                expected: checkpoint.incarnation.clone(),
                found: self.stream.incarnation.clone(),
            });
        }
        let position = known
            .as_ref()
            .map_or(Position(0), |checkpoint| checkpoint.position);
        self.progress.send_replace(Progress {
            position,
            failure: None,
        });
        Ok(position)
    }

    pub(super) async fn load_checkpoint(&self) -> Result<Option<Checkpoint>, ProjectionError> {
        self.store
            .checkpoint(P::NAME)
            .await
            .map_err(ProjectionError::store(P::NAME))
    }

    /// Folds events and commits their rows with the checkpoint.
    async fn commit(&self, mut events: Vec<Recorded<P::Event>>) -> Result<(), ProjectionError> {
        let mut known = self.checkpoint.lock().await;
        let done = known
            .as_ref()
            .map_or(Position(0), |checkpoint| checkpoint.position);
        events.retain(|event| event.position() > done);
        let Some(last) = events.last().map(Recorded::position) else {
            return Ok(());
        };
        let next = Checkpoint {
            position: last,
            incarnation: self.stream.incarnation.clone(),
            generation: known.as_ref().map_or(0, |checkpoint| checkpoint.generation),
        };
        let table = Table::generation(P::Row::TABLE, next.generation);
        let batch = self.fold(table, &events).await?;
        self.commit_batch(batch, table, &mut known, next).await
    }

    async fn commit_batch(
        &self,
        batch: Batch<P>,
        table: Table,
        known: &mut MutexGuard<'_, Option<Checkpoint>>,
        next: Checkpoint,
    ) -> Result<(), ProjectionError> {
        let failed = ProjectionError::store(P::NAME);
        let changes = batch.into_changes()?;
        let mut tx = self
            .store
            .begin(Durability::Immediate)
            .await
            .map_err(&failed)?;
        tx.advance(P::NAME, known.as_ref(), &next)
            .await
            .map_err(&failed)?;
        tx.write(table, changes).await.map_err(&failed)?;
        tx.commit().await.map_err(&failed)?;
        let position = next.position;
        **known = Some(next);
        self.progress.send_replace(Progress {
            position,
            failure: None,
        });
        Ok(())
    }

    /// Folds events onto the rows of one generation.
    pub(super) async fn fold(
        &self,
        table: Table,
        events: &[Recorded<P::Event>],
    ) -> Result<Batch<P>, ProjectionError> {
        let mut batch = Batch::default();
        let keys = batch.missing_keys(&self.projection, events)?;
        let rows = self.store.get(table, keys.clone()).await;
        let rows = rows.map_err(ProjectionError::store(P::NAME))?;
        batch.load(keys.into_iter().zip(rows))?;
        for event in events {
            batch.fold(&self.projection, event)?;
        }
        Ok(batch)
    }
}

fn is_fenced(error: &ProjectionError) -> bool {
    matches!(
        error,
        ProjectionError::Store {
            source: StoreError::Fenced { .. },
            ..
        }
    )
}

/// The events of a projection from one position on.
pub(super) struct EventSource<P: Projection> {
    consumer: PullConsumer,
    consumer_seq: u64,
    _projection: std::marker::PhantomData<fn() -> P>,
}

impl<P: Projection> EventSource<P> {
    pub(super) async fn open(
        jetstream: &JetStream,
        stream: &str,
        after: Position,
    ) -> Result<Self, ProjectionError> {
        let config = ConsumerConfig {
            name: Some(format!("{}-{}", P::NAME, crate::id::random_id())),
            deliver_policy: DeliverPolicy::ByStartSequence,
            opt_start_seq: Some(after.0 + 1),
            ack_policy: AckPolicy::None,
            filter_subject: envelope::event_filter::<P::Event>(),
            inactive_threshold: Some(crate::jetstream::Nanos(Duration::from_secs(60))),
            replay_policy: "instant",
            ..ConsumerConfig::default()
        };
        let consumer = jetstream.consumer(stream, &config).await;
        let consumer = consumer.map_err(ProjectionError::unavailable(P::NAME))?;
        Ok(Self {
            consumer,
            consumer_seq: 0,
            _projection: std::marker::PhantomData,
        })
    }

    /// Events there were when the source was opened.
    pub(super) fn waiting(&self) -> u64 {
        self.consumer.num_pending
    }

    /// Waits for one event and takes what else is there, up to the limits.
    pub(super) async fn next_batch(
        &mut self,
        limits: BatchLimits,
    ) -> Result<Vec<Recorded<P::Event>>, ProjectionError> {
        let unavailable = ProjectionError::unavailable(P::NAME);
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut delivery = self.consumer.next(PULL).await.map_err(&unavailable)?;
        loop {
            let more_waiting = delivery.num_pending > 0;
            bytes += delivery.message.payload.len();
            events.push(self.decode(&delivery)?);
            if events.len() >= limits.events || bytes >= limits.bytes {
                return Ok(events);
            }
            let next = if more_waiting {
                timeout(LINGER, self.consumer.next(PULL))
                    .await
                    .ok()
                    .transpose()
            } else {
                self.consumer.try_next()
            };
            match next.map_err(&unavailable)? {
                Some(next) => delivery = next,
                None => return Ok(events),
            }
        }
    }

    /// Deletes the consumer; if that fails it ends by itself after a minute.
    pub(super) async fn close(self) {
        if let Err(error) = self.consumer.delete().await {
            tracing::debug!(projection = P::NAME, %error, "could not delete an ephemeral consumer");
        }
    }

    fn decode(&mut self, delivery: &Delivery) -> Result<Recorded<P::Event>, ProjectionError> {
        self.consumer_seq += 1;
        if delivery.consumer_seq != self.consumer_seq {
            let reason = format!(
                "delivery {} came where {} was due, one was lost on the way",
                delivery.consumer_seq, self.consumer_seq
            );
            return Err(ProjectionError::Unavailable {
                projection: P::NAME,
                reason,
            });
        }
        envelope::decode(&delivery.message).map_err(|source| ProjectionError::Event {
            projection: P::NAME,
            position: Position(delivery.message.seq),
            source,
        })
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests;
