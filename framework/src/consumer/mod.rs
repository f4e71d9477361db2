//! Consumers: handlers that react to events, each event handled once.
//!
//! A consumer is a durable pull consumer on the broker plus an inbox in the read store. While a
//! handler works, heartbeats keep the broker from redelivering its message, up to a stated maximum.

mod context;
mod handler_error;
mod lease;
mod runner;

use std::future::Future;
use std::time::Duration;

use crate::event::{Event, Recorded};

pub use self::context::{Context, Dependencies, FromContext, MissingDependency, Provided};
pub use self::handler_error::HandlerError;
pub(crate) use self::runner::{AnyConsumer, ConsumerRunner};

/// What a handler returns.
pub type Handled = Result<Outcome, HandlerError>;

/// How a handler ended when nothing went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Handled: writes through the context are committed with the mark "handled", then the
    /// message is acknowledged.
    Ack,
    /// Not yet: deliver it again after this time. Writes through the context are dropped.
    RetryIn(Duration),
    /// Never: do not deliver it again, for this reason. Writes through the context are dropped.
    Term(String),
}

/// A handler of events; what `#[consumer]` expands to.
pub trait Consumer: Send + Sync + 'static {
    /// The events it handles.
    type Event: Event;

    /// Returns the settings.
    fn settings(&self) -> ConsumerSettings;

    /// Checks at start that everything the handler asks for has been provided.
    ///
    /// # Errors
    /// [`MissingDependency`] for the first that has not.
    fn check(&self, dependencies: &Dependencies) -> Result<(), MissingDependency> {
        let _ = dependencies;
        Ok(())
    }

    /// Handles one event. It may be dropped at any await when its lease is lost.
    fn handle(
        &self,
        event: Recorded<Self::Event>,
        context: Context,
    ) -> impl Future<Output = Handled> + Send;
}

/// How a consumer is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// Names the durable consumer on the broker.
    pub durable: &'static str,
    /// How long the broker waits for an ack or a heartbeat; a heartbeat goes out every third of it.
    pub ack_wait: Duration,
    /// The longest one handling may take, heartbeats included. There is no "for ever".
    pub heartbeat_max: Duration,
    /// What happens when [`heartbeat_max`](Self::heartbeat_max) is spent.
    pub on_budget_spent: BudgetSpent,
    /// Handlers at work at the same time, at least 1.
    pub concurrency: usize,
    /// Deliveries of one message before the broker gives up; `None`: no end.
    pub max_deliver: Option<u32>,
    /// Wait before redelivery after the first, second, .. failure; the last value repeats. Empty: 1 s.
    pub backoff: &'static [Duration],
}

impl ConsumerSettings {
    /// Settings with defaults: ack wait 30 s, one handler, no end of deliveries, 1 s back-off.
    #[must_use]
    pub const fn new(durable: &'static str, heartbeat_max: Duration) -> Self {
        Self {
            durable,
            ack_wait: Duration::from_secs(30),
            heartbeat_max,
            on_budget_spent: BudgetSpent::Retry,
            concurrency: 1,
            max_deliver: None,
            backoff: &[],
        }
    }

    pub(crate) fn backoff_after(&self, deliveries: u64) -> Duration {
        let failed = usize::try_from(deliveries.saturating_sub(1)).unwrap_or(usize::MAX);
        let step = self.backoff.get(failed).or(self.backoff.last());
        step.copied().unwrap_or(Duration::from_secs(1))
    }
}

/// What happens to a message whose handler has used up its time; the handler is dropped first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BudgetSpent {
    /// Deliver it again after the back-off.
    #[default]
    Retry,
    /// Do not deliver it again.
    Term,
}
