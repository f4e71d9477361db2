//! Hitherto: event sourcing with the broker built in.
//!
//! An application declares its **events**, folds them into **aggregates** that decide commands,
//! folds them into **read models** through projections, and reacts to them in **consumers**.
//! The log is a JetStream stream per bounded context, on a broker inside this process or over
//! the network; the application does not see the difference.
//!
//! # The order service in one page
//!
//! ```
//! use hitherto::{App, Broker, CommandId, Recorded, RedbStore};
//! use hitherto::{aggregate, event, projection, read_model};
//!
//! hitherto::id! {
//!     /// Names an order.
//!     pub struct OrderId;
//! }
//!
//! // Each variant becomes a struct of its own (`Placed`, `Paid`), and the enum holds them:
//! // `OrderEvent::Placed(Placed)`. Subjects: `orders.order.<id>.placed`, `orders.order.<id>.paid`.
//! #[event(context = "orders", aggregate = "order", id = OrderId)]
//! pub enum OrderEvent {
//!     /// The customer wants it.
//!     Placed { total_cents: u64 },
//!     /// The money is here.
//!     Paid { payment: String },
//! }
//!
//! /// Commands are plain types.
//! pub struct Place { pub total_cents: u64 }
//! pub struct Pay { pub payment: String }
//!
//! #[derive(Debug, PartialEq, thiserror::Error)]
//! pub enum OrderRejection {
//!     #[error("the order is already paid")]
//!     AlreadyPaid,
//! }
//!
//! #[derive(Default, Clone)]
//! pub struct Order { paid: bool }
//!
//! #[aggregate(event = OrderEvent, rejection = OrderRejection)]
//! impl Order {
//!     fn evolve(&mut self, event: &OrderEvent) {
//!         match event {
//!             OrderEvent::Placed(_) => {}
//!             OrderEvent::Paid(_) => self.paid = true,
//!         }
//!     }
//!
//!     #[decide(create)] // the order must not exist; `#[decide]`: it must; `#[decide(upsert)]`: either
//!     fn place(&self, command: &Place) -> Result<Placed, OrderRejection> {
//!         Ok(Placed { total_cents: command.total_cents })
//!     }
//!
//!     #[decide]
//!     fn pay(&self, command: &Pay) -> Result<Paid, OrderRejection> {
//!         if self.paid {
//!             return Err(OrderRejection::AlreadyPaid);
//!         }
//!         Ok(Paid { payment: command.payment.clone() })
//!     }
//! }
//!
//! #[read_model(key = OrderId)]
//! pub struct OrderRow { pub total_cents: u64, pub paid: bool }
//!
//! // A pure fold; `None` deletes the row. The key is the aggregate's id unless `key = ..` says else.
//! #[projection]
//! fn orders(row: Option<OrderRow>, event: &Recorded<OrderEvent>) -> Option<OrderRow> {
//!     match &event.event {
//!         OrderEvent::Placed(placed) => Some(OrderRow { total_cents: placed.total_cents, paid: false }),
//!         OrderEvent::Paid(_) => row.map(|row| OrderRow { paid: true, ..row }),
//!     }
//! }
//!
//! # #[cfg(feature = "embedded")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::in_memory().await?; // or embedded("./data"), or connect("nats://..")
//! let store = RedbStore::in_memory()?;     // or open("./data/read.redb")
//! let app = App::new(broker.clone())
//!     .aggregate::<Order>()
//!     .projection(orders, store)
//!     .start()
//!     .await?;
//!
//! let id = OrderId::new("o-1")?;
//! let place = CommandId::new("cmd-1")?;
//! let done = app.execute::<Order, _>(&id, place.clone(), Place { total_cents: 1250 }).await?;
//! assert!(!done.duplicate);
//! // The same command id on the same order: nothing happens twice, the first result comes back.
//! let again = app.execute::<Order, _>(&id, place, Place { total_cents: 1250 }).await?;
//! assert!(again.duplicate && again.version == done.version);
//!
//! // Read your own write: wait until the projection has passed it.
//! let rows = app.rows::<OrderRow>()?.at_least(done.version).await?;
//! assert_eq!(rows.get(&id).await?.map(|row| row.total_cents), Some(1250));
//!
//! let report = app.rebuild(orders, |progress| assert!(progress.done <= progress.total)).await?;
//! assert_eq!(report.equal, Some(true));
//!
//! app.shutdown().await;
//! broker.shutdown().await?;
//! # Ok(())
//! # }
//! # #[cfg(feature = "embedded")]
//! # fn main() { tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap(); }
//! # #[cfg(not(feature = "embedded"))]
//! # fn main() {}
//! ```
//!
//! Consumers react to events, with heartbeats while they work, and handle each event once:
//!
//! ```
//! # use hitherto::event;
//! # #[event(context = "orders", aggregate = "order")]
//! # pub enum OrderEvent { Placed { total_cents: u64 }, Paid { payment: String } }
//! use hitherto::{Context, Handled, Outcome, Provided, Recorded, consumer};
//!
//! pub struct Gateway;
//!
//! #[consumer(durable = "charge-card", ack_wait = "30s", heartbeat(max = "15m"),
//!            concurrency = 16, max_deliver = 10, backoff = ["1s", "10s", "1m"])]
//! async fn charge_card(event: Recorded<Placed>, cx: Context, gateway: Provided<Gateway>) -> Handled {
//!     // cx.execute::<Order, _>(event.id(), Pay { .. }).await?  -- command id derived from this event
//!     // cx.put(&key, &row)                          -- committed together with the mark "handled"
//!     Ok(Outcome::Ack)
//! }
//! // App::new(broker).aggregate::<Order>().inbox(store).provide(Gateway).consumer(charge_card)
//! ```
//!
//! # By hand
//!
//! Every macro expands to a public trait ([`Event`], [`Aggregate`], [`Decide`], [`ReadModel`],
//! [`Projection`], [`Consumer`]); `tests/by_hand.rs` spells all of them out. An aggregate, for example:
//!
//! ```
//! # use hitherto::{Aggregate, Decide, Mode, event};
//! # #[event(context = "shop", aggregate = "counter")]
//! # pub enum CounterEvent { Added { by: u32 } }
//! # #[derive(Debug, thiserror::Error)] #[error("too much")] pub struct TooMuch;
//! pub struct Add(pub u32);
//!
//! #[derive(Default, Clone)]
//! pub struct Counter { sum: u32 }
//!
//! impl Aggregate for Counter {
//!     type Event = CounterEvent;
//!     type Rejection = TooMuch;
//!
//!     fn evolve(&mut self, CounterEvent::Added(added): &CounterEvent) {
//!         self.sum += added.by;
//!     }
//! }
//!
//! impl Decide<Add> for Counter {
//!     const MODE: Mode = Mode::Upsert;
//!
//!     fn decide(&self, Add(by): &Add) -> Result<Vec<CounterEvent>, TooMuch> {
//!         self.sum.checked_add(*by).ok_or(TooMuch)?;
//!         Ok(vec![Added { by: *by }.into()])
//!     }
//! }
//! ```
//!
//! # Limits
//!
//! | what | maximum | at the maximum |
//! |---|---|---|
//! | events of one command | 1,000 | [`ExecuteError::Invalid`] |
//! | attempts after a conflict | 8, full jitter 1 to 50 ms | [`ExecuteError::Conflict`] |
//! | cached aggregates | 4,096 per kind of aggregate | least recently used goes |
//! | an id | 128 bytes, one subject token | [`InvalidId`] |
//! | events in one projection commit | 8,192 (65,536 in a rebuild) or 4 MiB (32 MiB) | commit, go on |
//! | handlers at work | `concurrency` per consumer | the broker holds the rest |
//!
//! # Map of the crate
//!
//! `id`, `event`, `aggregate`: the vocabulary, pure. `broker`: the transports. `jetstream`: the
//! JetStream API as JSON over a transport, the same for every broker. `repository`: load, decide,
//! append. `projection`, `store`: read models. `consumer`: handlers. `app`: wiring.
//! [`testing`]: given/when/then. This crate must not know the broker's inner crates.

#![forbid(unsafe_code)]

// The macros name the crate `hitherto`, in its own tests too.
#[cfg(test)]
extern crate self as hitherto;

mod aggregate;
mod app;
mod broker;
mod cause;
mod consumer;
mod digest;
mod envelope;
mod event;
mod id;
mod jetstream;
mod projection;
mod repository;
mod store;
pub mod testing;

pub use hitherto_macros::{Event, aggregate, consumer, event, projection, read_model};

pub use crate::aggregate::{Aggregate, Decide, IntoEvents, Mode};
pub use crate::app::{App, RunningApp, StartError};
pub use crate::broker::{Broker, BrokerError};
pub use crate::cause::Cause;
pub use crate::consumer::{
    BudgetSpent, Consumer, ConsumerSettings, Context, Dependencies, FromContext, Handled,
    HandlerError, MissingDependency, Outcome, Provided,
};
pub use crate::event::{CodecError, Encoding, Envelope, Event, EventType, Recorded};
pub use crate::id::{
    AggregateId, CommandId, EventId, ID_BYTES_MAX, Id, InvalidCommandId, InvalidId, Position,
    check_token,
};
pub use crate::projection::{
    Projection, ProjectionError, ReadModel, RebuildProgress, RebuildReport, RowKey, Rows,
};
pub use crate::repository::{ExecuteError, Executed, LoadError, Loaded};
pub use crate::store::{
    Checkpoint, Durability, ReadStore, ReadTx, RedbStore, RowBytes, RowChange, StoreError, Table,
};

/// What the macros need; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use serde;

    pub use crate::id::random_id;
}

/// Reads what a panic said.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without text".to_owned())
}

/// Writes an error with its sources on one line, for logs and for waiting callers.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
