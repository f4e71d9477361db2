//! What happens to segments in the background: damage is found without anybody reading it, dead room comes
//! back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hitherto_broker::NodeConfig;
use hitherto_broker::config::KeeperOptions;
use hitherto_platform::{Disk, FaultyDisk, OpenMode};
use serde_json::{Value, json};

use crate::harness::{JetStream, next};

const PATIENCE: Duration = Duration::from_secs(30);

async fn start(disk: &FaultyDisk) -> JetStream {
    let busy = KeeperOptions {
        bytes_per_second: u64::MAX,
        scrub_interval: Duration::from_millis(20),
        scrub_delay: Duration::ZERO,
        rewrite_interval: Duration::from_millis(20),
    };
    let config = NodeConfig::in_memory().disk(Arc::new(disk.clone()));
    JetStream::with(config.keeper(busy)).await
}

/// A stream with one complete segment and a bit more; returns the segment.
async fn fill(js: &JetStream, disk: &FaultyDisk) -> PathBuf {
    js.stream("A", &["a"], json!({})).await;
    let payload = "x".repeat(500_000);
    for _ in 0..40 {
        js.publish("a", &payload).await;
    }
    let streams = Path::new("/memory/jetstream/streams");
    let dir = streams.join(&disk.list(streams).unwrap()[0].name);
    dir.join("seg-00000000000000000001.dat")
}

#[tokio::test]
async fn a_scrub_finds_damage_nobody_has_read() {
    let disk = FaultyDisk::new();
    let js = start(&disk).await;
    let mut advisories = js.listen("$JS.EVENT.ADVISORY.STREAM.DAMAGED.A");
    let segment = fill(&js, &disk).await;
    disk.flip_bit(&segment, 1_200_000, 2).unwrap();
    let advisory: Value = serde_json::from_slice(&next(&mut advisories).await.payload).unwrap();
    assert_eq!(advisory["first_seq"], 3, "{advisory}");
    assert_eq!(advisory["last_seq"], 3, "{advisory}");
    assert_eq!(js.state("A").await["lost"]["msgs"], json!([3]));
    let findings = js.node.damage().findings();
    assert_eq!(findings.len(), 1, "it is reported once: {findings:?}");
    assert!(findings[0].problem.contains(segment.to_str().unwrap()));
    js.stop().await;
}

#[tokio::test]
async fn the_room_of_deleted_messages_comes_back() {
    let disk = FaultyDisk::new();
    let js = start(&disk).await;
    let segment = fill(&js, &disk).await;
    for seq in 1..=25 {
        let delete = json!({ "seq": seq, "no_erase": true });
        js.api_ok("STREAM.MSG.DELETE.A", delete).await;
    }
    let began = Instant::now();
    while disk.exists(&segment).unwrap() {
        assert!(began.elapsed() < PATIENCE, "the old file goes");
        js.state("A").await;
    }
    assert_eq!(js.state("A").await["messages"], 15);
    let body = json!({ "seq": 26 });
    js.api_ok("STREAM.MSG.GET.A", body).await;
    js.stop().await;
    let js = start(&disk).await;
    assert_eq!(js.state("A").await["messages"], 15);
    assert!(js.node.damage().is_healthy());
    js.stop().await;
}

#[tokio::test]
async fn one_deleted_message_is_erased_unless_it_need_not_be() {
    let disk = FaultyDisk::new();
    let js = start(&disk).await;
    let segment = fill(&js, &disk).await;
    let kept = json!({ "seq": 2, "no_erase": true });
    js.api_ok("STREAM.MSG.DELETE.A", kept).await;
    assert!(disk.exists(&segment).unwrap(), "most of it is alive");
    js.api_ok("STREAM.MSG.DELETE.A", json!({ "seq": 3 })).await;
    let began = Instant::now();
    while disk.exists(&segment).unwrap() {
        assert!(began.elapsed() < PATIENCE, "the old file goes");
        js.state("A").await;
    }
    assert_eq!(js.state("A").await["messages"], 38);
    assert_eq!(
        js.api_error("STREAM.MSG.GET.A", json!({ "seq": 3 })).await,
        10037
    );
    js.stop().await;
}

#[tokio::test]
async fn a_full_disk_can_be_cleared_and_then_takes_messages_again() {
    let disk = FaultyDisk::new();
    let js = start(&disk).await;
    fill(&js, &disk).await;
    js.stop().await;
    let keeper = KeeperOptions {
        rewrite_interval: Duration::from_millis(20),
        ..KeeperOptions::default()
    };
    let config = NodeConfig::in_memory().disk(Arc::new(disk.clone()));
    let js = JetStream::with(config.keeper(keeper).reserve_bytes(6_000_000)).await;
    let reserve = Path::new("/memory/jetstream/reserve.zero");
    wait_until(&js, || disk.exists(reserve).unwrap()).await;
    js.stream("B", &["b"], json!({})).await;
    disk.set_capacity(Some(disk.used_bytes() + 1_000_000));
    let payload = "x".repeat(100_000);
    let mut stored = 0;
    let refused = loop {
        let ack = js.publish_with("b", &[], &payload).await;
        if ack.get("error").is_some() {
            break ack;
        }
        stored += 1;
        assert!(stored < 1_000, "the disk is full at some time");
    };
    assert_eq!(refused["error"]["err_code"], 10047, "{refused}");
    // Small ones are refused too, or they would eat the room that is left.
    let refused = js.publish_with("b", &[], "small").await;
    assert_eq!(refused["error"]["err_code"], 10047, "{refused}");
    assert!(!disk.exists(reserve).unwrap(), "the reserve is given up");
    assert_eq!(js.state("B").await["messages"], stored);
    let purged = js.api_ok("STREAM.PURGE.A", Value::Null).await;
    assert_eq!(purged["purged"], 40);
    let began = Instant::now();
    let ack = loop {
        let ack = js.publish_with("b", &[], "there is room again").await;
        if ack.get("error").is_none() {
            break ack;
        }
        assert!(began.elapsed() < PATIENCE, "{ack}");
    };
    assert_eq!(ack["seq"], stored + 1);
    assert!(disk.exists(reserve).unwrap(), "room is kept back again");
    js.stop().await;
}

/// Asks the node things until it is so.
async fn wait_until(js: &JetStream, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it takes too long");
        js.api_ok("INFO", Value::Null).await;
    }
}

#[tokio::test]
async fn a_compressed_stream_takes_less_room_and_an_erased_message_none() {
    let disk = FaultyDisk::new();
    let js = start(&disk).await;
    js.stream("C", &["c"], json!({ "compression": "s2" })).await;
    for number in 0..40 {
        let payload = format!("message {number} {}", "lorem ipsum ".repeat(10_000));
        js.publish("c", &payload).await;
    }
    let deleted = js.api_ok("STREAM.MSG.DELETE.C", json!({ "seq": 7 })).await;
    assert_eq!(deleted["success"], true);
    js.stop().await;
    let streams = Path::new("/memory/jetstream/streams");
    let dir = streams.join(&disk.list(streams).unwrap()[0].name);
    let stored: u64 = disk
        .list(&dir)
        .unwrap()
        .iter()
        .map(|file| {
            let file = disk.open(&dir.join(&file.name), OpenMode::Read).unwrap();
            file.len().unwrap()
        })
        .sum();
    assert!(stored < 40 * 120_000 / 10, "{stored}");
    let js = start(&disk).await;
    assert_eq!(js.state("C").await["messages"], 39);
    let got = js.api_ok("STREAM.MSG.GET.C", json!({ "seq": 8 })).await;
    assert!(got["message"]["data"].as_str().unwrap().len() > 120_000);
    assert_eq!(
        js.api_error("STREAM.MSG.GET.C", json!({ "seq": 7 })).await,
        10037
    );
    assert!(js.node.damage().is_healthy());
    js.stop().await;
}
