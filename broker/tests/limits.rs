//! What a client may take up, and what happens to it, and to others, when it takes more.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use hitherto_broker::{Node, NodeConfig};
use hitherto_platform::{Entropy as _, MemoryNet, Net as _, SeededEntropy};
use support::{MODERN, QUIET, RawClient, node_with};

#[tokio::test]
async fn a_slow_consumer_is_cut_and_the_others_get_everything() {
    const MESSAGES: usize = 2_000;
    let config = NodeConfig::in_memory()
        .max_payload(16 * 1024)
        .max_pending(1024 * 1024);
    let node = node_with(config).await;
    let mut slow = RawClient::ready(&node, &format!("{QUIET}SUB a 1\r\n")).await;
    let mut fast = RawClient::ready(&node, &format!("{QUIET}SUB a 1\r\n")).await;
    let mut publisher = RawClient::ready(&node, QUIET).await;
    let payload = "x".repeat(16 * 1024);
    let publish = format!("PUB a {}\r\n{payload}\r\n", payload.len());
    let message = format!("MSG a 1 {}\r\n{payload}\r\n", payload.len());
    for _ in 0..MESSAGES {
        publisher.send(&publish).await;
        fast.expect(&message).await;
    }
    let got = slow.until_closed().await;
    assert!(
        got.len() < MESSAGES * message.len(),
        "it did not get everything"
    );
    assert_eq!(node.stats().slow_consumers, 1);
    assert_eq!(fast.barrier().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_until_the_write_deadline_is_cut() {
    let (node, net) = node_on_memory_net(NodeConfig::in_memory()).await;
    let mut slow = client_on(&node, &net).await;
    slow.send(format!("{QUIET}SUB a 1\r\n")).await;
    slow.barrier().await;
    let mut publisher = client_on(&node, &net).await;
    // More than the pipe holds and far less than max_pending.
    let payload = "x".repeat(256 * 1024);
    publisher
        .send(format!("{QUIET}PUB a {}\r\n{payload}\r\n", payload.len()))
        .await;
    publisher.barrier().await;
    tokio::time::advance(Duration::from_secs(11)).await;
    while node.stats().slow_consumers == 0 {
        tokio::task::yield_now().await;
    }
    assert!(slow.until_closed().await.len() < payload.len());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_stale() {
    let (node, net) = node_on_memory_net(NodeConfig::in_memory()).await;
    let mut client = client_on(&node, &net).await;
    client.patience = Duration::from_secs(3600);
    client.send(QUIET).await;
    assert_eq!(
        client.until_closed().await,
        "PING\r\nPING\r\n-ERR 'Stale Connection'\r\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_pings_stays() {
    let (node, net) = node_on_memory_net(NodeConfig::in_memory()).await;
    let mut client = client_on(&node, &net).await;
    client.patience = Duration::from_secs(3600);
    client.send(QUIET).await;
    for _ in 0..10 {
        client.expect("PING\r\n").await;
        client.send("PONG\r\n").await;
    }
    assert_eq!(client.barrier().await, "");
}

#[tokio::test]
async fn garbage_never_harms_the_node() {
    let node = node_with(NodeConfig::in_memory()).await;
    let seed = 42;
    let entropy = SeededEntropy::new(seed);
    let mut witness = RawClient::ready(&node, &format!("{MODERN}SUB witness 1\r\n")).await;
    for round in 0..300 {
        let mut client = RawClient::connect(&node).await;
        client.try_send(garbage(&entropy)).await;
        drop(client);
        witness.send("PUB witness 2\r\nok\r\n").await;
        let answer = witness.until("MSG witness 1 2\r\nok\r\n").await;
        assert_eq!(answer, "", "seed {seed}, round {round}");
    }
}

/// Random bytes, or random pieces of the protocol in a random order.
fn garbage(entropy: &SeededEntropy) -> Vec<u8> {
    const PIECES: [&str; 20] = [
        "PUB ",
        "HPUB ",
        "SUB ",
        "UNSUB ",
        "CONNECT ",
        "PING",
        "-ERR ",
        "+OK",
        "INFO ",
        "\r\n",
        "\n",
        " ",
        "{}",
        "a.b",
        ">",
        "..",
        "18446744073709551616",
        "-1",
        "12 14",
        "\u{0}\u{fffd}",
    ];
    let pick = |below: usize| usize::try_from(entropy.u64() % below as u64).unwrap();
    if pick(3) == 0 {
        let mut bytes = vec![0; pick(2048)];
        entropy.fill(&mut bytes);
        return bytes;
    }
    (0..pick(40))
        .flat_map(|_| PIECES[pick(PIECES.len())].bytes())
        .collect()
}

async fn node_on_memory_net(config: NodeConfig) -> (Node, MemoryNet) {
    let net = MemoryNet::new();
    let node = node_with(config.net(Arc::new(net.clone()))).await;
    (node, net)
}

async fn client_on(node: &Node, net: &MemoryNet) -> RawClient {
    let addr = node.listen_addr().unwrap();
    RawClient::on(net.connect(addr).await.unwrap()).await
}
