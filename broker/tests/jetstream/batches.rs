//! Atomic batch publish: all or nothing.

use serde_json::{Value, json};

use crate::harness::JetStream;

async fn batch(
    js: &JetStream,
    to: &str,
    id: &str,
    seq: u32,
    more: &[(&str, &str)],
) -> Option<Value> {
    let seq = seq.to_string();
    let mut fields = vec![("Nats-Batch-Id", id), ("Nats-Batch-Sequence", &seq)];
    fields.extend(more);
    let answer = js
        .request(to, Some(crate::harness::headers(&fields)), &seq)
        .await
        .unwrap();
    if answer.payload.is_empty() {
        return None;
    }
    serde_json::from_slice(&answer.payload).unwrap()
}

const COMMIT: (&str, &str) = ("Nats-Batch-Commit", "1");

#[tokio::test]
async fn committed_batch_is_stored_as_one() {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({ "allow_atomic": true }))
        .await;
    js.publish("s.0", "0").await;
    assert_eq!(batch(&js, "s.1", "a", 1, &[]).await, None);
    assert_eq!(batch(&js, "s.2", "a", 2, &[]).await, None);
    assert_eq!(
        js.state("S").await["messages"],
        1,
        "nothing is stored before the commit"
    );
    let ack = batch(&js, "s.3", "a", 3, &[COMMIT]).await.unwrap();
    assert_eq!(
        ack,
        json!({ "stream": "S", "seq": 4, "batch": "a", "count": 3 })
    );
    assert_eq!(js.state("S").await["messages"], 4);

    batch(&js, "s.4", "b", 1, &[]).await;
    let ack = batch(&js, "s.5", "b", 2, &[("Nats-Batch-Commit", "eob")])
        .await
        .unwrap();
    assert_eq!((&ack["seq"], &ack["count"]), (&json!(5), &json!(1)));
    js.stop().await;
}

#[tokio::test]
async fn gap_ends_the_batch_and_stores_nothing() {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({ "allow_atomic": true }))
        .await;
    batch(&js, "s.1", "a", 1, &[]).await;
    let error = batch(&js, "s.3", "a", 3, &[COMMIT]).await.unwrap();
    assert_eq!(error["error"]["err_code"], 10176);
    let error = batch(&js, "s.2", "a", 2, &[COMMIT]).await.unwrap();
    assert_eq!(error["error"]["err_code"], 10176, "the batch is gone");
    assert_eq!(js.state("S").await["messages"], 0);
    js.stop().await;
}

#[tokio::test]
async fn broken_condition_refuses_the_whole_batch() {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({ "allow_atomic": true }))
        .await;
    js.publish("s.1", "0").await;
    batch(&js, "s.2", "a", 1, &[]).await;
    let condition = ("Nats-Expected-Last-Subject-Sequence", "0");
    let error = batch(&js, "s.1", "a", 2, &[COMMIT, condition])
        .await
        .unwrap();
    assert_eq!(error["error"]["err_code"], 10071);
    assert_eq!(js.state("S").await["messages"], 1);
    js.stop().await;
}

#[tokio::test]
async fn batches_are_refused_where_they_are_not_allowed() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    let error = batch(&js, "s", "a", 1, &[]).await.unwrap();
    assert_eq!(error["error"]["err_code"], 10174);
    js.stream("T", &["t"], json!({ "allow_atomic": true }))
        .await;
    let later = ("Nats-Required-Api-Level", "99");
    let error = batch(&js, "t", "later", 1, &[later]).await.unwrap();
    assert_eq!(error["error"]["err_code"], 10185);
    assert_eq!(js.publish_with("t", &[later], "plain").await["seq"], 1);
    let empty = js
        .publish_with("t", &[("Nats-Batch-Id", "")], "plain")
        .await;
    assert_eq!(empty["seq"], 2, "an empty id is none");
    let error = batch(&js, "t", &"x".repeat(65), 1, &[]).await.unwrap();
    assert_eq!(error["error"]["err_code"], 10179);
    let fields = [("Nats-Batch-Id", "a")];
    assert_eq!(
        js.publish_with("t", &fields, "").await["error"]["err_code"],
        10175
    );
    let error = batch(&js, "t", "a", 1, &[("Nats-Batch-Commit", "no")])
        .await
        .unwrap();
    assert_eq!(error["error"]["err_code"], 10200);
    js.stop().await;
}
