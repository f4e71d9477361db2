//! Consumers: once per event, under a lease, drained in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hitherto::{
    App, Broker, Consumer, Context, Handled, HandlerError, Outcome, Provided, Recorded, RedbStore,
    RunningApp, StartError, consumer, read_model,
};
use tokio::sync::{Semaphore, mpsc};

use super::domain::{AddItems, Order, OrderEvent, OrderId, Pay, Place, Placed, command, id};
use super::flaky::{Failure, Flaky};

/// What a handler under test tells the test, and what it waits for.
pub(crate) struct Probe {
    started: mpsc::Sender<(String, u64)>,
    go_on: Semaphore,
    handled: AtomicU64,
}

fn probe() -> (Arc<Probe>, mpsc::Receiver<(String, u64)>) {
    let (started, receiver) = mpsc::channel(100);
    let go_on = Semaphore::new(0);
    (
        Arc::new(Probe {
            started,
            go_on,
            handled: AtomicU64::new(0),
        }),
        receiver,
    )
}

impl Probe {
    async fn start(&self, order: &OrderId, cx: &Context) {
        self.started
            .send((order.to_string(), cx.deliveries()))
            .await
            .unwrap();
    }
}

/// Counts the events of an order.
#[read_model(key = OrderId)]
pub(crate) struct Seen {
    pub(crate) times: u64,
}

async fn see(order: &OrderId, cx: &Context) -> Result<(), HandlerError> {
    let times = cx.row::<Seen>(order).await?.map_or(0, |seen| seen.times) + 1;
    cx.put(order, &Seen { times })
}

/// Starts an application of one consumer, with its inbox in memory.
async fn start_alone(broker: &Broker, consumer: impl Consumer, probe: &Arc<Probe>) -> RunningApp {
    let app = App::new(broker.clone())
        .aggregate::<Order>()
        .consumer(consumer);
    let app = app
        .inbox(RedbStore::in_memory().unwrap())
        .provide(Arc::clone(probe));
    app.start().await.unwrap()
}

async fn place(app: &RunningApp, name: &str) {
    let name_of_command = command(&format!("place-{name}"));
    app.execute::<Order, _>(&id(name), name_of_command, Place { total: 1 })
        .await
        .unwrap();
}

async fn next(started: &mut mpsc::Receiver<(String, u64)>) -> (String, u64) {
    tokio::time::timeout(Duration::from_secs(20), started.recv())
        .await
        .unwrap()
        .unwrap()
}

/// Waits for a condition that comes true soon; polls, as what is waited for has no event.
async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come true within 10 s");
}

pub(crate) async fn an_event_is_handled_once_and_its_writes_are_kept(broker: &Broker) {
    #[consumer(durable = "see-orders", heartbeat(max = "1m"), concurrency = 4)]
    async fn see_orders(
        event: Recorded<OrderEvent>,
        cx: Context,
        probe: Provided<Arc<Probe>>,
    ) -> Handled {
        see(event.id(), &cx).await?;
        probe.handled.fetch_add(1, Ordering::Relaxed);
        Ok(Outcome::Ack)
    }
    let store = RedbStore::in_memory().unwrap();
    let (probe, _started) = probe();
    for round in 0..2 {
        let app = App::new(broker.clone())
            .aggregate::<Order>()
            .inbox(store.clone());
        let app = app
            .provide(Arc::clone(&probe))
            .consumer(see_orders)
            .start()
            .await
            .unwrap();
        for n in 0..5 {
            place(&app, &format!("o-{round}-{n}")).await;
        }
        let expected = (round + 1) * 5;
        eventually(async || probe.handled.load(Ordering::Relaxed) == expected).await;
        app.shutdown().await;
        let rows = app.rows::<Seen>().unwrap().page(None, 100).await.unwrap();
        assert_eq!(u64::try_from(rows.len()).unwrap(), expected);
        assert!(rows.iter().all(|(_, seen)| seen.times == 1), "{rows:?}");
    }
}

/// A handler of three ack waits is not delivered to anybody else, and when it ends, so do the beats.
pub(crate) async fn heartbeats_hold_a_slow_handlers_message(broker: &Broker) {
    #[consumer(
        durable = "slow",
        ack_wait = "600ms",
        heartbeat(max = "1m"),
        concurrency = 2
    )]
    async fn slow(event: Recorded<Placed>, cx: Context, probe: Provided<Arc<Probe>>) -> Handled {
        probe.start(event.id(), &cx).await;
        probe.go_on.acquire().await?.forget();
        Ok(Outcome::Ack)
    }
    let (probe, mut started) = probe();
    let app = start_alone(broker, slow, &probe).await;
    place(&app, "o-1").await;
    assert_eq!(next(&mut started).await, ("o-1".to_owned(), 1));
    // Real time must pass: the broker's ack wait is what is tested.
    let redelivered = tokio::time::timeout(Duration::from_millis(2_000), started.recv()).await;
    assert!(redelivered.is_err(), "{redelivered:?}");
    probe.go_on.add_permits(1);
    app.shutdown().await;
}

pub(crate) async fn a_handler_past_its_maximum_is_dropped_and_retried(broker: &Broker) {
    #[consumer(durable = "stuck", ack_wait = "900ms", heartbeat(max = "500ms"), backoff = ["10ms"])]
    async fn stuck(event: Recorded<Placed>, cx: Context, probe: Provided<Arc<Probe>>) -> Handled {
        see(event.id(), &cx).await?;
        probe.start(event.id(), &cx).await;
        if cx.deliveries() == 1 {
            std::future::pending::<()>().await;
        }
        probe.handled.fetch_add(1, Ordering::Relaxed);
        Ok(Outcome::Ack)
    }
    let (probe, mut started) = probe();
    let app = start_alone(broker, stuck, &probe).await;
    place(&app, "o-1").await;
    assert_eq!(next(&mut started).await.1, 1);
    assert_eq!(next(&mut started).await.1, 2);
    app.shutdown().await;
    assert_eq!(probe.handled.load(Ordering::Relaxed), 1);
    let seen = app.rows::<Seen>().unwrap().get(&id("o-1")).await.unwrap();
    assert_eq!(
        seen,
        Some(Seen { times: 1 }),
        "writes of the dropped handler are dropped"
    );
}

pub(crate) async fn failures_and_panics_are_retried_and_leave_no_writes(broker: &Broker) {
    #[consumer(durable = "clumsy", heartbeat(max = "1m"), backoff = ["10ms", "20ms"])]
    async fn clumsy(event: Recorded<Placed>, cx: Context, probe: Provided<Arc<Probe>>) -> Handled {
        see(event.id(), &cx).await?;
        probe.start(event.id(), &cx).await;
        match cx.deliveries() {
            1 => Err(HandlerError::new("the gateway is down")),
            2 => panic!("no idea"),
            3 => Ok(Outcome::RetryIn(Duration::from_millis(10))),
            _ => Ok(Outcome::Ack),
        }
    }
    let (probe, mut started) = probe();
    let app = start_alone(broker, clumsy, &probe).await;
    place(&app, "o-1").await;
    for delivery in 1..=4 {
        assert_eq!(next(&mut started).await.1, delivery);
    }
    app.shutdown().await;
    let seen = app.rows::<Seen>().unwrap().get(&id("o-1")).await.unwrap();
    assert_eq!(seen, Some(Seen { times: 1 }));
}

pub(crate) async fn a_terminated_message_does_not_come_again(broker: &Broker) {
    #[consumer(durable = "picky", ack_wait = "500ms", heartbeat(max = "1m"))]
    async fn picky(event: Recorded<Placed>, cx: Context, probe: Provided<Arc<Probe>>) -> Handled {
        probe.start(event.id(), &cx).await;
        Ok(Outcome::Term("not for us".to_owned()))
    }
    let (probe, mut started) = probe();
    let app = start_alone(broker, picky, &probe).await;
    place(&app, "o-1").await;
    next(&mut started).await;
    let again = tokio::time::timeout(Duration::from_millis(1_200), started.recv()).await;
    assert!(again.is_err(), "{again:?}");
    app.shutdown().await;
}

/// The process dies after the commit and before the ack: the event comes again and finds its mark.
pub(crate) async fn a_redelivered_event_finds_that_it_was_handled(broker: &Broker) {
    #[consumer(durable = "once", heartbeat(max = "1m"), backoff = ["10ms"])]
    async fn once(event: Recorded<Placed>, cx: Context, probe: Provided<Arc<Probe>>) -> Handled {
        see(event.id(), &cx).await?;
        probe.start(event.id(), &cx).await;
        Ok(Outcome::Ack)
    }
    let store = RedbStore::in_memory().unwrap();
    let flaky = Flaky::new(store, Failure::AfterCommit, |begun| begun == 0);
    let (probe, mut started) = probe();
    let app = App::new(broker.clone())
        .aggregate::<Order>()
        .consumer(once)
        .inbox(flaky);
    let app = app.provide(probe).start().await.unwrap();
    place(&app, "o-1").await;
    assert_eq!(next(&mut started).await, ("o-1".to_owned(), 1));
    place(&app, "o-2").await;
    assert_eq!(next(&mut started).await.0, "o-2");
    app.shutdown().await;
    let rows = app.rows::<Seen>().unwrap().page(None, 10).await.unwrap();
    assert!(rows.iter().all(|(_, seen)| seen.times == 1), "{rows:?}");
    assert!(
        started.try_recv().is_err(),
        "o-1 was acknowledged without its handler"
    );
}

/// A command executed by a handler takes effect once, though the handler runs twice.
pub(crate) async fn a_command_of_a_repeated_handler_takes_effect_once(broker: &Broker) {
    #[consumer(durable = "add-gift", heartbeat(max = "1m"), backoff = ["10ms"])]
    async fn add_gift(
        event: Recorded<Placed>,
        cx: Context,
        probe: Provided<Arc<Probe>>,
    ) -> Handled {
        let gift = AddItems { prices: vec![0] };
        let added = cx.execute::<Order, _>(event.id(), gift).await?;
        let paid = Pay {
            payment: "gift".to_owned(),
        };
        cx.execute_step::<Order, _>(event.id(), "pay", paid).await?;
        assert_eq!(added.duplicate, cx.deliveries() > 1);
        if cx.deliveries() == 1 {
            return Err(HandlerError::new("the line dropped"));
        }
        probe.start(event.id(), &cx).await;
        Ok(Outcome::Ack)
    }
    let (probe, mut started) = probe();
    let app = start_alone(broker, add_gift, &probe).await;
    place(&app, "o-1").await;
    assert_eq!(next(&mut started).await.1, 2);
    let order = app.load::<Order>(&id("o-1")).await.unwrap().state;
    assert_eq!((order.items, order.paid), (1, true));
    let history = app.history::<Order>(&id("o-1")).await.unwrap();
    assert_eq!(
        history[1].envelope.correlation_id.as_deref(),
        Some("place-o-1")
    );
    app.shutdown().await;
}

pub(crate) async fn a_shutdown_waits_for_handlers_at_work(broker: &Broker) {
    #[consumer(durable = "patient", heartbeat(max = "1m"))]
    async fn patient(event: Recorded<Placed>, cx: Context, probe: Provided<Arc<Probe>>) -> Handled {
        probe.start(event.id(), &cx).await;
        probe.go_on.acquire().await?.forget();
        probe.handled.fetch_add(1, Ordering::Relaxed);
        Ok(Outcome::Ack)
    }
    let (probe, mut started) = probe();
    let app = start_alone(broker, patient, &probe).await;
    place(&app, "o-1").await;
    next(&mut started).await;
    let shutdown = tokio::spawn({
        let app = app.clone();
        async move { app.shutdown().await }
    });
    tokio::task::yield_now().await;
    probe.go_on.add_permits(1);
    shutdown.await.unwrap();
    assert_eq!(probe.handled.load(Ordering::Relaxed), 1);
}

pub(crate) async fn missing_pieces_are_named_at_start(broker: &Broker) {
    #[consumer(durable = "needy", heartbeat(max = "1m"))]
    async fn needy(event: Recorded<Placed>, cx: Context, probe: Provided<Arc<Probe>>) -> Handled {
        probe.start(event.id(), &cx).await;
        Ok(Outcome::Ack)
    }
    let error = App::new(broker.clone())
        .consumer(needy)
        .start()
        .await
        .unwrap_err();
    assert!(
        matches!(error, StartError::NoInbox { durable: "needy" }),
        "{error}"
    );
    let app = App::new(broker.clone())
        .consumer(needy)
        .inbox(RedbStore::in_memory().unwrap());
    let error = app.start().await.unwrap_err();
    assert!(
        matches!(
            error,
            StartError::Dependency {
                durable: "needy",
                ..
            }
        ),
        "{error}"
    );
}
