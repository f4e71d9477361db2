//! Running a consumer: pull what there is room for, handle, commit, acknowledge.
//!
//! A message goes through: seen in the inbox? then only acknowledge. Otherwise the handler runs under
//! a lease; its writes and the mark "handled" are committed together; then a double ack. A crash
//! before the commit repeats the handling, one after it finds the mark.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::lease::{Lease, LeaseEnd};
use super::{
    BudgetSpent, Consumer, ConsumerSettings, Context, Dependencies, Handled, HandlerError,
    MissingDependency, Outcome,
};
use crate::app::Core;
use crate::envelope;
use crate::event::Recorded;
use crate::id::Position;
use crate::jetstream::{
    AckPolicy, ConsumerConfig, DeliverPolicy, Delivery, EnsuredStream, JetStreamError, Nanos,
    PullConsumer, SETTLE_TIMEOUT, Settle,
};
use crate::store::{Durability, ReadStore, StoreError};

/// How long a drain waits for handlers at work.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// Wait before a failed consumer tries again.
const RETRY: Duration = Duration::from_secs(1);
/// Marks are folded into one below the ack floor after this many messages, so the inbox stays below this
/// plus what is in flight.
const FORGET_EVERY: u64 = 1_000;

/// A consumer of any type.
#[async_trait]
pub(crate) trait AnyConsumer: Send + Sync + 'static {
    fn settings(&self) -> ConsumerSettings;
    fn check(&self, dependencies: &Dependencies) -> Result<(), MissingDependency>;

    /// Makes the durable consumer on the broker, or finds it.
    async fn ensure(&self, core: &Core) -> Result<(), JetStreamError>;

    /// Runs until told to stop, then drains.
    async fn run(self: Arc<Self>, core: Arc<Core>, stop: watch::Receiver<bool>);
}

pub(crate) struct ConsumerRunner<C> {
    pub(crate) consumer: C,
    pub(crate) stream: EnsuredStream,
    pub(crate) inbox: Arc<dyn ReadStore>,
}

#[async_trait]
impl<C: Consumer> AnyConsumer for ConsumerRunner<C> {
    fn settings(&self) -> ConsumerSettings {
        self.consumer.settings()
    }

    fn check(&self, dependencies: &Dependencies) -> Result<(), MissingDependency> {
        self.consumer.check(dependencies)
    }

    async fn ensure(&self, core: &Core) -> Result<(), JetStreamError> {
        self.open(core).await.map(drop)
    }

    async fn run(self: Arc<Self>, core: Arc<Core>, mut stop: watch::Receiver<bool>) {
        let durable = self.settings().durable;
        let mut handlers = JoinSet::new();
        loop {
            // Pulling is cancel-safe: what was pulled and not handled is delivered again.
            let error = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Err(error) = self.pull(&core, &mut handlers) => error,
            };
            tracing::warn!(durable, %error, "consumer stopped, trying again");
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
        let drained = tokio::time::timeout(DRAIN_MAX, async {
            while handlers.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(
                durable,
                "handlers did not end in time, their messages come again"
            );
        }
    }
}

impl<C: Consumer> ConsumerRunner<C> {
    /// Marks belong to the stream as it was made: positions of one made anew mean other messages.
    fn inbox_name(&self) -> String {
        format!("{}@{}", self.settings().durable, self.stream.incarnation)
    }

    async fn open(&self, core: &Core) -> Result<PullConsumer, JetStreamError> {
        let settings = self.settings();
        let config = ConsumerConfig {
            durable_name: Some(settings.durable.to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: Some(Nanos(settings.ack_wait)),
            max_deliver: settings.max_deliver,
            max_ack_pending: Some(settings.concurrency.max(1_000)),
            filter_subject: envelope::event_filter::<C::Event>(),
            replay_policy: "instant",
            ..ConsumerConfig::default()
        };
        core.jetstream.consumer(&self.stream.name, &config).await
    }

    async fn pull(
        self: &Arc<Self>,
        core: &Arc<Core>,
        handlers: &mut JoinSet<()>,
    ) -> Result<std::convert::Infallible, JetStreamError> {
        let mut consumer = self.open(core).await?;
        let concurrency = self.settings().concurrency.max(1);
        let mut until_forget = FORGET_EVERY;
        loop {
            while handlers.len() >= concurrency {
                handlers.join_next().await;
            }
            while handlers.try_join_next().is_some() {}
            // Never more than there is room for: a message starts to be handled when it arrives.
            let delivery = consumer.next(concurrency - handlers.len()).await?;
            let (runner, core) = (Arc::clone(self), Arc::clone(core));
            handlers.spawn(async move { runner.handle_delivery(core, delivery).await });
            until_forget -= 1;
            if until_forget == 0 {
                until_forget = FORGET_EVERY;
                self.forget(consumer.ack_floor().await?).await;
            }
        }
    }

    async fn handle_delivery(&self, core: Arc<Core>, delivery: Delivery) {
        let settings = self.settings();
        let (durable, position) = (settings.durable, Position(delivery.message.seq));
        let settle = match self.outcome(&core, &delivery, &settings).await {
            Ok(settle) => settle,
            Err(error) => {
                let delay = settings.backoff_after(delivery.deliveries);
                tracing::warn!(durable, %position, %error, ?delay, "handler failed, trying again");
                Some(Settle::Nak { delay })
            }
        };
        let Some(settle) = settle else { return };
        let settled = core
            .jetstream
            .settle(&delivery.ack_subject(), &settle, SETTLE_TIMEOUT)
            .await;
        if let Err(error) = settled {
            tracing::warn!(durable, %position, %error, "not settled, it will be delivered again");
        }
    }

    /// Returns how to settle the delivery; `None` when it is no longer ours.
    async fn outcome(
        &self,
        core: &Arc<Core>,
        delivery: &Delivery,
        settings: &ConsumerSettings,
    ) -> Result<Option<Settle>, HandlerError> {
        let event = envelope::decode::<C::Event>(&delivery.message)?;
        let (position, event_id) = (event.position(), event.envelope.event_id.clone());
        if self.inbox.handled(&self.inbox_name(), position).await? {
            return Ok(Some(Settle::Ack));
        }
        let context = Context::new(
            Arc::clone(core),
            settings.durable,
            event.envelope.clone(),
            delivery.deliveries,
        );
        let ack = delivery.ack_subject();
        let lease = Lease::new(&core.jetstream, &ack, settings);
        let handled = tokio::select! {
            // The end of the lease drops the handler at its next await, the end of the handler
            // drops the lease and with it the heartbeats.
            handled = self.handle(event, context.clone()) => handled?,
            end = lease.hold() => return Ok(lease_ended(end, delivery, settings)),
        };
        match handled {
            Outcome::Ack => {
                self.commit(position, event_id.as_str(), &context).await?;
                Ok(Some(Settle::Ack))
            }
            Outcome::RetryIn(delay) => Ok(Some(Settle::Nak { delay })),
            Outcome::Term(reason) => Ok(Some(Settle::Term { reason })),
        }
    }

    async fn handle(&self, event: Recorded<C::Event>, context: Context) -> Handled {
        let handled = AssertUnwindSafe(self.consumer.handle(event, context))
            .catch_unwind()
            .await;
        handled.unwrap_or_else(|panic| {
            let message = crate::panic_message(panic.as_ref());
            Err(HandlerError::new(format!(
                "the handler panicked: {message}"
            )))
        })
    }

    /// Commits the handler's writes with the mark; one that is there already drops the writes.
    async fn commit(
        &self,
        position: Position,
        event_id: &str,
        context: &Context,
    ) -> Result<(), StoreError> {
        let mut tx = self.inbox.begin(Durability::Immediate).await?;
        match tx
            .mark_handled(&self.inbox_name(), position, event_id)
            .await
        {
            Err(StoreError::AlreadyHandled { .. }) => return Ok(()),
            marked => marked?,
        }
        for (table, change) in context.take_writes() {
            tx.write(table, vec![change]).await?;
        }
        tx.commit().await
    }

    /// Forgets marks of messages that cannot come again.
    async fn forget(&self, ack_floor: u64) {
        let durable = self.settings().durable;
        let forgotten = async {
            let mut tx = self.inbox.begin(Durability::Relaxed).await?;
            tx.forget_handled(&self.inbox_name(), Position(ack_floor))
                .await?;
            tx.commit().await
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(durable, error = %crate::chain(&error), "could not tidy the inbox");
        }
    }
}

fn lease_ended(end: LeaseEnd, delivery: &Delivery, settings: &ConsumerSettings) -> Option<Settle> {
    let ConsumerSettings {
        durable,
        heartbeat_max,
        ..
    } = *settings;
    let position = delivery.message.seq;
    match (end, settings.on_budget_spent) {
        (LeaseEnd::Lost, _) => {
            tracing::warn!(durable, position, "lease lost, handler dropped");
            None
        }
        (LeaseEnd::Spent, BudgetSpent::Retry) => {
            tracing::warn!(
                durable,
                position,
                ?heartbeat_max,
                "time spent, trying again"
            );
            Some(Settle::Nak {
                delay: settings.backoff_after(delivery.deliveries),
            })
        }
        (LeaseEnd::Spent, BudgetSpent::Term) => {
            tracing::warn!(durable, position, ?heartbeat_max, "time spent, giving up");
            let reason = format!("the handler took longer than {heartbeat_max:?}");
            Some(Settle::Term { reason })
        }
    }
}
