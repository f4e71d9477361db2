//! The node again on the same disk: everything acknowledged is there, in the same order.

use hitherto_platform::FaultyDisk;
use serde_json::{Value, json};

use crate::harness::{JetStream, header, next, status, texts};

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

#[tokio::test]
async fn a_message_still_goes_when_its_time_is_over() {
    for crash in [false, true] {
        let disk = FaultyDisk::new();
        let js = JetStream::on(&disk).await;
        let more = json!({ "subject_delete_marker_ttl": 60_000_000_000_u64 });
        js.stream("S", &["s.>"], more).await;
        js.consumer("S", "C", json!({ "ack_policy": "none" })).await;
        js.publish_with("s.brief", &[("Nats-TTL", "1s")], "brief")
            .await;
        js.publish_with("s.long", &[("Nats-TTL", "1h")], "long")
            .await;
        js.publish_with("s.ever", &[("Nats-TTL", "never")], "ever")
            .await;
        if crash {
            drop(js);
        } else {
            js.stop().await;
        }
        let js = JetStream::on(&disk).await;
        let mut messages = js
            .pull(
                "S",
                "C",
                json!({ "batch": 4, "expires": 15_000_000_000_u64 }),
            )
            .await;
        // The first message may have gone while the node was down; its marker comes in any case.
        let marker = loop {
            let message = next(&mut messages).await;
            assert!(status(&message).is_none(), "{message:?}");
            if header(&message, "Nats-Marker-Reason").is_some() {
                break message;
            }
        };
        assert_eq!(marker.subject.as_str(), "s.brief");
        let state = js.state("S").await;
        assert_eq!(
            (&state["messages"], &state["last_seq"]),
            (&json!(3), &json!(4))
        );
        assert_eq!(
            js.api_error("STREAM.MSG.GET.S", json!({ "seq": 1 })).await,
            10037
        );
        js.stop().await;
    }
}

#[tokio::test]
async fn what_consumers_have_dealt_with_stays_gone() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("Q", &["q"], json!({ "retention": "workqueue" }))
        .await;
    js.stream("I", &["i.>"], json!({ "retention": "interest" }))
        .await;
    js.consumer("Q", "C", json!({})).await;
    js.consumer("I", "A", json!({ "filter_subject": "i.a" }))
        .await;
    for number in 1..=3 {
        js.publish("q", &number.to_string()).await;
        js.publish("i.a", &number.to_string()).await;
        js.publish("i.b", "nobody").await;
    }
    for (stream, consumer) in [("Q", "C"), ("I", "A")] {
        let messages = js.fetch(stream, consumer, 2).await;
        js.ack_sync(&messages[1], "").await;
    }
    let before = [js.state("Q").await, js.state("I").await];
    assert_eq!(before[0]["messages"], 2);
    assert_eq!(
        (&before[1]["messages"], &before[1]["last_seq"]),
        (&json!(2), &json!(6))
    );
    drop(js);
    let js = JetStream::on(&disk).await;
    assert_eq!([js.state("Q").await, js.state("I").await], before);
    let state = js.state("I").await;
    js.api_ok("CONSUMER.DELETE.I.A", Value::Null).await;
    assert_eq!(js.state("I").await["messages"], 0, "of {state}");
    js.stop().await;
}
