//! Damaged files: the stream they belong to says so, the others serve, nothing wrong is delivered, and
//! nothing is cut.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hitherto_broker::{Node, NodeConfig};
use hitherto_platform::{Disk, FaultyDisk, OpenMode};
use serde_json::{Value, json};

use crate::harness::{JetStream, next, status, text};

const STREAMS: &str = "/memory/jetstream/streams";

/// Two streams, A and B, of 80 messages each, the first of which lie in a segment.
async fn fill_two_streams(disk: &FaultyDisk) {
    let js = JetStream::on(disk).await;
    for name in ["A", "B"] {
        let subject = name.to_lowercase();
        js.stream(name, &[&subject], json!({ "allow_direct": true }))
            .await;
        for number in 0..80 {
            js.publish(&subject, &format!("{number:04}{}", "x".repeat(2_000)))
                .await;
        }
    }
    js.stop().await;
}

/// The segment of a stream by its place in the order of creation.
pub(crate) fn segment(disk: &FaultyDisk, stream: usize) -> PathBuf {
    let streams = Path::new(STREAMS);
    let dir = streams.join(&disk.list(streams).unwrap()[stream].name);
    let is_segment = |name: &str| name.starts_with("seg-") && name.ends_with(".dat");
    let files = disk.list(&dir).unwrap();
    let file = files
        .iter()
        .find(|file| is_segment(file.name.to_str().unwrap()));
    dir.join(&file.unwrap().name)
}

fn sequence(reply: &str) -> u64 {
    reply.split('.').nth(5).unwrap().parse().unwrap()
}

#[tokio::test]
async fn damaged_messages_are_passed_over_and_reported() {
    let disk = FaultyDisk::new();
    fill_two_streams(&disk).await;
    let js = JetStream::on(&disk).await;
    assert!(js.node.damage().is_healthy());
    let mut advisories = js.listen("$JS.EVENT.ADVISORY.STREAM.DAMAGED.A");
    let mut terminated = js.listen("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.A.C");
    disk.flip_bit(&segment(&disk, 0), 5_000, 1).unwrap();

    let error = js.api_error("STREAM.MSG.GET.A", json!({ "seq": 3 })).await;
    assert_eq!(error, 10051);
    let got = js
        .request("$JS.API.DIRECT.GET.A", None, r#"{"seq":3}"#)
        .await
        .unwrap();
    assert_eq!(status(&got).map(|(code, _)| code), Some(500));

    let advisory: Value = serde_json::from_slice(&next(&mut advisories).await.payload).unwrap();
    let (first, last) = (&advisory["first_seq"], &advisory["last_seq"]);
    let (first, last) = (first.as_u64().unwrap(), last.as_u64().unwrap());
    assert!(
        (1..=3).contains(&first) && (3..80).contains(&last),
        "{advisory}"
    );
    let lost: Vec<u64> = (first..=last).collect();
    let state = js.state("A").await;
    assert_eq!(state["lost"]["msgs"], json!(lost), "{state}");
    assert!(state["lost"]["bytes"].as_u64().unwrap() > 2_000 * lost.len() as u64);
    assert_eq!(state["messages"], 80, "nothing is cut");

    // A consumer gets everything else and is done.
    js.consumer("A", "C", json!({})).await;
    let mut delivered = Vec::new();
    loop {
        let messages = js.fetch("A", "C", 200).await;
        if messages.is_empty() {
            break;
        }
        for message in messages {
            let seq = sequence(message.reply.as_ref().unwrap().as_str());
            assert!(text(&message).starts_with(&format!("{:04}", seq - 1)));
            js.ack_sync(&message, "").await;
            delivered.push(seq);
        }
    }
    let intact: Vec<u64> = (1..=80).filter(|seq| !lost.contains(seq)).collect();
    assert_eq!(delivered, intact);
    let info = js.consumer_info("A", "C").await;
    assert_eq!(info["num_ack_pending"], 0, "{info}");
    assert_eq!(info["ack_floor"]["stream_seq"], 80, "{info}");
    let advisory: Value = serde_json::from_slice(&next(&mut terminated).await.payload).unwrap();
    assert_eq!(advisory["stream_seq"], first, "{advisory}");
    assert!(
        advisory["reason"].as_str().unwrap().contains("damaged"),
        "{advisory}"
    );

    // With ack policy `all` too: what is given up acknowledges nothing before it, and does not come again.
    js.consumer("A", "ALL", json!({ "ack_policy": "all" }))
        .await;
    let mut delivered = Vec::new();
    loop {
        let messages = js.fetch("A", "ALL", 200).await;
        let replies = messages.iter().map(|message| message.reply.as_ref());
        let sequences = replies.map(|reply| sequence(reply.unwrap().as_str()));
        delivered.extend(sequences);
        if messages.is_empty() {
            break;
        }
    }
    assert_eq!(delivered, intact);
    // Behind the record of what was given up.
    js.publish("a", "later").await;
    let info = js.consumer_info("A", "ALL").await;
    assert_eq!(info["num_ack_pending"], intact.len(), "{info}");

    let report = js.node.damage();
    assert!(!report.is_healthy() && report.offline_streams().is_empty());
    assert_eq!(report.findings()[0].sequences, Some(first..=last));
    // What is purged is not lost any more.
    js.api_ok("STREAM.PURGE.A", json!({ "seq": last + 1 }))
        .await;
    assert_eq!(js.state("A").await.get("lost"), None);
    assert!(js.node.damage().is_healthy());
    js.stop().await;
}

#[tokio::test]
async fn damage_of_one_stream_found_at_the_start_takes_only_that_stream_offline() {
    let disk = FaultyDisk::new();
    fill_two_streams(&disk).await;
    let path = segment(&disk, 0);
    cut(&disk, &path, 1_000);

    let js = JetStream::on(&disk).await;
    let reason = js.node.damage().offline_streams()["A"].clone();
    assert!(reason.contains(path.to_str().unwrap()), "{reason}");
    for (operation, body) in [
        ("STREAM.INFO.A", Value::Null),
        ("STREAM.PURGE.A", Value::Null),
        ("STREAM.MSG.GET.A", json!({ "seq": 1 })),
        (
            "STREAM.UPDATE.A",
            json!({ "name": "A", "subjects": ["a", "aa"] }),
        ),
        (
            "STREAM.CREATE.A",
            json!({ "name": "A", "subjects": ["a"], "allow_direct": true }),
        ),
        ("CONSUMER.LIST.A", Value::Null),
    ] {
        assert_eq!(js.api_error(operation, body).await, 10194, "{operation}");
    }
    let refused = js.publish_with("a", &[], "x").await;
    assert_eq!(refused["error"]["err_code"], 10194, "{refused}");
    let list = js.api_ok("STREAM.LIST", Value::Null).await;
    assert_eq!(list["total"], 2, "{list}");
    assert_eq!(list["offline"]["A"], reason, "{list}");
    assert_eq!(list["streams"][0]["config"]["name"], "B", "{list}");
    let names = js.api_ok("STREAM.NAMES", Value::Null).await;
    assert_eq!(names["streams"], json!(["A", "B"]));
    // The other one serves, and its checkpoints go on.
    assert_eq!(js.publish("b", "more").await, 81);
    js.stop().await;

    // Once more, after a checkpoint without it: still offline, still not deleted.
    let js = JetStream::on(&disk).await;
    assert_eq!(js.api_error("STREAM.INFO.A", Value::Null).await, 10194);
    assert_eq!(js.state("B").await["messages"], 81);
    // Deleting it is the way out.
    js.api_ok("STREAM.DELETE.A", Value::Null).await;
    assert!(js.node.damage().is_healthy());
    js.stream("A", &["a"], json!({})).await;
    assert_eq!(js.publish("a", "again").await, 1);
    js.stop().await;
    assert!(!disk.exists(&path).unwrap(), "its files are gone");
}

#[tokio::test]
async fn a_repaired_file_brings_the_stream_back_with_everything() {
    let disk = FaultyDisk::new();
    fill_two_streams(&disk).await;
    let js = JetStream::on(&disk).await;
    for number in 0..5 {
        js.publish("a", &format!("behind the checkpoint {number}"))
            .await;
    }
    drop(js);
    disk.crash();
    let path = segment(&disk, 0);
    let content = cut(&disk, &path, 1_000);

    let js = JetStream::on(&disk).await;
    assert_eq!(js.api_error("STREAM.INFO.A", Value::Null).await, 10194);
    for number in 0..40 {
        js.publish("b", &number.to_string()).await;
    }
    js.stop().await;

    let file = disk.open(&path, OpenMode::ReadWrite).unwrap();
    file.write_at(&content, 0).unwrap();
    let js = JetStream::on(&disk).await;
    assert!(js.node.damage().is_healthy());
    assert_eq!(js.state("A").await["messages"], 85);
    assert_eq!(js.state("B").await["messages"], 120);
    assert_eq!(js.publish("a", "goes on").await, 86);
    js.stop().await;
}

/// Cuts a file and returns what it held.
fn cut(disk: &FaultyDisk, path: &Path, len: u64) -> Vec<u8> {
    let file = disk.open(path, OpenMode::ReadWrite).unwrap();
    let mut content = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut content, 0).unwrap();
    file.set_len(len).unwrap();
    file.sync_data().unwrap();
    content
}

#[tokio::test]
async fn a_log_that_is_damaged_before_its_end_is_an_error_that_names_the_file() {
    let disk = FaultyDisk::new();
    fill_two_streams(&disk).await;
    let js = JetStream::on(&disk).await;
    for number in 0..20 {
        js.publish("a", &number.to_string()).await;
    }
    drop(js);
    let wal = Path::new("/memory/jetstream/wal/wal-0000000001.log");
    let before = read(&disk, wal);
    // In one of the last frames, with some behind it.
    let frames: Vec<usize> = (0..before.len())
        .step_by(512)
        .filter(|at| before[*at..].starts_with(b"HWFR"))
        .collect();
    let at = frames[frames.len() - 6] + 45;
    disk.flip_bit(wal, at as u64, 0).unwrap();
    let config = NodeConfig::in_memory().disk(Arc::new(disk.clone()));
    let error = Node::start(config).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains(wal.to_str().unwrap()), "{cause}");
    disk.flip_bit(wal, at as u64, 0).unwrap();
    assert!(read(&disk, wal) == before, "nothing was cut or changed");
    let js = JetStream::on(&disk).await;
    assert_eq!(js.state("A").await["messages"], 100);
    js.stop().await;
}

fn read(disk: &FaultyDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut content = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut content, 0).unwrap();
    content
}

#[tokio::test]
async fn a_stream_with_a_damaged_block_serves_the_rest_after_a_restart() {
    let disk = FaultyDisk::new();
    fill_two_streams(&disk).await;
    let path = segment(&disk, 0);
    let before = read(&disk, &path);
    let in_a_message = before.windows(6).position(|bytes| bytes == b"0002xx");
    disk.flip_bit(&path, in_a_message.unwrap() as u64, 1)
        .unwrap();
    let js = JetStream::on(&disk).await;
    assert_eq!(js.state("A").await["messages"], 80);
    assert!(js.node.damage().offline_streams().is_empty());
    let error = js.api_error("STREAM.MSG.GET.A", json!({ "seq": 3 })).await;
    assert_eq!(error, 10051);
    js.api_ok("STREAM.MSG.GET.A", json!({ "seq": 75 })).await;
    let lost = js.state("A").await["lost"].clone();
    assert!(
        lost["msgs"].as_array().unwrap().contains(&json!(3)),
        "{lost}"
    );
    // The subjects of the lost ones are known: a condition on the last one is decided rightly.
    let stale = [("Nats-Expected-Last-Subject-Sequence", "40")];
    let refused = js.publish_with("a", &stale, "x").await;
    assert_eq!(refused["error"]["err_code"], 10071, "{refused}");
    assert_eq!(js.publish("a", "goes on").await, 81);
    js.stop().await;
}
