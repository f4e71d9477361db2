//! `hitherto check` and `hitherto inspect` as processes: exit codes and output.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use hitherto_broker::{Node, NodeConfig, Subject};
use serde_json::Value;

/// A stream ORDERS with 60 messages, in this folder.
async fn fill(dir: &Path) {
    let node = Node::start(NodeConfig::new(dir)).await.unwrap();
    let client = node.client();
    let request = |to: &str, body: String| {
        let subject = Subject::new(to.to_owned()).unwrap();
        client.request(subject, None, body.into(), Duration::from_secs(20))
    };
    let config = r#"{"name":"ORDERS","subjects":["orders.*"]}"#;
    let create = "$JS.API.STREAM.CREATE.ORDERS";
    request(create, config.to_owned()).await.unwrap();
    for number in 0..60 {
        let payload = format!("{{\"order\":{number},\"note\":\"{}\"}}", "x".repeat(2_000));
        request(&format!("orders.{number}"), payload).await.unwrap();
    }
    node.shutdown().await.unwrap();
}

fn hitherto(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitherto"));
    command.args(args).env_remove("RUST_LOG").output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn check_succeeds_on_an_intact_store_and_fails_on_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    fill(folder.path()).await;
    let output = hitherto(&["check", dir]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert!(shown.contains("stream ORDERS: 1 segment, "), "{shown}");
    assert!(shown.contains("nothing is damaged"), "{shown}");

    let streams = folder.path().join("jetstream/streams");
    let stream = std::fs::read_dir(streams).unwrap().next().unwrap().unwrap();
    let segment = stream.path().join("seg-00000000000000000001.dat");
    let mut content = std::fs::read(&segment).unwrap();
    content[5_000] ^= 1;
    std::fs::write(&segment, content).unwrap();

    let output = hitherto(&["check", dir]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    // The two messages before it in the same block can be read.
    let lost = "stream ORDERS: message 3 cannot be read";
    assert!(shown.contains(lost), "{shown}");
    assert!(shown.contains(segment.to_str().unwrap()), "{shown}");
    assert!(text(&output.stderr).contains("is damaged"), "{output:?}");

    let output = hitherto(&["check", dir, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["damage"][0]["stream"], "ORDERS", "{report}");
    assert_eq!(report["damage"][0]["first_seq"], 3, "{report}");

    let output = hitherto(&["check", &format!("{dir}/nothing")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("there is no store"),
        "{output:?}"
    );
}

#[tokio::test]
async fn inspect_shows_streams_and_messages() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    fill(folder.path()).await;
    let shows = |args: &[&str], expected: &str| {
        let output = hitherto(args);
        let shown = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(shown.contains(expected), "{args:?}: {shown}");
    };
    shows(&["inspect", dir], "stream ORDERS [orders.*]: 60 messages");
    shows(&["inspect", dir, "--stream", "ORDERS"], "segment 1 to ");
    let message = ["inspect", dir, "--stream", "ORDERS", "--seq", "7"];
    shows(&message, "subject: orders.6");
    shows(&message, r#"payload: {\"order\":6"#);
    let output = hitherto(&["inspect", dir, "--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["streams"][0]["state"]["messages"], 60, "{shown}");

    let output = hitherto(&["inspect", dir, "--stream", "NONE"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("there is no stream"),
        "{output:?}"
    );
}
