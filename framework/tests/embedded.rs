//! The embedded broker in a folder, and a read store in a file: what survives the process.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod suite;

use hitherto::{App, Broker, RedbStore, RunningApp};

use suite::domain::{AddItems, Order, OrderRow, Place, command, id, orders};

async fn start(dir: &std::path::Path) -> (Broker, RunningApp) {
    let broker = Broker::embedded(dir.join("broker")).await.unwrap();
    let store = RedbStore::open(dir.join("read.redb")).unwrap();
    let app = App::new(broker.clone())
        .aggregate::<Order>()
        .projection(orders, store);
    (broker, app.start().await.unwrap())
}

async fn run(dir: &std::path::Path, round: u64) -> (Broker, RunningApp) {
    let (broker, app) = start(dir).await;
    let order = id("o-1");
    let place = app
        .execute::<Order, _>(&order, command("place"), Place { total: 0 })
        .await
        .unwrap();
    assert_eq!(
        place.duplicate,
        round > 0,
        "the first round's command is remembered"
    );
    let items = AddItems { prices: vec![1, 2] };
    let name = command(&format!("items-{round}"));
    let added = app.execute::<Order, _>(&order, name, items).await.unwrap();
    assert!(!added.duplicate);
    let rows = app
        .rows::<OrderRow>()
        .unwrap()
        .at_least(added.version)
        .await
        .unwrap();
    let row = rows.get(&order).await.unwrap().unwrap();
    assert_eq!(
        (row.events, row.total),
        (1 + 2 * (round + 1), 3 * (round + 1))
    );
    (broker, app)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_survives_an_orderly_restart() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let (broker, app) = run(dir.path(), round).await;
        app.shutdown().await;
        drop(app);
        broker.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_broker_on_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = Broker::embedded(dir.path()).await.unwrap();
    let error = Broker::embedded(dir.path()).await.unwrap_err();
    assert!(
        format!("{error:?}").to_lowercase().contains("lock"),
        "{error:?}"
    );
    first.shutdown().await.unwrap();
    Broker::embedded(dir.path())
        .await
        .unwrap()
        .shutdown()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_shutdown_commands_fail_and_say_so() {
    let (broker, app) = {
        let broker = Broker::in_memory().await.unwrap();
        let app = App::new(broker.clone())
            .aggregate::<Order>()
            .start()
            .await
            .unwrap();
        (broker, app)
    };
    broker.shutdown().await.unwrap();
    let late = app
        .execute::<Order, _>(&id("o-1"), command("c-1"), Place { total: 1 })
        .await;
    assert!(late.is_err(), "{late:?}");
}
