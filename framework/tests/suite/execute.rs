//! Commands: modes, idempotency, conflicts, atomic appends.

use hitherto::{
    App, Broker, Cause, CommandId, ExecuteError, LoadError, Position, Recorded, RunningApp,
};

use super::domain::{AddItems, Order, OrderEvent, OrderRejection, Paid, Pay, Place, command, id};

async fn start(broker: &Broker) -> RunningApp {
    App::new(broker.clone())
        .aggregate::<Order>()
        .start()
        .await
        .unwrap()
}

fn pay(payment: &str) -> Pay {
    Pay {
        payment: payment.to_owned(),
    }
}

pub(crate) async fn events_are_stored_and_folded(broker: &Broker) {
    let app = start(broker).await;
    let order = id("o-1");
    let cause = Cause::new(command("c-1"))
        .correlation("request-7")
        .traceparent("00-aa-bb-01");
    let placed = app
        .execute::<Order, _>(&order, cause, Place { total: 10 })
        .await
        .unwrap();
    assert!(!placed.duplicate && placed.version > Position(0));
    let paid = app
        .execute::<Order, _>(&order, command("c-2"), pay("p-1"))
        .await
        .unwrap();
    assert_eq!(
        paid.events,
        [Paid {
            payment: "p-1".to_owned()
        }
        .into()]
    );

    let loaded = app.load::<Order>(&order).await.unwrap();
    assert_eq!(
        loaded.state,
        Order {
            total: 10,
            items: 0,
            paid: true
        }
    );
    assert_eq!(loaded.version, paid.version);
    let history = app.history::<Order>(&order).await.unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[0].id(), &order);
    assert_eq!(history[0].envelope.command_id, Some(command("c-1")));
    assert_eq!(
        history[0].envelope.correlation_id.as_deref(),
        Some("request-7")
    );
    assert_eq!(
        history[0].envelope.traceparent.as_deref(),
        Some("00-aa-bb-01")
    );
    assert_eq!(history[1].envelope.correlation_id, None);
    let age = history[0]
        .envelope
        .recorded_at
        .elapsed()
        .unwrap_or_default();
    assert!(age.as_secs() < 3_600, "{age:?}");
}

pub(crate) async fn an_aggregate_is_not_confused_with_its_neighbours(broker: &Broker) {
    let app = start(broker).await;
    for name in ["o", "o-1", "o-10", "O"] {
        let total = u64::try_from(name.len()).unwrap();
        app.execute::<Order, _>(&id(name), CommandId::random(), Place { total })
            .await
            .unwrap();
    }
    assert_eq!(app.load::<Order>(&id("o-1")).await.unwrap().state.total, 3);
    assert_eq!(
        app.load::<Order>(&id("o-2")).await.unwrap().version,
        Position(0)
    );
}

pub(crate) async fn modes_are_enforced(broker: &Broker) {
    let app = start(broker).await;
    let missing = app
        .execute::<Order, _>(&id("o-1"), command("c-0"), pay("p"))
        .await;
    assert!(
        matches!(missing, Err(ExecuteError::NotFound { .. })),
        "{missing:?}"
    );
    app.execute::<Order, _>(&id("o-1"), command("c-1"), Place { total: 1 })
        .await
        .unwrap();
    let again = app
        .execute::<Order, _>(&id("o-1"), command("c-2"), Place { total: 1 })
        .await;
    assert!(
        matches!(again, Err(ExecuteError::AlreadyExists { .. })),
        "{again:?}"
    );
}

/// What this process remembers may be old; it does not refuse a command on that.
pub(crate) async fn a_refusal_is_confirmed_by_the_log(broker: &Broker) {
    let (first, second) = (start(broker).await, start(broker).await);
    let missing = first
        .execute::<Order, _>(&id("o-1"), command("c-0"), pay("p"))
        .await;
    assert!(
        matches!(missing, Err(ExecuteError::NotFound { .. })),
        "{missing:?}"
    );
    let place = Place { total: 1 };
    second
        .execute::<Order, _>(&id("o-1"), command("c-1"), place)
        .await
        .unwrap();
    first
        .execute::<Order, _>(&id("o-1"), command("c-2"), pay("p"))
        .await
        .unwrap();
}

pub(crate) async fn a_rejection_writes_nothing(broker: &Broker) {
    let app = start(broker).await;
    let order = id("o-1");
    app.execute::<Order, _>(&order, command("c-1"), Place { total: 1 })
        .await
        .unwrap();
    let paid = app
        .execute::<Order, _>(&order, command("c-2"), pay("p"))
        .await
        .unwrap();
    let late = AddItems { prices: vec![1] };
    let rejected = app.execute::<Order, _>(&order, command("c-3"), late).await;
    assert!(matches!(
        rejected,
        Err(ExecuteError::Rejected(OrderRejection::Paid))
    ));
    let nothing = app
        .execute::<Order, _>(&order, command("c-4"), pay("p"))
        .await
        .unwrap();
    assert_eq!((nothing.events, nothing.version), (vec![], paid.version));
    assert_eq!(
        app.load::<Order>(&order).await.unwrap().version,
        paid.version
    );
}

pub(crate) async fn the_same_command_takes_effect_once(broker: &Broker) {
    let app = start(broker).await;
    let order = id("o-1");
    let first = app
        .execute::<Order, _>(&order, command("c-1"), Place { total: 1 })
        .await
        .unwrap();
    let items = || AddItems { prices: vec![2, 3] };
    let added = app
        .execute::<Order, _>(&order, command("c-2"), items())
        .await
        .unwrap();
    app.execute::<Order, _>(&order, command("c-3"), pay("p"))
        .await
        .unwrap();
    // In this process, from the cache; and in another one, from the log.
    for app in [app, start(broker).await] {
        let again = app
            .execute::<Order, _>(&order, command("c-1"), Place { total: 1 })
            .await
            .unwrap();
        assert!(again.duplicate);
        assert_eq!(
            (again.version, &again.events),
            (first.version, &first.events)
        );
        let again = app
            .execute::<Order, _>(&order, command("c-2"), items())
            .await
            .unwrap();
        assert!(again.duplicate);
        assert_eq!(
            (again.version, &again.events),
            (added.version, &added.events)
        );
        assert_eq!(app.load::<Order>(&order).await.unwrap().state.total, 6);
    }
}

pub(crate) async fn several_events_are_appended_together(broker: &Broker) {
    let app = start(broker).await;
    let order = id("o-1");
    app.execute::<Order, _>(&order, command("c-1"), Place { total: 0 })
        .await
        .unwrap();
    let prices: Vec<u64> = (1..=200).collect();
    let added = app
        .execute::<Order, _>(&order, command("c-2"), AddItems { prices })
        .await
        .unwrap();
    assert_eq!(added.events.len(), 200);
    let loaded = app.load::<Order>(&order).await.unwrap();
    assert_eq!((loaded.state.items, loaded.state.total), (200, 20_100));
    assert_eq!(loaded.version, added.version);
    let too_many = AddItems {
        prices: vec![1; 1_001],
    };
    let refused = app
        .execute::<Order, _>(&order, command("c-3"), too_many)
        .await;
    assert!(
        matches!(refused, Err(ExecuteError::Invalid { .. })),
        "{refused:?}"
    );
}

pub(crate) async fn a_long_history_is_read_in_pages(broker: &Broker) {
    let app = start(broker).await;
    let order = id("o-1");
    app.execute::<Order, _>(&order, command("c-1"), Place { total: 0 })
        .await
        .unwrap();
    for round in 0..3 {
        let items = AddItems {
            prices: vec![1; 900],
        };
        app.execute::<Order, _>(&order, command(&format!("r-{round}")), items)
            .await
            .unwrap();
    }
    let loaded = start(broker).await.load::<Order>(&order).await.unwrap();
    assert_eq!(loaded.state.items, 2_700);
}

/// Processes that know nothing of each other: each has its own queue and cache.
pub(crate) async fn concurrent_executors_lose_no_command(broker: &Broker) {
    let order = id("o-1");
    let first = start(broker).await;
    first
        .execute::<Order, _>(&order, command("c-0"), Place { total: 0 })
        .await
        .unwrap();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..3 {
        let app = start(broker).await;
        let order = order.clone();
        workers.spawn(async move {
            for round in 0..10 {
                let prices = if round % 2 == 0 { vec![1] } else { vec![1, 1] };
                let name = command(&format!("w{worker}-{round}"));
                until_done(&app, &order, &name, &prices).await;
            }
        });
    }
    workers.join_all().await;
    let loaded = first.load::<Order>(&order).await.unwrap();
    assert_eq!((loaded.state.items, loaded.state.total), (45, 45));
    let history = first.history::<Order>(&order).await.unwrap();
    let numbers: Vec<_> = history.iter().filter_map(item_number).collect();
    assert_eq!(
        numbers,
        (1..=45).collect::<Vec<_>>(),
        "each decided on the state before it"
    );
}

fn item_number(recorded: &Recorded<OrderEvent>) -> Option<u64> {
    match &recorded.event {
        OrderEvent::ItemAdded(item) => Some(item.number),
        OrderEvent::Placed(_) | OrderEvent::Paid(_) => None,
    }
}

pub(crate) async fn of_concurrent_creations_one_wins(broker: &Broker) {
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let app = start(broker).await;
        workers.spawn(async move {
            let mut won = 0;
            for n in 0..10 {
                let name = command(&format!("w{worker}-{n}"));
                let place = Place { total: worker };
                match app
                    .execute::<Order, _>(&id(&format!("o-{n}")), name, place)
                    .await
                {
                    Ok(_) => won += 1,
                    Err(error) => assert!(matches!(error, ExecuteError::AlreadyExists { .. })),
                }
            }
            won
        });
    }
    assert_eq!(workers.join_all().await.iter().sum::<u64>(), 10);
}

pub(crate) async fn a_command_sent_from_everywhere_takes_effect_once(broker: &Broker) {
    let order = id("o-1");
    let first = start(broker).await;
    first
        .execute::<Order, _>(&order, command("c-0"), Place { total: 0 })
        .await
        .unwrap();
    for round in 0..10 {
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (app, order) = (start(broker).await, order.clone());
            let items = AddItems { prices: vec![1, 1] };
            let name = command(&format!("c-{round}-same"));
            workers
                .spawn(async move { app.execute::<Order, _>(&order, name, items).await.unwrap() });
        }
        let done = workers.join_all().await;
        assert_eq!(done.iter().filter(|done| !done.duplicate).count(), 1);
        assert!(done.iter().all(|other| other.version == done[0].version));
    }
    assert_eq!(first.load::<Order>(&order).await.unwrap().state.items, 20);
}

async fn until_done(
    app: &RunningApp,
    order: &super::domain::OrderId,
    name: &CommandId,
    prices: &[u64],
) {
    loop {
        let items = AddItems {
            prices: prices.to_vec(),
        };
        match app.execute::<Order, _>(order, name.clone(), items).await {
            Ok(_) => return,
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
    }
}

/// One process queues commands of one aggregate instead of conflicting with itself.
pub(crate) async fn one_process_does_not_conflict_with_itself(broker: &Broker) {
    let app = start(broker).await;
    let order = id("o-1");
    app.execute::<Order, _>(&order, command("c"), Place { total: 0 })
        .await
        .unwrap();
    let mut commands = tokio::task::JoinSet::new();
    for n in 0..50 {
        let (app, order) = (app.clone(), order.clone());
        commands.spawn(async move {
            let items = AddItems { prices: vec![1] };
            app.execute::<Order, _>(&order, command(&format!("c-{n}")), items)
                .await
                .unwrap()
                .version
        });
    }
    let mut versions = commands.join_all().await;
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 50);
}

pub(crate) async fn an_unregistered_aggregate_is_named(broker: &Broker) {
    let app = App::new(broker.clone()).start().await.unwrap();
    let error = app.load::<Order>(&id("o-1")).await.unwrap_err();
    assert!(matches!(&error, LoadError::NotRegistered { .. }));
    assert!(error.to_string().contains("aggregate::<"), "{error}");
}

/// Events of other programs need no headers of ours.
pub(crate) async fn every_event_type_survives_the_log(broker: &Broker) {
    let app = start(broker).await;
    let order = id("o-1");
    app.execute::<Order, _>(&order, command("c-1"), Place { total: 1 })
        .await
        .unwrap();
    app.execute::<Order, _>(&order, command("c-2"), AddItems { prices: vec![2] })
        .await
        .unwrap();
    app.execute::<Order, _>(&order, command("c-3"), pay("p"))
        .await
        .unwrap();
    let events = app.history::<Order>(&order).await.unwrap();
    let names: Vec<_> = events
        .iter()
        .map(|event| hitherto::Event::event_type(&event.event).name)
        .collect();
    assert_eq!(names, ["placed", "item_added", "paid"]);
    assert!(matches!(events[0].event, OrderEvent::Placed(_)));
}
