//! A disk that crashes, fills up, fails to sync, or flips a bit: nothing acknowledged is lost, nothing
//! wrong is delivered, and publishers are told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hitherto_broker::NodeConfig;
use hitherto_platform::{Disk as _, Fault, FaultOn, FaultyDisk};
use serde_json::json;

use crate::harness::{JetStream, header, subject, text};

#[tokio::test]
async fn acked_messages_survive_a_crash_at_any_point() {
    for seed in 0..12 {
        let disk = FaultyDisk::new();
        let js = JetStream::on(&disk).await;
        js.stream("S", &["s.>"], json!({})).await;
        // The power goes at some write, sync or rename from here on.
        disk.cut_power_after(3 + seed * 7);
        let mut acked = Vec::new();
        for number in 0..60_u64 {
            let ack = js.publish_with("s.x", &[], &number.to_string()).await;
            let Some(seq) = ack["seq"].as_u64().filter(|seq| *seq > 0) else {
                break;
            };
            acked.push((seq, number.to_string()));
        }
        drop(js);
        disk.crash_torn(seed);

        let js = JetStream::on(&disk).await;
        for (seq, payload) in &acked {
            let got = js.api_ok("STREAM.MSG.GET.S", json!({ "seq": seq })).await;
            let data = got["message"]["data"].as_str().unwrap();
            assert_eq!(data, base64(payload), "seed {seed}, sequence {seq}");
        }
        let sequences: Vec<u64> = acked.iter().map(|(seq, _)| *seq).collect();
        assert!(sequences.is_sorted(), "seed {seed}: {sequences:?}");
        js.publish("s.x", "goes on").await;
        js.stop().await;
    }
}

#[tokio::test]
async fn double_acked_messages_do_not_come_again_after_a_crash() {
    for seed in 0..8 {
        let disk = FaultyDisk::new();
        let js = JetStream::on(&disk).await;
        js.stream("S", &["s"], json!({})).await;
        js.consumer("S", "C", json!({})).await;
        for number in 0..40 {
            js.publish("s", &number.to_string()).await;
        }
        disk.cut_power_after(5 + seed * 9);
        let mut acked = Vec::new();
        for message in js.fetch("S", "C", 30).await {
            let reply = message.reply.clone().unwrap();
            let ack = js
                .client
                .request(reply, None, Bytes::new(), Duration::from_millis(200));
            if ack.await.is_err() {
                break;
            }
            acked.push(text(&message).to_owned());
        }
        drop(js);
        disk.crash_torn(seed);

        let js = JetStream::on(&disk).await;
        assert_eq!(js.state("S").await["messages"], 40, "seed {seed}");
        let again = js.fetch("S", "C", 100).await;
        for message in &again {
            let payload = text(message);
            assert!(
                !acked.contains(&payload.to_owned()),
                "seed {seed}: {payload}"
            );
        }
        assert!(again.len() + 30 >= 40, "what was never delivered comes now");
        js.stop().await;
    }
}

#[tokio::test]
async fn full_disk_refuses_and_goes_on_when_there_is_room() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("S", &["s"], json!({})).await;
    js.publish("s", "before").await;
    disk.set_capacity(Some(disk.used_bytes()));
    let large = "x".repeat(64 * 1024);
    let mut stored = 1;
    let refused = loop {
        let ack = js.publish_with("s", &[], &large).await;
        if ack.get("error").is_some() {
            break ack;
        }
        stored += 1;
        assert!(stored < 10_000, "the disk is full at some time");
    };
    assert_eq!(refused["error"]["err_code"], 10047, "{refused}");
    assert_eq!(refused["stream"], "S");
    disk.set_capacity(None);
    assert_eq!(js.publish("s", "after").await, stored + 1);
    js.stop().await;
}

#[tokio::test]
async fn full_index_refuses_until_messages_go() {
    let js = JetStream::with(NodeConfig::in_memory().max_index_bytes(64 * 1024)).await;
    js.stream("S", &["s.>"], json!({})).await;
    let mut stored = 0;
    let refused = loop {
        let ack = js.publish_with(&format!("s.{stored}"), &[], "x").await;
        if ack.get("error").is_some() {
            break ack;
        }
        stored += 1;
        assert!(stored < 5_000, "the index is full at some time");
    };
    assert_eq!(refused["error"]["err_code"], 10023, "{refused}");
    assert!(stored > 100, "only {stored} stored");
    js.api_ok("STREAM.PURGE.S", json!({})).await;
    assert_eq!(js.publish("s.after", "x").await, stored + 1);
    js.stop().await;
}

#[tokio::test]
async fn failed_sync_is_answered_and_later_publishes_are_refused() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("S", &["s"], json!({})).await;
    js.publish("s", "kept").await;
    disk.fail_sync(0);
    let unknown = js.publish_with("s", &[], "unknown").await;
    assert_eq!(unknown["error"]["err_code"], 10008, "{unknown}");
    let refused = js.publish_with("s", &[], "refused").await;
    assert_eq!(refused["error"]["err_code"], 10008, "{refused}");
    let body = json!({ "name": "T", "subjects": ["t"] });
    assert_eq!(js.api_error("STREAM.CREATE.T", body).await, 10008);
    // What was stored can still be read.
    let got = js.api_ok("STREAM.MSG.GET.S", json!({ "seq": 1 })).await;
    assert_eq!(got["message"]["data"], base64("kept"));
    drop(js);
    disk.crash();
    let js = JetStream::on(&disk).await;
    let messages = js.state("S").await["messages"].as_u64().unwrap();
    assert!(
        (1..=2).contains(&messages),
        "the unknown one is there or not: {messages}"
    );
    js.stop().await;
}

#[tokio::test]
async fn publishes_without_reply_are_stored_in_order() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({ "allow_direct": true }))
        .await;
    for number in 0..5_000 {
        let payload = Bytes::from(format!("{number}"));
        js.client
            .publish(subject("s"), None, None, payload)
            .await
            .unwrap();
    }
    assert_eq!(js.publish("s", "last").await, 5_001);
    for seq in [1_u64, 2_500, 5_000] {
        let body = json!({ "seq": seq }).to_string();
        let got = js
            .request("$JS.API.DIRECT.GET.S", None, &body)
            .await
            .unwrap();
        assert_eq!(got.payload, (seq - 1).to_string());
        assert_eq!(header(&got, "Nats-Subject"), Some("s"));
    }
    assert_eq!(js.state("S").await["messages"], 5_001);
    js.stop().await;
}

fn base64(text: &str) -> String {
    data_encoding::BASE64.encode(text.as_bytes())
}

#[tokio::test]
async fn a_stream_whose_files_cannot_be_made_is_opened_later() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("A", &["a"], json!({})).await;
    disk.arm(Fault::times(
        1000,
        FaultOn::MakeDir,
        "/streams/",
        Fault::NO_SPACE,
    ));
    let created = js
        .api("STREAM.CREATE.S", json!({"name": "S", "subjects": ["s"]}))
        .await;
    let error = created["error"]["description"].as_str().unwrap();
    assert!(error.contains("tried again"), "{created}");
    let config = json!({"name": "S", "subjects": ["s"], "max_msgs": 7});
    let updated = js.api("STREAM.UPDATE.S", config.clone()).await;
    let error = updated["error"]["description"].as_str().unwrap();
    assert!(error.contains("tried again"), "{updated}");
    disk.disarm();
    let again = js.api_ok("STREAM.CREATE.S", config).await;
    assert_eq!(again["config"]["name"], "S");
    for number in 0..10 {
        js.publish("s", &number.to_string()).await;
    }
    let info = js.api_ok("STREAM.INFO.S", json!({})).await;
    assert_eq!(info["config"]["max_msgs"], 7, "{info}");
    assert_eq!(info["state"]["messages"], 7, "{info}");
    js.stop().await;
    let js = JetStream::on(&disk).await;
    let info = js.api_ok("STREAM.INFO.S", json!({})).await;
    assert_eq!(info["state"]["messages"], 7, "{info}");
    js.stop().await;
}

#[tokio::test]
async fn files_of_streams_nobody_knows_are_not_taken_over() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("S", &["s"], json!({})).await;
    for _ in 0..100 {
        js.publish("s", &"x".repeat(2000)).await;
    }
    js.stop().await;
    let config = NodeConfig::in_memory().disk(Arc::new(disk.clone()));
    let store = Path::new("/memory/jetstream");
    disk.remove_dir_all(&store.join("wal")).unwrap();
    disk.remove_file(&store.join("state.redb")).unwrap();
    let segments = disk.list(&store.join("streams/1")).unwrap();
    assert!(!segments.is_empty());

    let refused = hitherto_broker::Node::start(config).await.unwrap_err();
    let mut text = refused.to_string();
    let mut cause = std::error::Error::source(&refused);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(
        text.contains("streams/1") && text.contains("move the folder away"),
        "{text}"
    );
    assert_eq!(disk.list(&store.join("streams/1")).unwrap(), segments);
}
