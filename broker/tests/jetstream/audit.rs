//! The audit of the API: who asked what, and what the answer was.

use hitherto_broker::NodeConfig;
use serde_json::{Value, json};

use super::harness::{JetStream, next};
use super::support::{MODERN, RawClient};

const AUDIT: &str = "$JS.EVENT.ADVISORY.API";

/// What an advisory says, with request and response read as the JSON they are.
struct Told {
    advisory: Value,
    response: Value,
}

impl Told {
    fn of(payload: &[u8]) -> Self {
        let advisory: Value = serde_json::from_slice(payload).unwrap();
        assert_eq!(advisory["type"], "io.nats.jetstream.advisory.v1.api_audit");
        let response = serde_json::from_str(advisory["response"].as_str().unwrap()).unwrap();
        Self { advisory, response }
    }

    fn subject(&self) -> &str {
        self.advisory["subject"].as_str().unwrap()
    }
}

#[tokio::test]
async fn each_request_about_something_is_told_with_its_answer() {
    let js = JetStream::start().await;
    js.api_ok("INFO", Value::Null).await;
    let mut audit = js.listen(AUDIT);
    let config = json!({"name": "A", "subjects": ["a.>"], "allow_direct": true});
    let worker =
        json!({"stream_name": "A", "config": {"durable_name": "C", "ack_policy": "explicit"}});
    let asked = [
        ("INFO", Value::Null),
        ("STREAM.CREATE.A", config.clone()),
        ("STREAM.CREATE.A", config.clone()),
        ("STREAM.UPDATE.A", config),
        ("STREAM.NAMES", Value::Null),
        ("STREAM.LIST", json!({"offset": 0})),
        ("STREAM.INFO.A", Value::Null),
        ("STREAM.INFO.NONE", Value::Null),
        ("STREAM.MSG.GET.A", json!({"seq": 1})),
        ("STREAM.SNAPSHOT.A", json!({"deliver_subject": "x"})),
        ("STREAM.PURGE.A", Value::Null),
        ("CONSUMER.CREATE.A.C", worker),
        ("CONSUMER.INFO.A.C", Value::Null),
        ("CONSUMER.LIST.A", Value::Null),
        ("CONSUMER.RESET.A.C", Value::Null),
        ("CONSUMER.DELETE.A.C", Value::Null),
        ("STREAM.DELETE.A", json!({"not": "empty"})),
        ("STREAM.DELETE.A", Value::Null),
    ];
    for (operation, body) in asked {
        let answer = js.api(operation, body.clone()).await;
        let told = Told::of(&next(&mut audit).await.payload);
        assert_eq!(told.subject(), format!("$JS.API.{operation}"));
        assert_eq!(told.response, answer, "{operation}");
        let request = told.advisory.get("request").and_then(Value::as_str);
        let body = (!body.is_null()).then(|| body.to_string());
        assert_eq!(request.map(str::to_owned), body, "{operation}");
        let client = &told.advisory["client"];
        assert_eq!(
            (&client["acc"], &client["kind"], &client["server"]),
            (&json!("$G"), &json!("Client"), &told.advisory["server"])
        );
    }
    js.stop().await;
}

#[tokio::test]
async fn requests_for_messages_are_not_told() {
    let js = JetStream::start().await;
    js.stream("A", &["a"], json!({"allow_direct": true})).await;
    js.consumer("A", "C", Value::Null).await;
    js.publish("a", "1").await;
    let mut audit = js.listen(AUDIT);
    assert_eq!(js.fetch("A", "C", 1).await.len(), 1);
    js.request("$JS.API.DIRECT.GET.A", None, r#"{"seq":1}"#)
        .await
        .unwrap();
    js.api_ok("STREAM.NAMES", Value::Null).await;
    let first = Told::of(&next(&mut audit).await.payload);
    assert_eq!(first.subject(), "$JS.API.STREAM.NAMES");
    js.stop().await;
}

#[tokio::test]
async fn a_client_with_a_connection_is_told_of_by_what_it_said() {
    let config = NodeConfig::in_memory()
        .server_name("orders-1")
        .listen("127.0.0.1:0".parse().unwrap());
    let js = JetStream::with(config).await;
    let mut audit = js.listen(AUDIT);
    let connect = MODERN.replace(
        "\"verbose\"",
        "\"name\":\"clerk\",\"lang\":\"rust\",\"version\":\"1.2\",\"verbose\"",
    );
    let mut clerk = RawClient::ready(&js.node, &connect).await;
    clerk
        .send("SUB i 1\r\nPUB $JS.API.STREAM.INFO.A i 4\r\n\x01\r\n\"\r\n")
        .await;
    let told = Told::of(&next(&mut audit).await.payload);
    let (advisory, client) = (&told.advisory, &told.advisory["client"]);
    assert_eq!(advisory["server"], "orders-1");
    assert_eq!(advisory["request"], "\u{1}\r\n\"");
    assert_eq!(
        json!([
            client["name"],
            client["lang"],
            client["ver"],
            client["host"],
            client["server"]
        ]),
        json!(["clerk", "rust", "1.2", "127.0.0.1", "orders-1"])
    );
    let info: Value = serde_json::from_str(clerk.info.trim_start_matches("INFO ")).unwrap();
    assert_eq!(client["id"], info["client_id"]);
    assert!(client["rtt"].as_u64().unwrap() > 0 && client["start"].is_string());
    assert_eq!(told.response["error"]["err_code"], 10059);
    js.stop().await;
}

#[tokio::test]
async fn who_listens_later_hears_later_requests_and_who_leaves_no_more() {
    let js = JetStream::start().await;
    let mut first = js.listen(AUDIT);
    js.api_ok("STREAM.NAMES", Value::Null).await;
    assert_eq!(
        Told::of(&next(&mut first).await.payload).subject(),
        "$JS.API.STREAM.NAMES"
    );
    drop(first);
    js.api_ok("STREAM.LIST", Value::Null).await;
    let mut second = js.listen("$JS.EVENT.>");
    js.api_ok("INFO", Value::Null).await;
    assert_eq!(
        Told::of(&next(&mut second).await.payload).subject(),
        "$JS.API.INFO"
    );
    js.stop().await;
}
