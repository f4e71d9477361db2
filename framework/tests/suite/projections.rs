//! Read models: exactly once, whatever happens.

use std::time::Duration;

use hitherto::{
    App, Broker, Checkpoint, Durability, Position, ProjectionError, ReadStore, Recorded, RedbStore,
    RunningApp, Table, projection,
};

use super::domain::{
    AddItems, Order, OrderEvent, OrderRow, Pay, PaymentRow, Place, command, id, orders, payments,
};
use super::flaky::{Failure, Flaky};

async fn start(broker: &Broker, store: impl ReadStore) -> RunningApp {
    App::new(broker.clone())
        .aggregate::<Order>()
        .projection(orders, store)
        .start()
        .await
        .unwrap()
}

/// Places orders with one item each: two events per order.
async fn fill(app: &RunningApp, from: u64, to: u64) -> Position {
    let mut version = Position(0);
    for n in from..to {
        let order = id(&format!("o-{n:04}"));
        let placed = command(&format!("p-{n}"));
        app.execute::<Order, _>(&order, placed, Place { total: n })
            .await
            .unwrap();
        let item = AddItems { prices: vec![1] };
        let added = app
            .execute::<Order, _>(&order, command(&format!("i-{n}")), item)
            .await
            .unwrap();
        version = added.version;
    }
    version
}

async fn check_counts(app: &RunningApp, expected: u64) {
    let mut rows = Vec::new();
    app.rows::<OrderRow>()
        .unwrap()
        .for_each(|key, row| rows.push((key, row)))
        .await
        .unwrap();
    assert_eq!(u64::try_from(rows.len()).unwrap(), expected);
    for (n, (key, row)) in (0..).zip(&rows) {
        assert_eq!(key.as_str(), format!("o-{n:04}"), "rows come in key order");
        assert_eq!((row.total, row.events), (n + 1, 2), "{key}");
    }
}

pub(crate) async fn rows_follow_the_log(broker: &Broker) {
    let app = start(broker, RedbStore::in_memory().unwrap()).await;
    let version = fill(&app, 0, 10).await;
    let rows = app
        .rows::<OrderRow>()
        .unwrap()
        .at_least(version)
        .await
        .unwrap();
    assert_eq!(rows.get(&id("o-0003")).await.unwrap().unwrap().total, 4);
    assert_eq!(rows.get(&id("nobody")).await.unwrap(), None);
    let page = rows.page(Some(&id("o-0007")), 5).await.unwrap();
    let keys: Vec<_> = page.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["o-0008", "o-0009"]);
    check_counts(&app, 10).await;
}

pub(crate) async fn a_projection_of_one_event_type_with_its_own_key(broker: &Broker) {
    let store = RedbStore::in_memory().unwrap();
    let app = App::new(broker.clone())
        .aggregate::<Order>()
        .projection(payments, store);
    let app = app.start().await.unwrap();
    fill(&app, 0, 3).await;
    let pay = Pay {
        payment: "p-9".to_owned(),
    };
    let paid = app
        .execute::<Order, _>(&id("o-0001"), command("pay"), pay)
        .await
        .unwrap();
    let rows = app.rows::<PaymentRow>().unwrap();
    let rows = rows.at_least(paid.version).await.unwrap();
    // Events it does not read do not keep a reader waiting.
    let version = fill(&app, 3, 6).await;
    let rows = rows.at_least(version).await.unwrap();
    let row = rows.get(&"p-9".to_owned()).await.unwrap().unwrap();
    assert_eq!(row.order, id("o-0001"));
    assert_eq!(rows.page(None, 10).await.unwrap().len(), 1);
}

/// A process that ends between any two commits leaves rows and checkpoint together.
pub(crate) async fn a_restarted_projection_counts_every_event_once(broker: &Broker) {
    let store = RedbStore::in_memory().unwrap();
    for round in 0..4 {
        let app = start(broker, store.clone()).await;
        fill(&app, round * 10, round * 10 + 10).await;
        // Dropped without a shutdown: its tasks are aborted wherever they are.
        drop(app);
    }
    let app = start(broker, store).await;
    app.catch_up().await.unwrap();
    check_counts(&app, 40).await;
}

pub(crate) async fn a_failing_commit_is_repeated_without_counting_twice(broker: &Broker) {
    let store = RedbStore::in_memory().unwrap();
    let flaky = Flaky::new(store, Failure::BeforeCommit, |begun| begun % 3 == 0);
    let app = start(broker, flaky).await;
    fill(&app, 0, 20).await;
    for _ in 0..100 {
        match app.catch_up().await {
            Ok(()) => return check_counts(&app, 20).await,
            Err(error) => assert!(
                matches!(error, ProjectionError::Lagging { .. }),
                "{error:?}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not catch up");
}

/// Two processes on one store: the checkpoint lets only one of them commit an event.
pub(crate) async fn two_runners_do_not_count_twice(broker: &Broker) {
    let store = RedbStore::in_memory().unwrap();
    let first = start(broker, store.clone()).await;
    let second = start(broker, store).await;
    let version = fill(&first, 0, 30).await;
    for app in [&first, &second] {
        let wait = Duration::from_secs(20);
        app.rows::<OrderRow>()
            .unwrap()
            .at_least_within(version, wait)
            .await
            .unwrap();
    }
    check_counts(&first, 30).await;
}

pub(crate) async fn a_rebuild_equals_what_it_replaces(broker: &Broker) {
    let app = start(broker, RedbStore::in_memory().unwrap()).await;
    fill(&app, 0, 20).await;
    app.catch_up().await.unwrap();
    let digest = app.rows::<OrderRow>().unwrap().digest().await.unwrap();
    for _ in 0..2 {
        let mut last = None;
        let report = app
            .rebuild(orders, |progress| last = Some(progress))
            .await
            .unwrap();
        assert_eq!(report.equal, Some(true));
        assert_eq!((report.events, report.rows), (40, 20));
        assert_eq!(
            (&report.digest_before, &report.digest_after),
            (&digest, &digest)
        );
        let last = last.unwrap();
        assert_eq!((last.done, last.total), (40, 40));
    }
    // The projection goes on in the new rows.
    let version = fill(&app, 20, 25).await;
    app.rows::<OrderRow>()
        .unwrap()
        .at_least(version)
        .await
        .unwrap();
    check_counts(&app, 25).await;
}

pub(crate) async fn a_rebuild_while_events_come_loses_none(broker: &Broker) {
    let app = start(broker, RedbStore::in_memory().unwrap()).await;
    fill(&app, 0, 20).await;
    let (rebuilt, _) = tokio::join!(app.rebuild(orders, |_| {}), fill(&app, 20, 40));
    rebuilt.unwrap();
    app.catch_up().await.unwrap();
    check_counts(&app, 40).await;
}

/// Rows that are wrong, for whatever reason, are found and replaced.
pub(crate) async fn a_rebuild_tells_when_rows_differ(broker: &Broker) {
    let store = RedbStore::in_memory().unwrap();
    let app = start(broker, store.clone()).await;
    fill(&app, 0, 5).await;
    app.catch_up().await.unwrap();
    let mut tx = store.begin(Durability::Immediate).await.unwrap();
    let change = hitherto::RowChange {
        key: b"o-0002".to_vec(),
        value: None,
    };
    tx.write(Table::active("order_row"), vec![change])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let report = app.rebuild(orders, |_| {}).await.unwrap();
    assert_eq!(report.equal, Some(false));
    assert_ne!(report.digest_before, report.digest_after);
    check_counts(&app, 5).await;
}

pub(crate) async fn rows_of_another_stream_are_refused_until_rebuilt(broker: &Broker) {
    let store = RedbStore::in_memory().unwrap();
    let mut tx = store.begin(Durability::Immediate).await.unwrap();
    let incarnation = "2001-01-01T00:00:00Z".to_owned();
    let position = Position(1_000);
    let foreign = Checkpoint {
        position,
        incarnation,
        generation: 0,
    };
    tx.advance("orders", None, &foreign).await.unwrap();
    tx.commit().await.unwrap();
    let app = start(broker, store).await;
    fill(&app, 0, 3).await;
    let error = app.catch_up().await.unwrap_err().to_string();
    assert!(
        error.contains("another") || error.contains("rebuild it"),
        "{error}"
    );
    let report = app.rebuild(orders, |_| {}).await.unwrap();
    assert_eq!(report.equal, None);
    check_counts(&app, 3).await;
}

pub(crate) async fn a_panicking_fold_stops_and_says_so(broker: &Broker) {
    #[projection]
    fn fragile(row: Option<OrderRow>, event: &Recorded<OrderEvent>) -> Option<OrderRow> {
        assert!(
            !matches!(event.event, OrderEvent::ItemAdded(_)),
            "no items here"
        );
        row
    }
    let store = RedbStore::in_memory().unwrap();
    let app = App::new(broker.clone())
        .aggregate::<Order>()
        .projection(fragile, store);
    let app = app.start().await.unwrap();
    fill(&app, 0, 1).await;
    let error = app.catch_up().await.unwrap_err().to_string();
    assert!(error.contains("no items here"), "{error}");
}
