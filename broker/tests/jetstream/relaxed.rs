//! Streams that acknowledge before the sync.

use std::time::{Duration, Instant};

use hitherto_platform::FaultyDisk;
use serde_json::{Value, json};

use crate::harness::{JetStream, text};

const WAIT_MAX: Duration = Duration::from_secs(20);

/// Sequences left out after an end that was not in order.
const LEFT_OUT: u64 = 65_536;

fn relaxed() -> Value {
    json!({ "metadata": { "hitherto.durability": "relaxed" } })
}

/// Publishes until an ack has come without a sync, and returns its sequence: a stream is relaxed once its log
/// says so.
async fn publish_unsynced(js: &JetStream, disk: &FaultyDisk, to: &str) -> u64 {
    let begin = Instant::now();
    loop {
        let syncs = disk.counters().syncs;
        let seq = js.publish(to, "x").await;
        if disk.counters().syncs == syncs {
            return seq;
        }
        assert!(begin.elapsed() < WAIT_MAX, "every ack comes after a sync");
    }
}

/// The power goes, with everything that is not synced.
fn cut_power(js: JetStream, disk: &FaultyDisk) {
    disk.cut_power_after(0);
    drop(js);
    disk.crash();
}

#[tokio::test]
async fn acks_of_a_relaxed_stream_go_before_the_sync_and_those_of_others_after_it() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    let info = js.stream("LOOSE", &["loose"], relaxed()).await;
    assert_eq!(info["config"]["metadata"]["hitherto.durability"], "relaxed");
    js.stream("FIRM", &["firm"], json!({})).await;
    let async_mode = json!({ "persist_mode": "async" });
    let info = js.stream("ASYNC", &["async"], async_mode).await;
    assert_eq!(info["config"]["persist_mode"], "async");
    for to in ["loose", "async"] {
        publish_unsynced(&js, &disk, to).await;
    }
    for seq in 1..=20 {
        let syncs = disk.counters().syncs;
        assert_eq!(js.publish("firm", "x").await, seq);
        assert!(disk.counters().syncs > syncs);
    }
    js.stop().await;
}

#[tokio::test]
async fn what_a_power_cut_takes_is_an_end_whose_sequences_never_come_back() {
    let disk = FaultyDisk::new();
    let mut acked = 0;
    let mut firm = 0;
    for _ in 0..4 {
        let js = JetStream::on(&disk).await;
        js.stream("LOOSE", &["loose"], relaxed()).await;
        js.stream("FIRM", &["firm"], json!({})).await;
        let state = js.state("LOOSE").await;
        let last = state["last_seq"].as_u64().unwrap();
        assert_eq!(js.state("FIRM").await["messages"], firm);
        let first = js.publish("loose", "x").await;
        assert_eq!(first, last + 1);
        assert!(
            first > acked,
            "{first} may have been given out before: {acked} was"
        );
        assert!(acked == 0 || first > LEFT_OUT);
        firm = js.publish("firm", "x").await;
        acked = publish_unsynced(&js, &disk, "loose").await;
        cut_power(js, &disk);
    }
}

#[tokio::test]
async fn an_end_in_order_and_a_killed_process_lose_nothing() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("LOOSE", &["loose"], relaxed()).await;
    let last = publish_unsynced(&js, &disk, "loose").await;
    js.stop().await;

    let js = JetStream::on(&disk).await;
    assert_eq!(js.state("LOOSE").await["messages"], last);
    assert_eq!(
        js.publish("loose", "next").await,
        last + 1,
        "no sequence is left out"
    );
    let last = publish_unsynced(&js, &disk, "loose").await;
    disk.kill();
    drop(js);

    let js = JetStream::on(&disk).await;
    assert_eq!(js.state("LOOSE").await["messages"], last);
    js.consumer("LOOSE", "C", json!({})).await;
    assert_eq!(js.publish("loose", "behind").await, last + LEFT_OUT + 1);
    let messages = js.fetch("LOOSE", "C", 10_000).await;
    assert_eq!(messages.len() as u64, last + 1);
    assert_eq!(text(messages.last().unwrap()), "behind");
    js.stop().await;
}

#[tokio::test]
async fn changes_and_acks_that_are_answered_are_on_disk_also_in_a_relaxed_stream() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("LOOSE", &["loose"], relaxed()).await;
    js.consumer("LOOSE", "C", json!({})).await;
    let last = publish_unsynced(&js, &disk, "loose").await;
    let message = js.fetch("LOOSE", "C", 1).await.remove(0);
    js.ack_sync(&message, "").await;
    cut_power(js, &disk);

    let js = JetStream::on(&disk).await;
    assert_eq!(
        js.state("LOOSE").await["messages"],
        last,
        "it stands before the ack"
    );
    assert_eq!(
        js.consumer_info("LOOSE", "C").await["ack_floor"]["stream_seq"],
        1
    );
    publish_unsynced(&js, &disk, "loose").await;
    let purged = js.api_ok("STREAM.PURGE.LOOSE", Value::Null).await;
    assert_eq!(purged["success"], true);
    cut_power(js, &disk);

    let js = JetStream::on(&disk).await;
    assert_eq!(js.state("LOOSE").await["messages"], 0);
    js.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_not_relaxed_any_more_loses_nothing() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("S", &["s"], relaxed()).await;
    publish_unsynced(&js, &disk, "s").await;
    let mut config = json!({ "name": "S", "subjects": ["s"] });
    config["metadata"] = json!({ "hitherto.durability": "synced" });
    js.api_ok("STREAM.UPDATE.S", config.clone()).await;
    let mut last = 0;
    for _ in 0..20 {
        let syncs = disk.counters().syncs;
        last = js.publish("s", "x").await;
        assert!(disk.counters().syncs > syncs);
    }
    cut_power(js, &disk);

    let js = JetStream::on(&disk).await;
    assert_eq!(js.state("S").await["messages"], last);
    config["metadata"] = relaxed()["metadata"].clone();
    js.api_ok("STREAM.UPDATE.S", config).await;
    publish_unsynced(&js, &disk, "s").await;
    js.stop().await;
}

/// The duplicate window is part of what is lost: a lost message that is sent again is stored again, under a
/// sequence of its own.
#[tokio::test]
async fn a_lost_message_is_no_duplicate() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("LOOSE", &["loose"], relaxed()).await;
    publish_unsynced(&js, &disk, "loose").await;
    let id = [("Nats-Msg-Id", "once")];
    let first = js.publish_with("loose", &id, "x").await;
    cut_power(js, &disk);

    let js = JetStream::on(&disk).await;
    let again = js.publish_with("loose", &id, "x").await;
    if again["duplicate"] == true {
        // The sync came before the power cut.
        assert_eq!(again["seq"], first["seq"]);
    } else {
        assert!(again["seq"].as_u64() > first["seq"].as_u64());
    }
    js.stop().await;
}

#[tokio::test]
async fn what_the_metadata_may_not_say_is_refused_by_name() {
    let js = JetStream::start().await;
    for (more, why) in [
        (
            json!({ "metadata": { "hitherto.durability": "fast" } }),
            r#"metadata hitherto.durability is "fast": it must be "relaxed" or "synced""#,
        ),
        (
            json!({ "persist_mode": "async", "metadata": { "hitherto.durability": "synced" } }),
            r#"metadata hitherto.durability is "synced" although persist_mode is async: leave out one of them"#,
        ),
    ] {
        let mut config = json!({ "name": "S", "subjects": ["s"] });
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let refused = js.api("STREAM.CREATE.S", config).await;
        assert_eq!(refused["error"]["err_code"], 10052, "{refused}");
        assert_eq!(refused["error"]["description"], why);
    }
    js.stop().await;
}
