//! A projection whose consumer disappears under it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use bytes::Bytes;

use crate::broker::transport::Outgoing;
use crate::{App, Broker, CommandId, Id, Recorded, RedbStore};
use crate::{aggregate, event, projection, read_model};

#[event(context = "watch", aggregate = "counter")]
enum CounterEvent {
    Added {},
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never;

#[derive(Debug, Default, Clone)]
struct Counter;

struct Add;

#[aggregate(event = CounterEvent, rejection = Never)]
impl Counter {
    fn evolve(&mut self, CounterEvent::Added(_): &CounterEvent) {}

    #[decide(upsert)]
    fn add(&self, _: &Add) -> Result<Added, Never> {
        Ok(Added {})
    }
}

#[read_model(key = Id)]
struct CounterRow {
    count: u64,
}

#[projection]
fn counters(row: Option<CounterRow>, _: &Recorded<CounterEvent>) -> Option<CounterRow> {
    Some(CounterRow {
        count: row.map_or(0, |row| row.count) + 1,
    })
}

#[tokio::test]
async fn a_consumer_that_is_gone_is_made_anew() {
    let broker = Broker::in_memory().await.unwrap();
    let store = RedbStore::in_memory().unwrap();
    let app = App::new(broker.clone())
        .aggregate::<Counter>()
        .projection(counters, store);
    let app = app.start().await.unwrap();
    let id = Id::new("c-1").unwrap();
    for count in 1..=3 {
        let done = app
            .execute::<Counter, _>(&id, CommandId::random(), Add)
            .await
            .unwrap();
        let rows = app.rows::<CounterRow>().unwrap();
        let rows = rows
            .at_least_within(done.version, Duration::from_secs(20))
            .await
            .unwrap();
        assert_eq!(rows.get(&id).await.unwrap().unwrap().count, count);
        delete_consumers(&broker).await;
    }
    app.shutdown().await;
}

async fn delete_consumers(broker: &Broker) {
    let names = api(broker, "CONSUMER.NAMES.WATCH").await;
    for name in names["consumers"].as_array().into_iter().flatten() {
        let deleted = api(
            broker,
            &format!("CONSUMER.DELETE.WATCH.{}", name.as_str().unwrap()),
        )
        .await;
        assert_eq!(deleted["success"], true, "{deleted}");
    }
}

async fn api(broker: &Broker, subject: &str) -> serde_json::Value {
    let request = Outgoing::new(format!("$JS.API.{subject}"), Bytes::new());
    let answer = broker
        .transport
        .request(request, Duration::from_secs(5))
        .await
        .unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}
