//! Streams whose index is larger than its memory: the older part lies in tables, and nobody notices.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use hitherto_broker::NodeConfig;
use hitherto_platform::{Disk, FaultyDisk};
use serde_json::{Value, json};

use crate::harness::{JetStream, text};

const STREAMS: &str = "/memory/jetstream/streams";

/// Memory for the indexes of a node: 384 KiB, some 6,000 messages with subjects of their own. A smaller one has little
/// room for the tables that the keeper has not merged yet, and publishes are refused until it has.
const INDEX_BYTES: u64 = 384 * 1024;

const ORDERS: u64 = 4_000;

const EVENTS: [&str; 2] = ["placed", "paid"];

/// The expectation that the last message on a filter has this sequence.
const LAST_ON: &str = "Nats-Expected-Last-Subject-Sequence";
const FILTER: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

async fn start(disk: &FaultyDisk) -> JetStream {
    let config = NodeConfig::in_memory().disk(Arc::new(disk.clone()));
    JetStream::with(config.max_index_bytes(INDEX_BYTES)).await
}

/// The sequence of an event of an order.
fn seq_of(order: u64, event: usize) -> u64 {
    event as u64 * ORDERS + order + 1
}

/// All orders are placed first and paid after that.
async fn fill(js: &JetStream) {
    js.stream("S", &["o.>"], json!({ "allow_direct": true }))
        .await;
    for (at, event) in EVENTS.iter().enumerate() {
        for first in (0..ORDERS).step_by(100) {
            let orders = first..first + 100;
            let publish = |order| async move {
                let seq = js.publish(&format!("o.{order:06}.{event}"), "x").await;
                assert_eq!(seq, seq_of(order, at));
            };
            join_all(orders.map(publish)).await;
        }
    }
}

fn tables(disk: &FaultyDisk) -> Vec<PathBuf> {
    let streams = Path::new(STREAMS);
    let mut tables = Vec::new();
    for dir in disk.list(streams).unwrap() {
        let dir = streams.join(dir.name);
        let files = disk.list(&dir).unwrap().into_iter();
        let is_table = |name: &str| name.starts_with("idx-");
        let names = files.filter(|file| is_table(file.name.to_str().unwrap()));
        tables.extend(names.map(|file| dir.join(file.name)));
    }
    tables
}

/// Damages every page of a table, other bytes of it in each of 64 rounds.
fn damage(disk: &FaultyDisk, table: &Path, round: u64) {
    for offset in (round..60_000).step_by(64) {
        // Some are shorter.
        disk.flip_bit(table, offset, 3).ok();
    }
}

async fn last_on(js: &JetStream, subject: &str) -> Value {
    let body = json!({ "last_by_subj": subject });
    js.api_ok("STREAM.MSG.GET.S", body).await["message"]["seq"].clone()
}

/// What a client sees of the orders from `from` on is all there.
async fn check(js: &JetStream, from: u64, consumer: &str) {
    let state = js.state("S").await;
    let orders = ORDERS - from;
    assert_eq!(state["messages"], orders * 2, "{state}");
    assert_eq!(state["num_subjects"], orders * 2, "{state}");
    assert_eq!(state["first_seq"], seq_of(from, 0), "{state}");
    for order in [from, from + 1, (from + ORDERS) / 2, ORDERS - 1] {
        for (at, event) in EVENTS.iter().enumerate() {
            let last = last_on(js, &format!("o.{order:06}.{event}")).await;
            assert_eq!(last, seq_of(order, at), "order {order}");
        }
        assert_eq!(
            last_on(js, &format!("o.{order:06}.>")).await,
            seq_of(order, 1)
        );
    }
    assert_eq!(last_on(js, "o.*.placed").await, seq_of(ORDERS - 1, 0));
    let error = js
        .api_error("STREAM.MSG.GET.S", json!({ "last_by_subj": "o.new.>" }))
        .await;
    assert_eq!(error, 10037);
    // The conditions of old and of new orders.
    for (order, last) in [
        ("000007", seq_of(7, 1)),
        ("003999", seq_of(3_999, 1)),
        ("new", 0),
    ] {
        let (subject, filter) = (format!("o.{order}.shipped"), format!("o.{order}.>"));
        let wrong = (last + 1).to_string();
        let headers = [(LAST_ON, wrong.as_str()), (FILTER, filter.as_str())];
        let refused = js.publish_with(&subject, &headers, "x").await;
        let last = if order == "000007" && from > 7 {
            0
        } else {
            last
        };
        assert_eq!(refused["error"]["err_code"], 10071, "{refused}");
        let text = format!("wrong last sequence: {last}");
        assert_eq!(refused["error"]["description"], text);
    }
    // A consumer of old messages with a filter.
    let config = json!({ "filter_subject": "o.*.paid", "ack_policy": "none" });
    let info = js.consumer("S", consumer, config).await;
    assert_eq!(info["num_pending"], orders, "{info}");
    let messages = js.fetch("S", consumer, 300).await;
    assert_eq!(messages.len(), 300);
    for (message, order) in messages.iter().zip(from..) {
        assert_eq!(message.subject.as_str(), format!("o.{order:06}.paid"));
        assert_eq!(text(message), "x");
    }
    // By subject of one order.
    let subjects = json!({ "subjects_filter": format!("o.{from:06}.*") });
    let info = js.api_ok("STREAM.INFO.S", subjects).await;
    let placed = format!("o.{from:06}.placed");
    assert_eq!(info["state"]["subjects"][&placed], 1, "{info}");
}

#[tokio::test]
async fn an_index_larger_than_its_memory_serves_as_ever() {
    let disk = FaultyDisk::new();
    let js = start(&disk).await;
    fill(&js).await;
    assert!(!tables(&disk).is_empty(), "8,000 messages do not fit");
    check(&js, 0, "A").await;
    js.stop().await;

    // A start takes the tables up.
    let saved = tables(&disk);
    assert!(!saved.is_empty());
    let js = start(&disk).await;
    check(&js, 0, "B").await;
    assert!(saved.iter().all(|table| tables(&disk).contains(table)));

    // What is removed is removed from tables too, and stays away after a crash.
    for order in 0..10 {
        let body = json!({ "filter": format!("o.{order:06}.>") });
        let purged = js.api_ok("STREAM.PURGE.S", body).await;
        assert_eq!(purged["purged"], 2);
    }
    check(&js, 10, "C").await;
    drop(js);
    disk.crash();
    let js = start(&disk).await;
    check(&js, 10, "D").await;
    js.stop().await;
    let js = start(&disk).await;
    check(&js, 10, "E").await;
    js.stop().await;
}

#[tokio::test]
async fn damaged_and_missing_tables_are_built_again() {
    let disk = FaultyDisk::new();
    let js = start(&disk).await;
    fill(&js).await;
    js.stop().await;
    let saved = tables(&disk);
    assert!(!saved.is_empty());
    disk.flip_bit(&saved[0], 1_000, 3).unwrap();
    let js = start(&disk).await;
    assert!(js.node.damage().is_healthy(), "no message was lost");
    check(&js, 0, "A").await;
    js.stop().await;
    for table in tables(&disk) {
        disk.remove_file(&table).unwrap();
    }
    let js = start(&disk).await;
    check(&js, 0, "B").await;
    js.stop().await;
    assert!(!tables(&disk).is_empty(), "they are there again");
}

#[tokio::test]
async fn a_table_that_goes_bad_takes_its_stream_offline_until_the_next_start() {
    let disk = FaultyDisk::new();
    let js = start(&disk).await;
    js.stream("T", &["t"], json!({})).await;
    fill(&js).await;
    let mut unheard = js.ask("o.000007.shipped", "x").await;
    // A table that is merged or written meanwhile is sound, so that all there are have to be damaged again; pages in
    // memory stay sound, so that it takes another order.
    for round in 0..64 {
        for table in tables(&disk) {
            damage(&disk, &table, round);
        }
        let order = round * ORDERS / 64;
        let ask = js.publish_with("t", &[], "x");
        assert!(ask.await["seq"].as_u64().is_some(), "other streams serve");
        let old = json!({ "last_by_subj": format!("o.{order:06}.paid") });
        let answer = js.api("STREAM.MSG.GET.S", old).await;
        if js.node.damage().is_healthy() {
            assert_eq!(answer["message"]["seq"], seq_of(order, 1), "{answer}");
        } else {
            // Who found it is told so, too, unless it was found for somebody else meanwhile.
            let is_told = answer["error"]["err_code"] == 10194;
            assert!(
                is_told || answer["message"]["seq"] == seq_of(order, 1),
                "{answer}"
            );
            break;
        }
    }
    let offline = js.node.damage().offline_streams();
    assert!(offline["S"].contains("idx-"), "{offline:?}");
    let refused = js.publish_with("o.000007.shipped", &[], "x").await;
    assert_eq!(refused["error"]["err_code"], 10194, "{refused}");
    let error = js.api_error("STREAM.INFO.S", Value::Null).await;
    assert_eq!(error, 10194);
    js.stop().await;

    let js = start(&disk).await;
    assert!(js.node.damage().is_healthy());
    let shipped = u64::from(unheard.try_next().is_some());
    let state = js.state("S").await;
    let messages = state["messages"].as_u64().unwrap();
    assert!(
        (ORDERS * 2 + shipped..=ORDERS * 2 + 1).contains(&messages),
        "{state}"
    );
    assert_eq!(last_on(&js, "o.000007.paid").await, seq_of(7, 1));
    js.stop().await;
}
