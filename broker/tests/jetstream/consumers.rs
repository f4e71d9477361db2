//! Pull consumers: delivery, acks of every kind, limits, and the statuses that end a request.

use serde_json::{Value, json};

use crate::harness::{JetStream, header, next, status, text, texts};

const SECOND_NS: u64 = 1_000_000_000;

#[tokio::test]
async fn messages_are_delivered_in_order_and_acked() {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({})).await;
    let created = js.consumer("S", "C", json!({})).await;
    assert_eq!(
        created["type"],
        "io.nats.jetstream.api.v1.consumer_create_response"
    );
    assert_eq!(created["config"]["ack_wait"], 30 * SECOND_NS);
    for payload in ["1", "2", "3"] {
        js.publish(&format!("s.{payload}"), payload).await;
    }
    let messages = js.fetch("S", "C", 10).await;
    assert_eq!(texts(&messages), ["1", "2", "3"]);
    assert_eq!(messages[1].subject, "s.2");
    let reply = messages[0].reply.as_ref().unwrap().as_str();
    assert!(reply.starts_with("$JS.ACK.S.C.1.1.1."), "{reply}");
    assert!(reply.ends_with(".2"), "two more are pending: {reply}");

    js.ack_sync(&messages[0], "").await;
    js.ack_sync(&messages[1], "+ACK").await;
    let info = js.consumer_info("S", "C").await;
    assert_eq!(info["ack_floor"]["stream_seq"], 2);
    assert_eq!(info["num_ack_pending"], 1);
    assert_eq!(info["delivered"]["consumer_seq"], 3);
    // A double ack of an acked message is answered, too.
    js.ack_sync(&messages[0], "").await;
    js.stop().await;
}

#[tokio::test]
async fn waiting_request_gets_messages_as_they_come() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    js.consumer("S", "C", json!({})).await;
    let body = json!({ "batch": 2, "expires": 20 * SECOND_NS });
    let mut request = js.pull("S", "C", body).await;
    js.publish("s", "1").await;
    assert_eq!(text(&next(&mut request).await), "1");
    js.publish("s", "2").await;
    assert_eq!(text(&next(&mut request).await), "2");
    js.stop().await;
}

#[tokio::test]
async fn requests_end_with_the_statuses_of_nats() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    js.consumer("S", "C", json!({})).await;
    let mut request = js
        .pull("S", "C", json!({ "batch": 1, "no_wait": true }))
        .await;
    let message = next(&mut request).await;
    assert_eq!(status(&message), Some((404, "No Messages")));

    let body = json!({ "batch": 3, "expires": SECOND_NS / 20 });
    let mut request = js.pull("S", "C", body).await;
    let message = next(&mut request).await;
    assert_eq!(status(&message), Some((408, "Request Timeout")));
    assert_eq!(header(&message, "Nats-Pending-Messages"), Some("3"));

    let body = json!({ "batch": 1, "expires": 20 * SECOND_NS });
    let mut request = js.pull("S", "C", body).await;
    js.api_ok("CONSUMER.DELETE.S.C", Value::Null).await;
    let message = next(&mut request).await;
    assert_eq!(status(&message), Some((409, "Consumer Deleted")));

    let refused = js.request("$JS.API.CONSUMER.MSG.NEXT.S.C", None, "").await;
    assert!(refused.unwrap_err().to_string().contains("no responders"));
    js.stop().await;
}

#[tokio::test]
async fn nak_term_and_progress_do_what_they_say() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    js.consumer("S", "C", json!({})).await;
    for payload in ["nak", "term", "progress"] {
        js.publish("s", payload).await;
    }
    let first = js.fetch("S", "C", 3).await;
    js.ack_sync(&first[0], "-NAK").await;
    js.ack_sync(&first[1], "+TERM").await;
    js.ack_sync(&first[2], "+WPI").await;
    let second = js.fetch("S", "C", 3).await;
    assert_eq!(texts(&second), ["nak"]);
    let reply = second[0].reply.as_ref().unwrap().as_str();
    assert!(reply.starts_with("$JS.ACK.S.C.2.1.4."), "{reply}");
    let info = js.consumer_info("S", "C").await;
    assert_eq!(
        (&info["num_ack_pending"], &info["num_redelivered"]),
        (&json!(2), &json!(1))
    );
    js.stop().await;
}

#[tokio::test]
async fn unacked_message_comes_again_until_max_deliver() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    let more = json!({ "ack_wait": SECOND_NS / 20, "max_deliver": 2 });
    js.consumer("S", "C", more).await;
    js.publish("s", "1").await;
    let body = json!({ "batch": 3, "expires": SECOND_NS });
    let mut request = js.pull("S", "C", body).await;
    for deliveries in 1..=2 {
        let message = next(&mut request).await;
        let reply = message.reply.as_ref().unwrap().as_str();
        assert!(
            reply.starts_with(&format!("$JS.ACK.S.C.{deliveries}.1.")),
            "{reply}"
        );
    }
    let end = next(&mut request).await;
    assert_eq!(status(&end), Some((408, "Request Timeout")));
    js.stop().await;
}

#[tokio::test]
async fn filters_and_start_positions_choose_the_messages() {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({})).await;
    for (to, payload) in [("s.a", "1"), ("s.b", "2"), ("s.a", "3"), ("s.b", "4")] {
        js.publish(to, payload).await;
    }
    js.consumer("S", "FILTER", json!({ "filter_subject": "s.b" }))
        .await;
    assert_eq!(texts(&js.fetch("S", "FILTER", 9).await), ["2", "4"]);
    let more = json!({ "deliver_policy": "by_start_sequence", "opt_start_seq": 3 });
    js.consumer("S", "START", more).await;
    assert_eq!(texts(&js.fetch("S", "START", 9).await), ["3", "4"]);
    let more = json!({ "deliver_policy": "last_per_subject", "filter_subject": "s.>" });
    js.consumer("S", "LAST", more).await;
    assert_eq!(texts(&js.fetch("S", "LAST", 9).await), ["3", "4"]);
    js.consumer("S", "NEW", json!({ "deliver_policy": "new" }))
        .await;
    js.publish("s.a", "5").await;
    assert_eq!(texts(&js.fetch("S", "NEW", 9).await), ["5"]);
    js.stop().await;
}

#[tokio::test]
async fn full_ack_pending_stops_new_deliveries() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    js.consumer("S", "C", json!({ "max_ack_pending": 2 })).await;
    for payload in ["1", "2", "3"] {
        js.publish("s", payload).await;
    }
    let first = js.fetch("S", "C", 2).await;
    let body = json!({ "batch": 1, "expires": 20 * SECOND_NS });
    let mut request = js.pull("S", "C", body).await;
    js.ack_sync(&first[0], "").await;
    assert_eq!(text(&next(&mut request).await), "3");
    js.stop().await;
}

#[tokio::test]
async fn ephemeral_consumer_gets_a_name_and_lists_are_sorted() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    let body = json!({ "stream_name": "S", "config": { "ack_policy": "none" } });
    let created = js.api_ok("CONSUMER.CREATE.S", body).await;
    assert_eq!(created["name"].as_str().unwrap().len(), 8, "{created}");
    js.consumer("S", "B", json!({})).await;
    let body =
        json!({ "stream_name": "S", "config": { "durable_name": "A", "ack_policy": "explicit" } });
    js.api_ok("CONSUMER.DURABLE.CREATE.S.A", body).await;
    let names = js.api_ok("CONSUMER.NAMES.S", Value::Null).await;
    assert_eq!(names["total"], 3);
    let mut sorted = names["consumers"].as_array().unwrap().clone();
    sorted.sort_by_key(|name| name.as_str().unwrap().to_owned());
    assert_eq!(names["consumers"], json!(sorted));
    let list = js.api_ok("CONSUMER.LIST.S", json!({ "offset": 0 })).await;
    assert_eq!(list["consumers"].as_array().unwrap().len(), 3);
    assert_eq!(js.state("S").await["consumer_count"], 3);
    js.stop().await;
}

#[tokio::test]
async fn consumer_requests_are_refused_with_the_codes_of_nats() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    js.consumer("S", "C", json!({})).await;
    assert_eq!(js.api_error("CONSUMER.INFO.S.X", Value::Null).await, 10014);
    assert_eq!(
        js.api_error("CONSUMER.DELETE.S.X", Value::Null).await,
        10014
    );
    assert_eq!(js.api_error("CONSUMER.INFO.X.C", Value::Null).await, 10059);
    let body = json!({ "stream_name": "S", "action": "create",
        "config": { "durable_name": "C", "ack_policy": "explicit", "max_deliver": 7 } });
    assert_eq!(js.api_error("CONSUMER.CREATE.S.C", body).await, 10148);
    let body = json!({ "stream_name": "S", "action": "update",
        "config": { "durable_name": "X", "ack_policy": "explicit" } });
    assert_eq!(js.api_error("CONSUMER.CREATE.S.X", body).await, 10149);
    let body = json!({ "stream_name": "S", "config": { "name": "D", "filter_subject": "a" } });
    assert_eq!(js.api_error("CONSUMER.CREATE.S.D.b", body).await, 10131);
    let body = json!({ "stream_name": "T", "config": { "name": "D" } });
    assert_eq!(js.api_error("CONSUMER.CREATE.S.D", body).await, 10056);
    js.stop().await;
}

#[tokio::test]
async fn next_with_an_ack_pulls_one_more() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    js.consumer("S", "C", json!({})).await;
    js.publish("s", "1").await;
    js.publish("s", "2").await;
    let first = js.fetch("S", "C", 1).await;
    let ack = first[0].reply.as_ref().unwrap().as_str().to_owned();
    let mut inbox = js.ask(&ack, "+NXT").await;
    let second = next(&mut inbox).await;
    assert_eq!(text(&second), "2");
    js.ack_sync(&second, "").await;
    assert_eq!(
        js.consumer_info("S", "C").await["ack_floor"]["stream_seq"],
        2
    );
    js.stop().await;
}
