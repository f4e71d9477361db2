//! Direct get: one message, batches, and the statuses in place of a message.

use serde_json::json;

use crate::harness::{JetStream, header, next, status, text};

async fn direct_stream() -> JetStream {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({ "allow_direct": true }))
        .await;
    for (to, payload) in [
        ("s.a", "1"),
        ("s.b", "2"),
        ("s.a", "3"),
        ("s.b", "4"),
        ("s.a", "5"),
    ] {
        js.publish(to, payload).await;
    }
    js
}

#[tokio::test]
async fn single_messages_come_raw_with_their_origin() {
    let js = direct_stream().await;
    js.publish_with("s.h", &[("Own", "x")], "6").await;
    for (body, seq, payload) in [
        (json!({ "seq": 2 }), "2", "2"),
        (json!({ "last_by_subj": "s.a" }), "5", "5"),
        (json!({ "next_by_subj": "s.b" }), "2", "2"),
        (json!({ "next_by_subj": "s.b", "seq": 3 }), "4", "4"),
        (json!({ "seq": 6 }), "6", "6"),
    ] {
        let got = js
            .request("$JS.API.DIRECT.GET.S", None, &body.to_string())
            .await
            .unwrap();
        assert_eq!(text(&got), payload, "{body}");
        assert_eq!(header(&got, "Nats-Sequence"), Some(seq));
        assert_eq!(header(&got, "Nats-Stream"), Some("S"));
        assert!(header(&got, "Nats-Time-Stamp").unwrap().ends_with('Z'));
        assert_eq!(header(&got, "Own"), (seq == "6").then_some("x"));
    }
    let got = js
        .request("$JS.API.DIRECT.GET.S.s.b", None, "")
        .await
        .unwrap();
    assert_eq!(
        (text(&got), header(&got, "Nats-Subject")),
        ("4", Some("s.b"))
    );
    js.stop().await;
}

#[tokio::test]
async fn missing_messages_and_bad_requests_are_statuses() {
    let js = direct_stream().await;
    for (body, code, description) in [
        (r#"{"seq":99}"#, 404, "Message Not Found"),
        (r#"{"last_by_subj":"s.z"}"#, 404, "Message Not Found"),
        ("", 408, "Empty Request"),
        ("{", 408, "Malformed Request"),
        (r#"{"seq":1,"last_by_subj":"s.a"}"#, 408, "Bad Request"),
    ] {
        let got = js
            .request("$JS.API.DIRECT.GET.S", None, body)
            .await
            .unwrap();
        assert_eq!(status(&got), Some((code, description)), "{body}");
    }
    js.stream("CLOSED", &["c"], json!({})).await;
    let refused = js
        .request("$JS.API.DIRECT.GET.CLOSED", None, r#"{"seq":1}"#)
        .await;
    assert!(refused.unwrap_err().to_string().contains("no responders"));
    js.stop().await;
}

#[tokio::test]
async fn batch_counts_down_and_ends_with_eob() {
    let js = direct_stream().await;
    let body = json!({ "batch": 2, "seq": 1, "next_by_subj": "s.a" });
    let mut answers = js.ask("$JS.API.DIRECT.GET.S", &body.to_string()).await;
    let mut seen = Vec::new();
    let end = loop {
        let message = next(&mut answers).await;
        if status(&message).is_some() {
            break message;
        }
        seen.push((
            text(&message).to_owned(),
            header(&message, "Nats-Num-Pending").unwrap().to_owned(),
            header(&message, "Nats-Last-Sequence").unwrap().to_owned(),
        ));
    };
    let expected = [("1", "2", "0"), ("3", "1", "1")]
        .map(|(text, pending, last)| (text.to_owned(), pending.to_owned(), last.to_owned()));
    assert_eq!(seen, expected);
    assert_eq!(status(&end), Some((204, "EOB")));
    assert_eq!(header(&end, "Nats-Num-Pending"), Some("1"));
    assert_eq!(header(&end, "Nats-Last-Sequence"), Some("3"));
    js.stop().await;
}
