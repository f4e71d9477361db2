//! Lame duck mode: clients are told, left alone for a while, and then sent away.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use hitherto_broker::NodeConfig;
use hitherto_platform::{MemoryNet, Net as _};
use support::{QUIET, RawClient, node_with};
use tokio::time::Instant;

const MODERN_CLIENT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\n";

#[tokio::test(start_paused = true)]
async fn clients_are_told_and_closed_one_by_one_after_the_grace_period() {
    let net = MemoryNet::new();
    let config = NodeConfig::in_memory().lame_duck(Duration::from_secs(10), Duration::from_secs(1));
    let mut node = node_with(config.net(Arc::new(net.clone()))).await;
    let addr = node.listen_addr().unwrap();
    let mut modern = RawClient::on(net.connect(addr).await.unwrap()).await;
    modern.send(MODERN_CLIENT).await;
    modern.barrier().await;
    assert!(modern.line().await.contains("\"connect_info\":true"));
    let mut old = RawClient::on(net.connect(addr).await.unwrap()).await;
    old.send(format!("{QUIET}SUB a 1\r\n")).await;
    old.barrier().await;

    let begun = Instant::now();
    let lame_duck = tokio::spawn(async move {
        node.lame_duck().await.unwrap();
        node
    });
    let told = modern.line().await;
    assert!(told.contains("\"ldm\":true"), "{told}");
    assert!(net.connect(addr).await.is_err(), "nobody new is let in");
    // Who is there goes on; only JetStream has ended.
    modern.send("PUB a 2\r\nhi\r\n").await;
    old.expect("MSG a 1 2\r\nhi\r\n").await;
    assert!(begun.elapsed() < Duration::from_secs(10));

    let node = lame_duck.await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(10));
    modern.patience = Duration::from_secs(60);
    modern.until_closed().await;
    old.until_closed().await;
    node.shutdown().await.unwrap();
}
