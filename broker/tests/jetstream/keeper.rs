//! What happens to segments in the background: damage is found without anybody reading it, dead room comes
//! back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hitherto_broker::NodeConfig;
use hitherto_broker::config::KeeperOptions;
use hitherto_platform::{Disk, FaultyDisk};
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
