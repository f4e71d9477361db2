//! The node again on the same disk: everything acknowledged is there, in the same order.

use hitherto_platform::FaultyDisk;
use serde_json::{Value, json};

use crate::harness::{JetStream, texts};

/// Stream info without what is filled in when it is asked for.
async fn described(js: &JetStream) -> Value {
    let mut info = js.api_ok("STREAM.INFO.S", Value::Null).await;
    info.as_object_mut().unwrap().remove("ts");
    let mut consumer = js.consumer_info("S", "C").await;
    consumer.as_object_mut().unwrap().remove("ts");
    json!([info, consumer])
}

async fn fill(js: &JetStream) {
    js.stream("S", &["s.>"], json!({ "max_msgs": 8 })).await;
    js.consumer("S", "C", json!({})).await;
    for number in 1..=10 {
        js.publish(&format!("s.{number}"), &number.to_string())
            .await;
    }
    js.api_ok("STREAM.MSG.DELETE.S", json!({ "seq": 5 })).await;
    let messages = js.fetch("S", "C", 3).await;
    js.ack_sync(&messages[0], "").await;
    js.ack_sync(&messages[2], "").await;
    js.publish_with("s.id", &[("Nats-Msg-Id", "a")], "id").await;
}

async fn check(js: &JetStream, before: &Value) {
    assert_eq!(&described(js).await, before);
    let again = js.publish_with("s.id", &[("Nats-Msg-Id", "a")], "id").await;
    assert_eq!(
        (&again["seq"], &again["duplicate"]),
        (&json!(11), &json!(true))
    );
    let rest = js.fetch("S", "C", 20).await;
    assert_eq!(texts(&rest), ["7", "8", "9", "10", "id"]);
}

#[tokio::test]
async fn clean_restart_keeps_the_state() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    fill(&js).await;
    let before = described(&js).await;
    js.stop().await;
    let js = JetStream::on(&disk).await;
    check(&js, &before).await;
    js.stop().await;
}

#[tokio::test]
async fn restart_after_a_crash_keeps_the_state() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    fill(&js).await;
    let before = described(&js).await;
    drop(js);
    disk.crash();
    let js = JetStream::on(&disk).await;
    check(&js, &before).await;
    // And once more, from the checkpoint of a clean end on top of it.
    let before = described(&js).await;
    js.stop().await;
    let js = JetStream::on(&disk).await;
    assert_eq!(described(&js).await, before);
    js.stop().await;
}

#[tokio::test]
async fn streams_deleted_and_made_anew_come_back_as_they_were() {
    for crash in [false, true] {
        let disk = FaultyDisk::new();
        let js = JetStream::on(&disk).await;
        for name in ["A", "B"] {
            js.stream(name, &[name], json!({})).await;
            js.publish(name, "old").await;
        }
        js.api_ok("STREAM.DELETE.A", Value::Null).await;
        js.api_ok("STREAM.DELETE.B", Value::Null).await;
        js.stream("B", &["B"], json!({})).await;
        js.publish("B", "new").await;
        if crash {
            drop(js);
            disk.crash();
        } else {
            js.stop().await;
        }
        let js = JetStream::on(&disk).await;
        let names = js.api_ok("STREAM.NAMES", Value::Null).await;
        assert_eq!(names["streams"], json!(["B"]));
        let got = js.api_ok("STREAM.MSG.GET.B", json!({ "seq": 1 })).await;
        assert_eq!(got["message"]["data"], "bmV3");
        assert_eq!(js.state("B").await["messages"], 1);
        js.stop().await;
    }
}
