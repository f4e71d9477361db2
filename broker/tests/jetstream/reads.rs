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

/// What a request for last messages is answered with: the payloads, and the headers of the end mark.
async fn last_of_each(js: &JetStream, body: serde_json::Value) -> (Vec<String>, [String; 3]) {
    let mut answers = js.ask("$JS.API.DIRECT.GET.S", &body.to_string()).await;
    let mut seen = Vec::new();
    loop {
        let message = next(&mut answers).await;
        if status(&message).is_none() {
            seen.push(text(&message).to_owned());
            continue;
        }
        assert_eq!(status(&message), Some((204, "EOB")), "{body}");
        let names = [
            "Nats-Num-Pending",
            "Nats-Last-Sequence",
            "Nats-UpTo-Sequence",
        ];
        return (
            seen,
            names.map(|name| header(&message, name).unwrap().to_owned()),
        );
    }
}

#[tokio::test]
async fn last_messages_are_read_as_of_a_sequence_or_a_time() {
    let js = direct_stream().await;
    let at = js.api_ok("STREAM.MSG.GET.S", json!({ "seq": 3 })).await["message"]["time"].clone();
    for (body, payloads, end) in [
        (json!({}), vec!["4", "5"], ["0", "5", "5"]),
        (json!({ "up_to_seq": 3 }), vec!["2", "3"], ["0", "3", "3"]),
        (json!({ "up_to_seq": 1 }), vec!["1"], ["0", "1", "1"]),
        (json!({ "up_to_time": at }), vec!["1", "2"], ["0", "2", "2"]),
        (json!({ "batch": 1 }), vec!["4"], ["1", "4", "5"]),
        (
            json!({ "seq": 5, "up_to_seq": 5 }),
            vec!["5"],
            ["0", "5", "5"],
        ),
        (json!({ "seq": 6 }), vec![], ["0", "0", "5"]),
    ] {
        let mut asked = json!({ "multi_last": ["s.a", "s.*"] });
        let fields = body.as_object().unwrap().clone();
        asked.as_object_mut().unwrap().extend(fields);
        let (seen, ends) = last_of_each(&js, asked).await;
        assert_eq!(seen, payloads, "{body}");
        assert_eq!(ends, end, "{body}");
    }
    for (body, code, description) in [
        (r#"{"multi_last":["s.>"],"up_to_seq":9}"#, 404, "No Results"),
        (r#"{"multi_last":["z"]}"#, 404, "No Results"),
        (
            r#"{"multi_last":["s.>"],"up_to_seq":3,"up_to_time":"2030-01-01T00:00:00Z"}"#,
            408,
            "Bad Request",
        ),
        (r#"{"batch":3}"#, 408, "Empty Request"),
        (r#"{"multi_last":[]}"#, 408, "Empty Request"),
    ] {
        let got = js
            .request("$JS.API.DIRECT.GET.S", None, body)
            .await
            .unwrap();
        assert_eq!(status(&got), Some((code, description)), "{body}");
    }
    js.stop().await;
}

#[tokio::test]
async fn last_messages_of_any_number_of_subjects_come_in_pages() {
    let js = JetStream::start().await;
    js.stream("S", &["s.>"], json!({ "allow_direct": true }))
        .await;
    for number in 0..1_100 {
        js.publish(&format!("s.{number}"), &number.to_string())
            .await;
    }
    let body = r#"{"multi_last":["s.>"]}"#;
    let got = js
        .request("$JS.API.DIRECT.GET.S", None, body)
        .await
        .unwrap();
    assert_eq!(status(&got), Some((413, "Too Many Results")));

    let first = json!({ "multi_last": ["s.>"], "no_limit": true, "batch": 600 });
    let (mut seen, [pending, last, up_to]) = last_of_each(&js, first).await;
    assert_eq!((pending.as_str(), up_to.as_str()), ("500", "1100"));
    // What comes between two pages is not part of either.
    js.publish("s.7", "new").await;
    js.publish("s.1050", "new").await;
    let rest = json!({
        "multi_last": ["s.>"],
        "no_limit": true,
        "seq": last.parse::<u64>().unwrap() + 1,
        "up_to_seq": up_to.parse::<u64>().unwrap(),
    });
    let (more, [pending, ..]) = last_of_each(&js, rest).await;
    assert_eq!(pending, "0");
    seen.extend(more);
    let all: Vec<String> = (0..1_100).map(|number: u32| number.to_string()).collect();
    assert_eq!(seen, all);
    js.stop().await;
}

#[tokio::test]
async fn no_headers_means_none() {
    let js = direct_stream().await;
    let body = r#"{"seq":2,"no_hdr":true}"#;
    let got = js
        .request("$JS.API.DIRECT.GET.S", None, body)
        .await
        .unwrap();
    assert!(got.headers.is_none(), "{got:?}");
    assert_eq!(text(&got), "2");
    let body = r#"{"seq":1,"batch":2,"no_hdr":true}"#;
    let mut answers = js.ask("$JS.API.DIRECT.GET.S", body).await;
    for payload in ["1", "2"] {
        let got = next(&mut answers).await;
        assert!(got.headers.is_none(), "{got:?}");
        assert_eq!(text(&got), payload);
    }
    assert_eq!(status(&next(&mut answers).await), Some((204, "EOB")));
    js.stop().await;
}
