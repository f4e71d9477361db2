//! Streams: create, change, publish, purge, delete.

use std::sync::Arc;

use hitherto_broker::{NodeConfig, SubjectFilter};
use hitherto_platform::FaultyDisk;
use serde_json::{Value, json};

use crate::harness::{JetStream, header, headers, next, subject, text};

#[tokio::test]
async fn created_stream_stores_what_is_published_to_its_subjects() {
    let js = JetStream::start().await;
    let created = js.stream("ORDERS", &["orders.>"], json!({})).await;
    assert_eq!(
        created["type"],
        "io.nats.jetstream.api.v1.stream_create_response"
    );
    assert_eq!(created["did_create"], true);
    assert_eq!(created["config"]["name"], "ORDERS");

    let ack = js.publish_with("orders.1", &[], "one").await;
    assert_eq!(ack, json!({ "stream": "ORDERS", "seq": 1 }));
    assert_eq!(js.publish("orders.2", "two").await, 2);
    let state = js.state("ORDERS").await;
    assert_eq!(
        (&state["messages"], &state["last_seq"]),
        (&json!(2), &json!(2))
    );

    let again = js.stream("ORDERS", &["orders.>"], json!({})).await;
    assert!(
        again.get("did_create").is_none_or(|did| did == false),
        "{again}"
    );
    js.stop().await;
}

#[tokio::test]
async fn creating_is_refused_with_the_codes_of_nats() {
    let js = JetStream::start().await;
    js.stream("A", &["a.>"], json!({})).await;
    let body = json!({ "name": "A", "subjects": ["b"] });
    assert_eq!(js.api_error("STREAM.CREATE.A", body).await, 10058);
    let body = json!({ "name": "B", "subjects": ["a.x"] });
    assert_eq!(js.api_error("STREAM.CREATE.B", body).await, 10065);
    let body = json!({ "name": "C", "subjects": ["c"] });
    assert_eq!(js.api_error("STREAM.CREATE.B", body).await, 10056);
    let body = json!({ "name": "B", "subjects": ["b"], "nonsense": 1 });
    assert_eq!(js.api_error("STREAM.CREATE.B", body).await, 10025);
    assert_eq!(js.api_error("STREAM.INFO.B", Value::Null).await, 10059);
    assert_eq!(js.api_error("STREAM.SNAPSHOT.A", Value::Null).await, 10051);
    assert_eq!(
        js.api_error("STREAM.DELETE.A", json!({ "x": 1 })).await,
        10038
    );
    js.stop().await;
}

#[tokio::test]
async fn updated_subjects_are_captured_and_old_ones_no_more() {
    let js = JetStream::start().await;
    js.stream("S", &["old", "both"], json!({})).await;
    let config = json!({ "name": "S", "subjects": ["both", "new"] });
    let updated = js.api_ok("STREAM.UPDATE.S", config).await;
    assert_eq!(
        updated["type"],
        "io.nats.jetstream.api.v1.stream_update_response"
    );
    assert_eq!(updated["config"]["subjects"], json!(["both", "new"]));
    assert_eq!(js.publish("new", "1").await, 1);
    assert_eq!(js.publish("both", "2").await, 2);
    let refused = js.request("old", None, "3").await.unwrap_err();
    assert!(refused.to_string().contains("no responders"), "{refused}");
    js.stop().await;
}

#[tokio::test]
async fn names_and_list_are_sorted_and_filtered_by_subject() {
    let js = JetStream::start().await;
    let none = js.api_ok("STREAM.NAMES", Value::Null).await;
    assert_eq!(
        (&none["streams"], &none["total"]),
        (&Value::Null, &json!(0))
    );
    for name in ["C", "A", "B"] {
        js.stream(name, &[&format!("{name}.>")], json!({})).await;
    }
    js.publish("B.1", "x").await;
    let names = js.api_ok("STREAM.NAMES", Value::Null).await;
    assert_eq!(names["streams"], json!(["A", "B", "C"]));
    let names = js.api_ok("STREAM.NAMES", json!({ "subject": "B.*" })).await;
    assert_eq!(names["streams"], json!(["B"]));
    let list = js.api_ok("STREAM.LIST", json!({ "offset": 1 })).await;
    assert_eq!(list["total"], 3);
    assert_eq!(list["streams"][0]["config"]["name"], "B");
    assert_eq!(list["streams"][0]["state"]["messages"], 1);
    assert_eq!(list["streams"][1]["config"]["name"], "C");
    js.stop().await;
}

#[tokio::test]
async fn deleted_stream_is_gone_and_its_name_is_free() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    js.publish("s", "old").await;
    let deleted = js.api_ok("STREAM.DELETE.S", Value::Null).await;
    assert_eq!(deleted["success"], true);
    assert!(js.request("s", None, "x").await.is_err());
    assert_eq!(js.api_error("STREAM.DELETE.S", Value::Null).await, 10059);
    js.stream("S", &["s"], json!({})).await;
    assert_eq!(js.publish("s", "new").await, 1);
    js.stop().await;
}

#[tokio::test]
async fn duplicates_are_acked_with_the_first_sequence() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    let id = [("Nats-Msg-Id", "a")];
    assert_eq!(js.publish_with("s", &id, "1").await["seq"], 1);
    let again = js.publish_with("s", &id, "1").await;
    assert_eq!(again, json!({ "stream": "S", "seq": 1, "duplicate": true }));
    assert_eq!(js.state("S").await["messages"], 1);
    js.stop().await;
}

#[tokio::test]
async fn conditions_are_checked_against_the_stored_state() {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({})).await;
    let last = |seq| [("Nats-Expected-Last-Subject-Sequence", seq)];
    assert_eq!(js.publish_with("s.1", &last("0"), "a").await["seq"], 1);
    let refused = js.publish_with("s.1", &last("0"), "b").await;
    assert_eq!(refused["error"]["err_code"], 10071);
    assert_eq!(refused["error"]["description"], "wrong last sequence: 1");
    assert_eq!(js.publish_with("s.1", &last("1"), "b").await["seq"], 2);
    let wrong = [("Nats-Expected-Stream", "T")];
    assert_eq!(
        js.publish_with("s.1", &wrong, "c").await["error"]["err_code"],
        10060
    );
    assert_eq!(js.state("S").await["messages"], 2);
    js.stop().await;
}

#[tokio::test]
async fn purge_and_message_delete_remove_and_say_how_much() {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({})).await;
    for (to, payload) in [("s.a", "1"), ("s.b", "2"), ("s.a", "3"), ("s.b", "4")] {
        js.publish(to, payload).await;
    }
    let purged = js
        .api_ok("STREAM.PURGE.S", json!({ "filter": "s.a" }))
        .await;
    assert_eq!(
        (&purged["success"], &purged["purged"]),
        (&json!(true), &json!(2))
    );
    let deleted = js.api_ok("STREAM.MSG.DELETE.S", json!({ "seq": 2 })).await;
    assert_eq!(deleted["success"], true);
    assert_eq!(
        js.api_error("STREAM.MSG.DELETE.S", json!({ "seq": 2 }))
            .await,
        10057
    );
    let got = js.api_ok("STREAM.MSG.GET.S", json!({ "seq": 4 })).await;
    assert_eq!(got["message"]["data"], "NA==");
    assert_eq!(
        js.api_error("STREAM.MSG.GET.S", json!({ "seq": 1 })).await,
        10037
    );
    let purged = js.api_ok("STREAM.PURGE.S", Value::Null).await;
    assert_eq!(purged["purged"], 1);
    assert_eq!(js.state("S").await["first_seq"], 5);
    js.stop().await;
}

#[tokio::test]
async fn account_info_counts_streams_and_consumers() {
    let js = JetStream::start().await;
    js.stream("S", &["s"], json!({})).await;
    js.consumer("S", "C", json!({})).await;
    let info = js.api_ok("INFO", Value::Null).await;
    assert_eq!(
        (&info["streams"], &info["consumers"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(info["limits"]["max_streams"], -1);
    assert_eq!(
        (&info["api"]["total"], &info["api"]["errors"]),
        (&json!(2), &json!(0))
    );
    js.stop().await;
}

#[tokio::test]
async fn subject_longer_than_a_record_can_say_is_refused() {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({})).await;
    let long = format!("s.{}", "x".repeat(70_000));
    let refused = js.publish_with(&long, &[], "").await;
    assert_eq!(refused["error"]["err_code"], 10003);
    assert_eq!(js.publish("s.short", "").await, 1);
    js.stop().await;
}

#[tokio::test]
async fn what_is_stored_is_published_again_with_where_it_is() {
    let js = JetStream::start().await;
    let more = json!({
        "subject_transform": { "src": "in.*.*", "dest": "kept.{{partition(5,1)}}.$2" },
        "republish": { "src": "kept.>", "dest": "again.>" },
    });
    js.stream("S", &["in.>"], more).await;
    let filter = SubjectFilter::new("again.>").unwrap();
    let mut again = js.client.subscribe(filter, None).unwrap();
    js.publish_with("in.a.x", &[("Own", "1")], "first").await;
    js.publish("in.a.x", "second").await;
    js.publish("in.deeper.down.x", "not republished").await;
    for (seq, last, payload) in [("1", "0", "first"), ("2", "1", "second")] {
        let message = next(&mut again).await;
        assert_eq!(message.subject.as_str(), "again.0.x");
        assert_eq!(text(&message), payload);
        for (name, value) in [
            ("Nats-Stream", "S"),
            ("Nats-Subject", "kept.0.x"),
            ("Nats-Sequence", seq),
            ("Nats-Last-Sequence", last),
        ] {
            assert_eq!(header(&message, name), Some(value));
        }
        assert_eq!(header(&message, "Own"), (seq == "1").then_some("1"));
    }
    let got = js.api_ok("STREAM.MSG.GET.S", json!({ "seq": 3 })).await;
    assert_eq!(got["message"]["subject"], "in.deeper.down.x");
    let conflict = [("Nats-Expected-Last-Subject-Sequence", "0")];
    let refused = js.publish_with("in.a.x", &conflict, "third").await;
    assert_eq!(refused["error"]["err_code"], 10071, "{refused}");
    js.stop().await;
}

/// The copy has a record and a flush of its own, so a read right behind an ack that did not wait for it
/// would miss it.
#[tokio::test]
async fn who_has_the_ack_finds_the_copies_also_those_of_copies() {
    let js = JetStream::start().await;
    let again = |from: &str, to: &str| json!({ "republish": { "src": from, "dest": to } });
    js.stream("A", &["a.>"], again("a.>", "b.>")).await;
    js.stream("B", &["b.>"], again("b.>", "c.>")).await;
    js.stream("C", &["c.>"], json!({ "allow_atomic": true }))
        .await;
    for round in 1..=20_u64 {
        let payload = round.to_string();
        assert_eq!(js.publish("a.x", &payload).await, round);
        for stream in ["B", "C"] {
            let state = js.state(stream).await;
            assert_eq!(state["last_seq"], round, "{stream}");
        }
    }
    js.stop().await;
}

#[tokio::test]
async fn a_copy_that_is_refused_holds_up_no_ack() {
    let js = JetStream::start().await;
    let again = json!({ "republish": { "src": "a.>", "dest": "b.>" } });
    js.stream("A", &["a.>"], again).await;
    let full = json!({ "max_msgs": 1, "discard": "new" });
    js.stream("FULL", &["b.>"], full).await;
    let mut refused = js.listen("$JS.EVENT.ADVISORY.STREAM.PUBLISH_REFUSED.>");
    assert_eq!(js.publish("a.x", "fits").await, 1);
    assert_eq!(js.publish("a.y", "is refused there").await, 2);
    let advisory = next(&mut refused).await;
    let advisory: Value = serde_json::from_slice(&advisory.payload).unwrap();
    assert_eq!(advisory["stream"], "FULL");
    assert_eq!(advisory["subject"], "b.y");
    js.api_ok("STREAM.DELETE.FULL", json!(null)).await;
    assert_eq!(js.publish("a.z", "nobody takes the copy").await, 3);
    js.stop().await;
}

#[tokio::test]
async fn streams_that_publish_again_in_a_circle_acknowledge() {
    let js = JetStream::start().await;
    for (name, other) in [("A", "B"), ("B", "A")] {
        let again =
            json!({ "republish": { "src": format!("{name}.>"), "dest": format!("{other}.>") } });
        js.stream(name, &[&format!("{name}.>")], again).await;
    }
    // The id ends the circle: the copy that comes back is a duplicate.
    let ack = js.publish_with("A.x", &[("Nats-Msg-Id", "1")], "").await;
    assert_eq!(ack["seq"], 1);
    assert_eq!(js.state("B").await["last_seq"], 1);
    // Without one it never ends, and the ack comes nevertheless.
    assert_eq!(js.publish("A.y", "").await, 2);
    js.api_ok("STREAM.DELETE.B", json!(null)).await;
    js.stop().await;
}

#[tokio::test]
async fn streams_and_refused_publishes_are_told_of() {
    let js = JetStream::start().await;
    let filter = SubjectFilter::new("$JS.EVENT.ADVISORY.STREAM.>").unwrap();
    let mut advisories = js.client.subscribe(filter, None).unwrap();
    let more = json!({ "max_msgs": 1, "discard": "new", "allow_atomic": true });
    js.stream("S", &["s"], more.clone()).await;
    js.stream("S", &["s"], more.clone()).await;
    let mut config = more;
    config["name"] = json!("S");
    config["subjects"] = json!(["s"]);
    config["description"] = json!("x");
    js.api_ok("STREAM.UPDATE.S", config).await;
    js.publish("s", "fits").await;
    let silent = js
        .client
        .publish(subject("s"), None, None, "does not fit".into());
    silent.await.unwrap();
    let batch = [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1")];
    js.request("s", Some(headers(&batch)), "one").await.unwrap();
    let gap = [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "7")];
    js.publish_with("s", &gap, "seven").await;
    js.api_ok("STREAM.DELETE.S", Value::Null).await;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let message = next(&mut advisories).await;
        let body: Value = serde_json::from_str(text(&message)).unwrap();
        assert_eq!(body["stream"], "S");
        assert!(body["id"].is_string() && body["timestamp"].is_string());
        let detail = [&body["action"], &body["reason"], &body["error"]["err_code"]];
        let detail = detail.into_iter().find(|value| !value.is_null()).unwrap();
        seen.push(format!("{} {detail}", message.subject));
    }
    seen.sort();
    let named = |name: &str| format!("$JS.EVENT.ADVISORY.STREAM.{name}");
    let expected = [
        "BATCH_ABANDONED.S \"incomplete\"",
        "CREATED.S \"create\"",
        "DELETED.S \"delete\"",
        "PUBLISH_REFUSED.S 10077",
        "UPDATED.S \"modify\"",
    ];
    assert_eq!(seen, expected.map(named));
    js.stop().await;
}

#[tokio::test]
async fn subjects_come_in_pages_that_fit_one_message() {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({})).await;
    let long = "x".repeat(3_000);
    for number in 0..400 {
        js.publish(&format!("s.{long}.{number}"), "x").await;
    }
    let mut seen = 0;
    let mut pages = 0;
    while seen < 400 {
        let body = json!({ "subjects_filter": ">", "offset": seen });
        let page = js.api_ok("STREAM.INFO.S", body).await;
        assert_eq!(page["total"], 400);
        let subjects = page["state"]["subjects"].as_object().unwrap().len();
        assert!((1..400).contains(&subjects));
        seen += subjects;
        pages += 1;
    }
    assert_eq!((seen, pages), (400, 2));
    js.stop().await;
}

#[tokio::test]
async fn an_account_promises_no_more_than_it_has() {
    let config = NodeConfig::in_memory().max_storage(1_000).max_streams(3);
    let js = JetStream::with(config).await;
    let of = |max_bytes: i64| json!({ "max_bytes": max_bytes });
    js.stream("A", &["a"], of(600)).await;
    let mut body = of(500);
    body["name"] = json!("B");
    assert_eq!(js.api_error("STREAM.CREATE.B", body.clone()).await, 10047);
    body["max_bytes"] = json!(400);
    js.api_ok("STREAM.CREATE.B", body.clone()).await;
    body["max_bytes"] = json!(401);
    assert_eq!(js.api_error("STREAM.UPDATE.B", body).await, 10047);
    let account = js.api_ok("INFO", Value::Null).await;
    assert_eq!(account["reserved_storage"], 1_000);
    assert_eq!(account["limits"]["max_storage"], 1_000);
    js.stream("C", &["c"], json!({})).await;
    let body = json!({ "name": "D", "subjects": ["d"] });
    assert_eq!(js.api_error("STREAM.CREATE.D", body).await, 10027);
    assert_eq!(account["limits"]["max_streams"], 3);
    js.stop().await;
}

#[tokio::test]
async fn an_account_holds_no_more_than_it_may() {
    let config = NodeConfig::in_memory().max_storage(1_000).max_memory(500);
    let js = JetStream::with(config).await;
    js.stream("F", &["f"], json!({})).await;
    js.stream("M", &["m"], json!({ "storage": "memory" })).await;
    let full = "x".repeat(300);
    for (subject, fits) in [("f", 3), ("m", 1)] {
        for _ in 0..fits {
            js.publish(subject, &full).await;
        }
        let refused = js.publish_with(subject, &[], &full).await;
        assert_eq!(refused["error"]["err_code"], 10002, "{refused}");
        assert_eq!(
            refused["error"]["description"],
            "resource limits exceeded for account"
        );
    }
    let account = js.api_ok("INFO", Value::Null).await;
    assert_eq!(
        json!([account["storage"], account["memory"]]),
        json!([3 * 331, 331])
    );
    assert_eq!(
        json!([
            account["limits"]["max_storage"],
            account["limits"]["max_memory"]
        ]),
        json!([1_000, 500])
    );
    // What goes makes room.
    js.api_ok("STREAM.PURGE.F", Value::Null).await;
    js.publish("f", &full).await;
    js.stop().await;
}

#[tokio::test]
async fn what_is_held_is_known_after_a_restart() {
    let disk = FaultyDisk::new();
    let config = || {
        let disk = Arc::new(disk.clone());
        NodeConfig::in_memory().disk(disk).max_storage(1_000)
    };
    let js = JetStream::with(config()).await;
    js.stream("F", &["f"], json!({})).await;
    for _ in 0..3 {
        js.publish("f", &"x".repeat(300)).await;
    }
    js.stop().await;
    let js = JetStream::with(config()).await;
    let refused = js.publish_with("f", &[], &"x".repeat(300)).await;
    assert_eq!(refused["error"]["err_code"], 10002, "{refused}");
    js.stop().await;
}
