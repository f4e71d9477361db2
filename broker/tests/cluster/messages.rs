//! Publish and subscribe, queue groups, requests, over all nodes.

use crate::harness::cluster;
use crate::support::{MODERN, QUIET, RawClient};

#[tokio::test]
async fn a_message_reaches_every_subscription_at_every_node_once() {
    let mut cluster = cluster(3).await;
    let mut listeners = Vec::new();
    for node in &cluster.nodes {
        let text = format!("{MODERN}SUB a.* 1\r\nSUB a.b 2\r\nSUB > 3\r\nSUB other 4\r\n");
        listeners.push(RawClient::ready(node, &text).await);
    }
    cluster.settle().await;
    for listener in &mut listeners {
        // What came while the cluster settled.
        listener.barrier().await;
    }
    let mut publisher = RawClient::ready(&cluster.nodes[1], MODERN).await;
    publisher
        .send("HPUB a.b reply.to 20 25\r\nNATS/1.0\r\nK: v w\r\n\r\nhello\r\n")
        .await;
    publisher.barrier().await;
    cluster.settle().await;
    for listener in &mut listeners {
        let heard = listener.barrier().await;
        let mut heard: Vec<_> = heard
            .split("HMSG ")
            .filter(|message| message.starts_with("a.b"))
            .collect();
        heard.sort_unstable();
        let expected = ["1", "2", "3"]
            .map(|sid| format!("a.b {sid} reply.to 20 25\r\nNATS/1.0\r\nK: v w\r\n\r\nhello\r\n"));
        for (heard, expected) in heard.iter().zip(&expected) {
            assert!(heard.starts_with(expected), "{heard:?}");
        }
        assert_eq!(heard.len(), 3, "{heard:?}");
    }
}

#[tokio::test]
async fn order_and_payload_of_many_messages_are_kept() {
    let mut cluster = cluster(2).await;
    let mut listener = RawClient::ready(&cluster.nodes[0], &format!("{QUIET}SUB n 1\r\n")).await;
    cluster.settle().await;
    let mut publisher = RawClient::ready(&cluster.nodes[1], QUIET).await;
    for number in 0..2_000 {
        let payload = format!("{number}-{}", "x".repeat(number % 300));
        let text = format!("PUB n {}\r\n{payload}\r\n", payload.len());
        publisher.send(text).await;
    }
    for number in 0..2_000 {
        let payload = format!("{number}-{}", "x".repeat(number % 300));
        let text = format!("MSG n 1 {}\r\n{payload}\r\n", payload.len());
        listener.expect(&text).await;
    }
}

#[tokio::test]
async fn a_request_is_answered_by_a_client_of_another_node() {
    let mut cluster = cluster(3).await;
    let mut responder =
        RawClient::ready(&cluster.nodes[2], &format!("{MODERN}SUB service 1\r\n")).await;
    cluster.settle().await;
    let mut asker =
        RawClient::ready(&cluster.nodes[0], &format!("{MODERN}SUB inbox.* 9\r\n")).await;
    asker.send("PUB service inbox.7 2\r\nhi\r\n").await;
    responder.expect("MSG service 1 inbox.7 2\r\nhi\r\n").await;
    responder.send("PUB inbox.7 3\r\nyes\r\n").await;
    asker.expect("MSG inbox.7 9 3\r\nyes\r\n").await;
}

#[tokio::test]
async fn there_are_no_responders_when_no_node_has_one() {
    let mut cluster = cluster(2).await;
    let mut asker = RawClient::ready(&cluster.nodes[0], &format!("{MODERN}SUB inbox 9\r\n")).await;
    asker.send("PUB service inbox 0\r\n\r\n").await;
    assert!(asker.line().await.starts_with("HMSG inbox 9 "));
    assert_eq!(asker.line().await, "NATS/1.0 503");
    asker.barrier().await;

    for subscribe in ["SUB service 1\r\n", "SUB service workers 1\r\n"] {
        let text = format!("{MODERN}{subscribe}");
        let mut responder = RawClient::ready(&cluster.nodes[1], &text).await;
        cluster.settle().await;
        asker.send("PUB service inbox 0\r\n\r\n").await;
        assert_eq!(asker.barrier().await, "");
        assert_eq!(responder.line().await.split(' ').nth(1), Some("service"));
        responder.send("UNSUB 1\r\n").await;
        responder.barrier().await;
        cluster.settle().await;
        asker.send("PUB service inbox 0\r\n\r\n").await;
        assert!(asker.barrier().await.contains("NATS/1.0 503"));
    }
}

/// How many messages on `subject` are in what a client read.
fn count(heard: &str, subject: &str) -> usize {
    heard.matches(&format!("MSG {subject} ")).count()
}

#[tokio::test]
async fn a_queue_group_is_one_over_all_nodes() {
    let mut cluster = cluster(3).await;
    let group = format!("{QUIET}SUB work workers 1\r\n");
    let mut here = RawClient::ready(&cluster.nodes[0], &group).await;
    let three = format!("{group}SUB work workers 2\r\nSUB work.* workers 3\r\nSUB * workers 4\r\n");
    let mut there = RawClient::ready(&cluster.nodes[1], &three).await;
    let mut other =
        RawClient::ready(&cluster.nodes[1], &format!("{QUIET}SUB work others 1\r\n")).await;
    let mut plain = RawClient::ready(&cluster.nodes[2], &format!("{QUIET}SUB work 1\r\n")).await;
    cluster.settle().await;
    // Of four members that match one is at node 0 and three at node 1, wherever one publishes.
    for (number, node) in cluster.nodes.iter().enumerate() {
        let mut publisher = RawClient::ready(node, QUIET).await;
        publisher.send("PUB work 0\r\n\r\n".repeat(400)).await;
        publisher.barrier().await;
        settle_behind(
            &mut here,
            &mut there,
            &mut other,
            &mut plain,
            &mut publisher,
        )
        .await;
        let here = take(&mut here).await;
        let by_sid = there.barrier().await;
        let there = count(&by_sid, "work");
        assert_eq!(here + there, 400, "from node {number}");
        assert!((60..140).contains(&here), "node 0 got {here} of 400");
        for sid in ["1", "2", "4"] {
            let taken = count(&by_sid, &format!("work {sid}"));
            assert!((60..140).contains(&taken), "{sid} got {taken} of 400");
        }
        assert_eq!(take(&mut other).await, 400, "each group gets all");
        assert_eq!(take(&mut plain).await, 400, "and so do plain subscriptions");
    }
}

/// Waits until what was published has arrived: each client hears a last message of the same publisher.
async fn settle_behind(
    one: &mut RawClient,
    two: &mut RawClient,
    three: &mut RawClient,
    four: &mut RawClient,
    publisher: &mut RawClient,
) {
    for client in [one, two, three, four] {
        client.send("SUB done 99\r\n").await;
        client.barrier_kept().await;
        // Until interest in it has spread, it reaches nobody.
        while !client.has("MSG done ") {
            publisher.send("PUB done 0\r\n\r\n").await;
            publisher.barrier().await;
            client.barrier_kept().await;
        }
        client.send("UNSUB 99\r\n").await;
    }
}

async fn take(client: &mut RawClient) -> usize {
    count(&client.barrier().await, "work")
}

#[tokio::test]
async fn a_member_that_leaves_is_not_chosen_any_more() {
    let mut cluster = cluster(2).await;
    let group = format!("{QUIET}SUB work workers 1\r\n");
    let mut stays = RawClient::ready(&cluster.nodes[0], &group).await;
    let leaves = RawClient::ready(&cluster.nodes[1], &group).await;
    cluster.settle().await;
    drop(leaves);
    let gone = cluster.nodes[1].stats();
    crate::harness::eventually("the connection ends", || {
        cluster.nodes[1].stats().connections < gone.connections.max(1)
    })
    .await;
    cluster.settle().await;
    let mut publisher = RawClient::ready(&cluster.nodes[0], QUIET).await;
    publisher.send("PUB work 0\r\n\r\n".repeat(100)).await;
    publisher.barrier().await;
    assert_eq!(take(&mut stays).await, 100);
}

#[tokio::test]
async fn a_client_without_echo_is_heard_at_other_nodes_only() {
    let mut cluster = cluster(2).await;
    let mut listener = RawClient::ready(&cluster.nodes[1], &format!("{QUIET}SUB a 1\r\n")).await;
    cluster.settle().await;
    let text = "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false}\r\nSUB a 1\r\n";
    let mut publisher = RawClient::ready(&cluster.nodes[0], text).await;
    publisher.send("PUB a 1\r\nx\r\n").await;
    listener.expect("MSG a 1 1\r\nx\r\n").await;
    assert_eq!(publisher.barrier().await, "");
}

#[tokio::test]
async fn unsub_after_a_number_of_messages_counts_those_of_all_nodes() {
    let mut cluster = cluster(2).await;
    let text = format!("{QUIET}SUB a 1\r\nUNSUB 1 3\r\n");
    let mut listener = RawClient::ready(&cluster.nodes[1], &text).await;
    cluster.settle().await;
    let mut publisher = RawClient::ready(&cluster.nodes[0], QUIET).await;
    publisher.send("PUB a 0\r\n\r\n".repeat(5)).await;
    publisher.barrier().await;
    listener.expect(&"MSG a 1 0\r\n\r\n".repeat(3)).await;
    cluster.settle().await;
    assert_eq!(listener.barrier().await, "");
}
