//! Push consumers, and what else a consumer can do beside being pulled: pause, reset, live in memory.

use hitherto_broker::{LocalMessage, LocalSubscription, SubjectFilter};
use hitherto_platform::FaultyDisk;
use serde_json::{Value, json};

use crate::harness::{JetStream, header, next, status, text};

const SECOND_NS: u64 = 1_000_000_000;

fn listen(js: &JetStream, to: &str, group: Option<&str>) -> LocalSubscription {
    let filter = SubjectFilter::new(to.to_owned()).unwrap();
    js.client.subscribe(filter, group).unwrap()
}

/// The next message that is no status.
async fn next_message(subscription: &mut LocalSubscription) -> LocalMessage {
    loop {
        let message = next(subscription).await;
        if status(&message).is_none() {
            return message;
        }
    }
}

#[tokio::test]
async fn messages_are_pushed_while_somebody_listens() {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({})).await;
    js.publish("s.1", "1").await;
    let push = json!({ "deliver_subject": "to.here" });
    let created = js.consumer("S", "P", push.clone()).await;
    assert_eq!(created.get("push_bound"), None);

    let mut here = listen(&js, "to.here", None);
    let first = next(&mut here).await;
    assert_eq!((first.subject.as_str(), text(&first)), ("s.1", "1"));
    js.ack_sync(&first, "").await;
    js.publish("s.2", "2").await;
    assert_eq!(text(&next(&mut here).await), "2");
    assert_eq!(js.consumer_info("S", "P").await["push_bound"], true);
    // While somebody listens the deliver subject stays.
    let body = |to: &str| {
        json!({ "stream_name": "S", "config": {
            "durable_name": "P", "ack_policy": "explicit", "deliver_subject": to } })
    };
    let moved = js.api_error("CONSUMER.CREATE.S.P", body("to.there")).await;
    assert_eq!(moved, 10013);
    let pulled = js.pull("S", "P", json!({})).await;
    let refusal = next(&mut { pulled }).await;
    assert_eq!(status(&refusal), Some((409, "Consumer is push based")));

    drop(here);
    js.publish("s.3", "3").await;
    let info = js.consumer_info("S", "P").await;
    assert_eq!(
        (&info["num_pending"], info.get("push_bound")),
        (&json!(1), None)
    );
    js.api_ok("CONSUMER.CREATE.S.P", body("to.there")).await;
    let mut there = listen(&js, "to.there", None);
    assert_eq!(text(&next(&mut there).await), "3");
    js.stop().await;
}

#[tokio::test]
async fn a_group_needs_a_member() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    js.publish("s", "1").await;
    let push = json!({ "deliver_subject": "to", "deliver_group": "workers" });
    js.consumer("S", "P", push).await;
    let mut watcher = listen(&js, "to", None);
    assert_eq!(js.consumer_info("S", "P").await.get("push_bound"), None);
    let mut member = listen(&js, "to", Some("workers"));
    // Whoever listens beside the group hears as well.
    assert_eq!(text(&next(&mut member).await), "1");
    assert_eq!(text(&next(&mut watcher).await), "1");
    drop(member);
    let info = js.consumer_info("S", "P").await;
    assert_eq!(info.get("push_bound"), None);
    js.stop().await;
}

#[tokio::test]
async fn flow_control_waits_for_the_client() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    let big = "x".repeat(700 * 1024);
    for _ in 0..6 {
        js.publish("s", &big).await;
    }
    let mut here = listen(&js, "to", None);
    let push = json!({ "deliver_subject": "to", "ack_policy": "none",
        "flow_control": true, "idle_heartbeat": SECOND_NS / 10 });
    js.consumer("S", "P", push).await;
    let (mut delivered, mut asked) = (0, None);
    let stalled_at = loop {
        let message = next(&mut here).await;
        match status(&message) {
            None => delivered += 1,
            Some((100, "FlowControl Request")) => asked.clone_from(&message.reply),
            Some((100, "Idle Heartbeat")) => {
                if let Some(stalled) = header(&message, "Nats-Consumer-Stalled") {
                    break stalled.to_owned();
                }
            }
            other => panic!("{other:?}"),
        }
    };
    // 2 MiB and what passed them.
    assert_eq!(delivered, 3);
    let asked = asked.unwrap();
    assert_eq!(asked.as_str(), stalled_at);
    assert!(stalled_at.starts_with("$JS.FC.S.P."), "{stalled_at}");
    let answer = js.client.publish(asked, None, None, bytes::Bytes::new());
    answer.await.unwrap();
    for _ in 0..3 {
        next_message(&mut here).await;
    }
    js.stop().await;
}

#[tokio::test]
async fn a_push_consumer_goes_on_after_a_restart() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("S", &["s"], json!({})).await;
    js.consumer("S", "P", json!({ "deliver_subject": "to" }))
        .await;
    let mut here = listen(&js, "to", None);
    js.publish("s", "1").await;
    js.publish("s", "2").await;
    js.ack_sync(&next(&mut here).await, "").await;
    next(&mut here).await;
    js.stop().await;

    let js = JetStream::on(&disk).await;
    js.publish("s", "3").await;
    let mut here = listen(&js, "to", None);
    assert_eq!(text(&next(&mut here).await), "3");
    let info = js.consumer_info("S", "P").await;
    assert_eq!(info["ack_floor"]["stream_seq"], 1);
    assert_eq!(
        (&info["num_ack_pending"], &info["push_bound"]),
        (&json!(2), &json!(true))
    );
    js.stop().await;
}

#[tokio::test]
async fn an_ordered_consumer_lives_in_memory() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("S", &["s.>"], json!({})).await;
    for payload in ["1", "2", "3"] {
        js.publish("s.a", payload).await;
    }
    let mut here = listen(&js, "to", None);
    let syncs = disk.counters().syncs;
    let config = json!({ "name": "O", "deliver_subject": "to", "ack_policy": "none",
        "mem_storage": true, "num_replicas": 1, "max_deliver": 1, "flow_control": true,
        "idle_heartbeat": SECOND_NS, "inactive_threshold": 300 * SECOND_NS });
    let body = json!({ "stream_name": "S", "config": config });
    let created = js.api_ok("CONSUMER.CREATE.S.O", body).await;
    assert_eq!(
        (&created["num_pending"], &created["push_bound"]),
        (&json!(3), &json!(true))
    );
    for (number, left) in [(1, 2), (2, 1), (3, 0)] {
        let message = next_message(&mut here).await;
        let reply = message.reply.as_ref().unwrap().as_str().to_owned();
        let head = format!("$JS.ACK.S.O.1.{number}.{number}.");
        assert!(
            reply.starts_with(&head) && reply.ends_with(&format!(".{left}")),
            "{reply}"
        );
    }
    assert_eq!(disk.counters().syncs, syncs, "nothing waits for the disk");
    js.stop().await;
    let js = JetStream::on(&disk).await;
    let gone = js.api_error("CONSUMER.INFO.S.O", Value::Null).await;
    assert_eq!(gone, 10014);
    js.stop().await;
}

#[tokio::test]
async fn a_pause_and_a_reset_are_kept() {
    let disk = FaultyDisk::new();
    let js = JetStream::on(&disk).await;
    js.stream("S", &["s"], json!({})).await;
    js.publish("s", "1").await;
    js.publish("s", "2").await;
    js.consumer("S", "C", json!({})).await;
    assert_eq!(js.fetch("S", "C", 2).await.len(), 2);
    let reset = js.api_ok("CONSUMER.RESET.S.C", json!({ "seq": 2 })).await;
    assert_eq!(
        (&reset["reset_seq"], &reset["num_pending"]),
        (&json!(2), &json!(1))
    );
    let until = "2099-01-01T00:00:00Z";
    let paused = js
        .api_ok("CONSUMER.PAUSE.S.C", json!({ "pause_until": until }))
        .await;
    assert_eq!(
        (&paused["paused"], &paused["pause_until"]),
        (&json!(true), &json!(until))
    );
    js.stop().await;

    let js = JetStream::on(&disk).await;
    assert!(js.fetch("S", "C", 2).await.is_empty());
    let info = js.consumer_info("S", "C").await;
    assert_eq!(
        (&info["paused"], &info["config"]["pause_until"]),
        (&json!(true), &json!(until))
    );
    let mut waiting = js.pull("S", "C", json!({ "batch": 1 })).await;
    let resumed = js.api_ok("CONSUMER.PAUSE.S.C", json!({})).await;
    assert_eq!(resumed["paused"], false);
    assert_eq!(text(&next(&mut waiting).await), "2");
    let refused = js.api("CONSUMER.PAUSE.S.none", json!({})).await;
    assert_eq!(
        (&refused["error"]["err_code"], &refused["paused"]),
        (&json!(10014), &json!(false))
    );
    js.stop().await;
}

#[tokio::test]
async fn a_late_in_progress_is_told_so() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    js.consumer("S", "C", json!({})).await;
    js.publish("s", "1").await;
    let first = js.fetch("S", "C", 1).await.remove(0);
    js.ack_sync(&first, "+WPI").await;
    js.ack_sync(&first, "-NAK").await;
    let second = js.fetch("S", "C", 1).await.remove(0);
    js.ack_sync(&second, "+WPI").await;
    let to = first.reply.as_ref().unwrap().as_str();
    let answer = js.request(to, None, "+WPI").await.unwrap();
    assert_eq!(status(&answer), Some((409, "Lease Lost")));
    js.stop().await;
}
