//! The monitoring pages of a node: what they show, how they refuse, and that they tell of what is wrong.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hitherto_broker::{Node, NodeConfig, Subject};
use hitherto_platform::FaultyDisk;
use serde_json::{Value, json};
use support::{MODERN, QUIET, RawClient};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const WAIT_MAX: Duration = Duration::from_secs(10);

async fn node() -> Node {
    node_with(NodeConfig::in_memory()).await
}

async fn node_with(config: NodeConfig) -> Node {
    let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
    support::node_with(config.http_listen(any_port)).await
}

/// Asks for a page; gives its status, its head and its body.
async fn get(node: &Node, page: &str) -> (u16, String, String) {
    let addr = node.http_addr().expect("the node shows pages");
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {page} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), head.to_owned(), body.to_owned())
}

async fn page(node: &Node, page: &str) -> Value {
    let (status, head, body) = get(node, page).await;
    assert_eq!(status, 200, "{page}: {body}");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    serde_json::from_str(&body).unwrap()
}

async fn refused(node: &Node, page: &str) -> String {
    let (status, _, body) = get(node, page).await;
    assert_eq!(status, 400, "{page}: {body}");
    body
}

/// A request of the JetStream API.
async fn api(node: &Node, subject: &str, body: &Value) -> Value {
    let subject = Subject::new(format!("$JS.API.{subject}")).unwrap();
    let body = body.to_string().into();
    let answer = node.client().request(subject, None, body, WAIT_MAX).await;
    serde_json::from_slice(&answer.unwrap().payload).unwrap()
}

/// Publishes into a stream; gives the PubAck.
async fn publish(node: &Node, subject: &'static str) -> Value {
    let (client, subject) = (node.client(), Subject::new(subject).unwrap());
    let answer = client.request(subject, None, "paid".into(), WAIT_MAX).await;
    serde_json::from_slice(&answer.unwrap().payload).unwrap()
}

async fn make_orders(node: &Node) {
    let config = json!({"name": "ORDERS", "subjects": ["orders.>"], "storage": "file"});
    let created = api(node, "STREAM.CREATE.ORDERS", &config).await;
    assert_eq!(created.get("error"), None, "{created}");
    let worker = json!({"stream_name": "ORDERS", "config": {"durable_name": "worker", "ack_policy": "explicit"}});
    let created = api(node, "CONSUMER.CREATE.ORDERS.worker", &worker).await;
    assert_eq!(created.get("error"), None, "{created}");
    let ack = publish(node, "orders.1").await;
    assert_eq!(ack["seq"], 1, "{ack}");
}

#[tokio::test]
async fn a_connection_is_shown_with_its_figures_and_its_end() {
    let node = node().await;
    let connect = MODERN.replace(
        "\"verbose\"",
        "\"name\":\"walker\",\"lang\":\"raw\",\"verbose\"",
    );
    let mut walker = RawClient::ready(&node, &connect).await;
    walker
        .send("SUB a.* 7\r\nSUB b q 8\r\nUNSUB 8 5\r\nPUB a.1 3\r\nxyz\r\n")
        .await;
    walker
        .send("HPUB a.2 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
        .await;
    walker.barrier().await;
    let mut other = RawClient::ready(&node, QUIET).await;

    let shown = page(&node, "/connz?subs=detail").await;
    assert_eq!(
        (&shown["num_connections"], &shown["total"]),
        (&json!(2), &json!(2))
    );
    let first = &shown["connections"][0];
    assert_eq!(
        (&first["name"], &first["lang"]),
        (&json!("walker"), &json!("raw"))
    );
    for (field, value) in [
        ("in_msgs", 2),
        ("in_bytes", 17),
        ("out_msgs", 2),
        ("out_bytes", 17),
        ("subscriptions", 2),
        ("pending_bytes", 0),
    ] {
        assert_eq!(first[field], value, "{field} of {first}");
    }
    let subscriptions = &first["subscriptions_list_detail"];
    assert_eq!(
        subscriptions[0],
        json!({"subject": "a.*", "sid": "7", "msgs": 2, "cid": first["cid"]})
    );
    assert_eq!(subscriptions[1]["qgroup"], "q");
    assert_eq!(subscriptions[1]["max"], 5);

    other.send("PUB a 99999999\r\n").await;
    other.until_closed().await;
    drop(walker);
    // The node notices both ends by itself.
    let closed = loop {
        let closed = page(&node, "/connz?state=closed&sort=reason").await;
        if closed["total"] == 2 {
            break closed;
        }
    };
    let reason = |at: usize| &closed["connections"][at]["reason"];
    assert_eq!(reason(0), "Client Closed");
    assert_eq!(reason(1), "Maximum Message Payload Exceeded");
    assert_eq!(closed["connections"][0]["in_msgs"], 2);
    let varz = page(&node, "/varz").await;
    for (field, value) in [
        ("connections", 0),
        ("total_connections", 2),
        ("in_msgs", 2),
        ("out_bytes", 17),
    ] {
        assert_eq!(varz[field], value, "{field}");
    }
    assert_eq!(varz["http_req_stats"]["/varz"], 1);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn connections_are_sorted_paged_and_chosen() {
    let node = node().await;
    let mut clients = Vec::new();
    for subscriptions in [1, 3, 2] {
        let mut client = RawClient::ready(&node, QUIET).await;
        for sid in 0..subscriptions {
            client.send(format!("SUB s.{sid} {sid}\r\n")).await;
        }
        client.barrier().await;
        clients.push(client);
    }
    let counts = async |options: &str| -> Vec<u64> {
        let shown = page(&node, &format!("/connz?{options}")).await;
        assert_eq!(shown["total"], 3);
        let connections = shown["connections"].as_array().unwrap();
        let count = |connection: &Value| connection["subscriptions"].as_u64().unwrap();
        connections.iter().map(count).collect()
    };
    assert_eq!(counts("").await, [1, 3, 2]);
    assert_eq!(counts("sort=subs").await, [3, 2, 1]);
    assert_eq!(counts("sort=uptime").await, [2, 3, 1]);
    assert_eq!(counts("sort=subs&offset=1&limit=1").await, [2]);
    assert_eq!(counts("offset=9").await, [0; 0]);
    assert_eq!(counts("cid=2").await, [3]);
    assert_eq!(counts("user=nobody").await, [0; 0]);
    let interested = page(&node, "/connz?acc=$G&filter_subject=s.1").await;
    assert_eq!(interested["total"], 2);
    assert_eq!(page(&node, "/connz?acc=OTHER").await["total"], 0);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn options_that_cannot_be_read_are_refused_in_the_words_of_nats_server() {
    let node = node().await;
    for (asked, text) in [
        ("/connz?sort=nope", "invalid sorting option: nope"),
        (
            "/connz?sort=stop",
            "sort by stop only valid on closed connections",
        ),
        ("/connz?state=nope", "Error decoding state for nope"),
        (
            "/connz?limit=abc",
            "Error decoding int for 'limit': strconv.Atoi: parsing \"abc\": invalid syntax",
        ),
        (
            "/jsz?accounts=nope",
            "Error decoding boolean for 'accounts': strconv.ParseBool: parsing \"nope\": invalid syntax",
        ),
        (
            "/subsz?test=foo.%3E",
            "invalid test subject, must be valid publish subject: foo.>",
        ),
        ("/accountz?acc=nope", "Account nope does not exist"),
    ] {
        assert_eq!(refused(&node, asked).await, text, "{asked}");
    }
    let (status, _, body) = get(&node, "/nope").await;
    assert_eq!((status, body.as_str()), (404, "404 page not found\n"));
    let (status, _, body) = get(&node, "/raftz").await;
    assert_eq!((status, body.as_str()), (404, "No Raft nodes registered"));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn subscriptions_are_counted_listed_and_tested() {
    let node = node().await;
    let _client = RawClient::ready(&node, "SUB foo.* 1\r\nSUB bar 2\r\n").await;
    let brief = page(&node, "/subsz").await;
    assert_eq!(brief["num_inserts"], brief["num_subscriptions"]);
    assert_eq!(brief.get("subscriptions_list"), None);
    let tested = page(&node, "/subsz?subs=1&test=foo.1").await;
    assert_eq!(tested["total"], 1);
    assert_eq!(tested["subscriptions_list"][0]["subject"], "foo.*");
    assert_eq!(tested["subscriptions_list"][0]["account"], "$G");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn jetstream_is_shown_down_to_its_consumers() {
    let node = node().await;
    make_orders(&node).await;
    // The sums are of a moment ago: who has the ack may be ahead of them, who has a later answer is not.
    api(&node, "STREAM.INFO.ORDERS", &json!({})).await;
    let brief = page(&node, "/jsz").await;
    for (field, value) in [
        ("streams", 1),
        ("consumers", 1),
        ("messages", 1),
        ("accounts", 1),
    ] {
        assert_eq!(brief[field], value, "{field} of {brief}");
    }
    assert_eq!(brief["api"]["total"], 3);
    assert_eq!(brief.get("account_details"), None);

    let long = page(&node, "/jsz?consumers=1&config=1").await;
    let stream = &long["account_details"][0]["stream_detail"][0];
    assert_eq!(stream["name"], "ORDERS");
    assert_eq!(stream["config"]["subjects"], json!(["orders.>"]));
    assert_eq!(stream["state"]["messages"], 1);
    assert_eq!(stream["cluster"]["leader"], node.server_id());
    let consumer = &stream["consumer_detail"][0];
    assert_eq!(
        (&consumer["name"], &consumer["num_pending"]),
        (&json!("worker"), &json!(1))
    );
    assert_eq!(consumer["config"]["ack_policy"], "explicit");

    let plain = page(&node, "/jsz?acc=$G&streams=1").await;
    let stream = &plain["account_details"][0]["stream_detail"][0];
    assert_eq!(
        (stream.get("config"), stream.get("consumer_detail")),
        (None, None)
    );
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_node_without_jetstream_says_so_and_is_healthy() {
    let node = node_with(NodeConfig::in_memory().jetstream(false)).await;
    assert_eq!(page(&node, "/jsz").await["disabled"], true);
    assert_eq!(page(&node, "/varz").await["jetstream"], json!({}));
    assert_eq!(page(&node, "/healthz").await, json!({"status": "ok"}));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn health_names_what_is_not_there() {
    let node = node().await;
    make_orders(&node).await;
    for healthy in [
        "/healthz",
        "/healthz?js-enabled-only=true",
        "/healthz?js-server-only=1&details=1",
        "/healthz?account=$G&stream=ORDERS&consumer=worker",
    ] {
        assert_eq!(
            page(&node, healthy).await,
            json!({"status": "ok"}),
            "{healthy}"
        );
    }
    for (asked, code, answer) in [
        (
            "/healthz?stream=ORDERS",
            400,
            r#"{"status":"error","error":"\"account\" must not be empty when checking stream health"}"#,
        ),
        (
            "/healthz?account=$G&stream=NOPE",
            404,
            r#"{"status":"unavailable","error":"JetStream stream \"NOPE\" not found on account \"$G\""}"#,
        ),
        (
            "/healthz?account=$G&stream=ORDERS&consumer=nope&details=1",
            404,
            r#"{"status":"error","errors":[{"type":"CONSUMER","account":"$G","stream":"ORDERS","consumer":"nope","error":"JetStream consumer \"nope\" not found for stream \"ORDERS\" on account \"$G\""}]}"#,
        ),
        (
            "/healthz?account=OTHER",
            404,
            r#"{"status":"unavailable","error":"JetStream account \"OTHER\" not found"}"#,
        ),
    ] {
        let (status, _, body) = get(&node, asked).await;
        assert_eq!((status, body.as_str()), (code, answer), "{asked}");
    }
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_log_that_failed_is_not_healthy() {
    let disk = Arc::new(FaultyDisk::new());
    let config = NodeConfig::new("/data").disk(Arc::<FaultyDisk>::clone(&disk));
    let node = node_with(config).await;
    make_orders(&node).await;
    disk.fail_sync(0);
    let answer = publish(&node, "orders.2").await;
    assert_ne!(answer.get("error"), None, "{answer}");
    for asked in ["/healthz", "/healthz?js-server-only=true"] {
        let (status, _, body) = get(&node, asked).await;
        assert_eq!(status, 503, "{asked}: {body}");
        assert!(body.contains("restart the node"), "{body}");
    }
    drop(node);
}

#[tokio::test]
async fn the_pages_end_with_the_node() {
    let node = node().await;
    let addr = node.http_addr().unwrap();
    // A reader that says nothing does not hold the node up.
    let mut silent = TcpStream::connect(addr).await.unwrap();
    page(&node, "/varz").await;
    node.shutdown().await.unwrap();
    let mut nothing = Vec::new();
    silent.read_to_end(&mut nothing).await.ok();
    assert_eq!(nothing, b"");
    assert!(TcpStream::connect(addr).await.is_err());
}
