//! Core NATS over raw sockets: what goes in and what comes out, byte by byte.
//!
//! The expected bytes were compared with those of nats-server 2.15.

mod support;

use hitherto_broker::NodeConfig;
use support::{MODERN, QUIET, RawClient, node, node_with};

#[tokio::test]
async fn info_tells_what_clients_rely_on() {
    let node = node().await;
    let client = RawClient::connect(&node).await;
    for field in [
        "\"server_id\":\"N",
        "\"version\":\"2.14.0\"",
        "\"proto\":1",
        "\"headers\":true",
        "\"max_payload\":1048576",
        "\"jetstream\":true",
        "\"client_id\":",
        "\"client_ip\":\"127.0.0.1\"",
        "\"api_lvl\":4",
    ] {
        assert!(client.info.contains(field), "{field} in {}", client.info);
    }
}

#[tokio::test]
async fn a_client_may_talk_by_hand_without_connect() {
    let node = node().await;
    let mut client = RawClient::connect(&node).await;
    client
        .send("SUB foo 1\r\nPUB foo 2\r\nhi\r\nping\r\n")
        .await;
    client
        .expect("+OK\r\n+OK\r\nMSG foo 1 2\r\nhi\r\nPONG\r\n")
        .await;
}

#[tokio::test]
async fn a_message_reaches_every_matching_subscription_with_its_reply() {
    let node = node().await;
    let mut literal = RawClient::ready(&node, &format!("{QUIET}SUB a.b.c 1\r\n")).await;
    let mut one_token = RawClient::ready(&node, &format!("{QUIET}SUB a.*.c 2\r\n")).await;
    let mut rest = RawClient::ready(&node, &format!("{QUIET}SUB a.> 3\r\nSUB > 4\r\n")).await;
    let mut other = RawClient::ready(&node, &format!("{QUIET}SUB a.b 5\r\n")).await;
    let mut publisher = RawClient::ready(&node, QUIET).await;
    publisher.send("PUB a.b.c inbox 5\r\nhello\r\n").await;
    publisher.barrier().await;

    literal.expect("MSG a.b.c 1 inbox 5\r\nhello\r\n").await;
    one_token.expect("MSG a.b.c 2 inbox 5\r\nhello\r\n").await;
    let both = rest.barrier().await;
    assert!(both.contains("MSG a.b.c 3 inbox 5\r\nhello\r\n"), "{both}");
    assert!(both.contains("MSG a.b.c 4 inbox 5\r\nhello\r\n"), "{both}");
    assert_eq!(other.barrier().await, "");
}

#[tokio::test]
async fn a_queue_group_gets_each_message_once_and_shares_the_load() {
    let node = node().await;
    let mut one = RawClient::ready(&node, &format!("{QUIET}SUB work workers 1\r\n")).await;
    let mut two = RawClient::ready(&node, &format!("{QUIET}SUB work workers 1\r\n")).await;
    let mut all = RawClient::ready(&node, &format!("{QUIET}SUB work 1\r\n")).await;
    let mut publisher = RawClient::ready(&node, QUIET).await;
    for _ in 0..100 {
        publisher.send("PUB work 1\r\nx\r\n").await;
    }
    publisher.barrier().await;

    let count = |text: String| text.matches("MSG work 1 1\r\nx\r\n").count();
    let (first, second) = (count(one.barrier().await), count(two.barrier().await));
    assert_eq!(first + second, 100);
    assert!(first > 10 && second > 10, "{first} and {second}");
    assert_eq!(count(all.barrier().await), 100);
}

#[tokio::test]
async fn order_of_one_publisher_is_kept() {
    let node = node().await;
    let mut subscriber = RawClient::ready(&node, &format!("{QUIET}SUB n.* 1\r\n")).await;
    let mut publisher = RawClient::ready(&node, QUIET).await;
    let text: String = (0..1000)
        .map(|n| format!("PUB n.{} 4\r\n{n:04}\r\n", n % 3))
        .collect();
    publisher.send(&text).await;
    publisher.barrier().await;
    for n in 0..1000 {
        subscriber
            .expect(&format!("MSG n.{} 1 4\r\n{n:04}\r\n", n % 3))
            .await;
    }
}

#[tokio::test]
async fn headers_go_to_clients_that_know_them_and_are_cut_off_for_others() {
    let node = node().await;
    let mut modern = RawClient::ready(&node, &format!("{MODERN}SUB a 1\r\n")).await;
    let mut old = RawClient::ready(&node, &format!("{QUIET}SUB a 1\r\n")).await;
    let mut publisher = RawClient::ready(&node, MODERN).await;
    publisher
        .send("HPUB a r 18 20\r\nNATS/1.0\r\nA: 1\r\n\r\nhi\r\n")
        .await;
    publisher.barrier().await;
    modern
        .expect("HMSG a 1 r 18 20\r\nNATS/1.0\r\nA: 1\r\n\r\nhi\r\n")
        .await;
    old.expect("MSG a 1 r 2\r\nhi\r\n").await;

    old.send("HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n").await;
    assert_eq!(
        old.until_closed().await,
        "",
        "a client without headers is closed silently"
    );
}

#[tokio::test]
async fn a_request_nobody_answers_gets_503_at_once() {
    let node = node().await;
    let mut client = RawClient::ready(&node, &format!("{MODERN}SUB inbox.* 1\r\n")).await;
    client
        .send("PUB nobody inbox.7 2\r\nhi\r\nPUB a..b inbox.8 0\r\n\r\n")
        .await;
    client
        .expect("HMSG inbox.7 1 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n")
        .await;
    client
        .expect("HMSG inbox.8 1 36 36\r\nNATS/1.0 503\r\nNats-Subject: a..b\r\n\r\n\r\n")
        .await;

    let mut silent = RawClient::ready(&node, &format!("{QUIET}SUB inbox.* 1\r\n")).await;
    silent.send("PUB nobody inbox.7 2\r\nhi\r\n").await;
    assert_eq!(
        silent.barrier().await,
        "",
        "only clients that ask for it get a 503"
    );
}

#[tokio::test]
async fn a_request_is_answered() {
    let node = node().await;
    let mut service = RawClient::ready(&node, &format!("{MODERN}SUB add 9\r\n")).await;
    let mut client = RawClient::ready(&node, &format!("{MODERN}SUB inbox 1\r\n")).await;
    client.send("PUB add inbox 3\r\n1+1\r\n").await;
    service.expect("MSG add 9 inbox 3\r\n1+1\r\n").await;
    service.send("PUB inbox 1\r\n2\r\n").await;
    client.expect("MSG inbox 1 1\r\n2\r\n").await;
}

#[tokio::test]
async fn without_echo_a_client_does_not_hear_itself() {
    let node = node().await;
    let connect = "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 1\r\nSUB a q 2\r\n";
    let mut mute = RawClient::ready(&node, connect).await;
    let mut member = RawClient::ready(&node, &format!("{QUIET}SUB a q 3\r\n")).await;
    mute.send("PUB a 1\r\nx\r\n").await;
    assert_eq!(mute.barrier().await, "");
    member.expect("MSG a 3 1\r\nx\r\n").await;
    member.send("PUB a 1\r\ny\r\n").await;
    mute.expect("MSG a 1 1\r\ny\r\n").await;
}

#[tokio::test]
async fn unsub_max_counts_from_sub_and_is_exact() {
    let node = node().await;
    let publish = |n: u32| format!("PUB a 1\r\n{n}\r\n");
    let mut client = RawClient::ready(&node, &format!("{QUIET}SUB a 1\r\nUNSUB 1 2\r\n")).await;
    client.send([1, 2, 3].map(publish).concat()).await;
    assert_eq!(
        client.barrier().await,
        "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n"
    );

    client.send(format!("SUB a 1\r\n{}", publish(4))).await;
    assert_eq!(
        client.barrier().await,
        "MSG a 1 1\r\n4\r\n",
        "the sid can be used again"
    );
    client.send(format!("UNSUB 1 1\r\n{}", publish(5))).await;
    assert_eq!(
        client.barrier().await,
        "",
        "a max that is reached already ends it at once"
    );

    client
        .send(format!("SUB a 2\r\nUNSUB 2\r\n{}", publish(6)))
        .await;
    assert_eq!(client.barrier().await, "");
    assert_eq!(
        node.stats().subscriptions,
        baseline().await,
        "nothing is left behind"
    );
}

/// Subscriptions of a node without clients.
async fn baseline() -> usize {
    node().await.stats().subscriptions
}

#[tokio::test]
async fn unsub_max_is_exact_with_many_publishers() {
    let node = node().await;
    let mut subscriber =
        RawClient::ready(&node, &format!("{QUIET}SUB a 1\r\nUNSUB 1 50\r\n")).await;
    let mut publishers = Vec::new();
    for _ in 0..4 {
        publishers.push(RawClient::ready(&node, QUIET).await);
    }
    let burst = "PUB a 1\r\nx\r\n".repeat(40);
    for publisher in &mut publishers {
        publisher.send(&burst).await;
    }
    for publisher in &mut publishers {
        publisher.barrier().await;
    }
    let got = subscriber.barrier().await;
    assert_eq!(got.matches("MSG a 1 1\r\nx\r\n").count(), 50);
}

#[tokio::test]
async fn the_first_subscription_of_a_sid_stays() {
    let node = node().await;
    let mut client = RawClient::ready(&node, &format!("{QUIET}SUB a 1\r\nSUB b 1\r\n")).await;
    client.send("PUB a 1\r\nx\r\nPUB b 1\r\ny\r\n").await;
    assert_eq!(client.barrier().await, "MSG a 1 1\r\nx\r\n");
}

#[tokio::test]
async fn a_second_connect_begins_without_subscriptions() {
    let node = node().await;
    let mut client = RawClient::ready(&node, &format!("{QUIET}SUB a 1\r\n{QUIET}")).await;
    client.send("PUB a 1\r\nx\r\n").await;
    assert_eq!(client.barrier().await, "");
}

#[tokio::test]
async fn operations_may_come_byte_by_byte() {
    let node = node().await;
    let mut client = RawClient::connect(&node).await;
    let text = format!("{QUIET}SUB a.* 1\r\nPUB a.b r 11\r\nhello\r\nyou\r\r\nPING\r\n");
    for byte in text.as_bytes() {
        client.send([*byte]).await;
    }
    client
        .expect("MSG a.b 1 r 11\r\nhello\r\nyou\r\r\nPONG\r\n")
        .await;
}

#[tokio::test]
async fn pong_comes_after_all_that_was_asked_for_before() {
    let node = node().await;
    let mut client = RawClient::ready(&node, QUIET).await;
    for round in 0..50 {
        client
            .send(format!(
                "SUB s.{round} {round}\r\nPUB s.{round} 1\r\nx\r\nPING\r\n"
            ))
            .await;
        client
            .expect(&format!("MSG s.{round} {round} 1\r\nx\r\nPONG\r\n"))
            .await;
    }
}

#[tokio::test]
async fn modern_clients_get_a_second_info_after_the_first_pong() {
    let node = node().await;
    let mut client = RawClient::connect(&node).await;
    client
        .send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\nPING\r\n")
        .await;
    client.expect("PONG\r\nINFO {").await;
    let info = client.line().await;
    assert!(info.contains("\"connect_info\":true"), "{info}");
    assert!(info.contains("\"remote_account\":\"$G\""), "{info}");
    client.expect("PONG\r\n").await;
}

#[tokio::test]
async fn broken_rules_close_the_connection_with_the_text_of_nats_server() {
    let node = node_with(NodeConfig::in_memory().max_payload(1024)).await;
    let long_line = format!("{QUIET}PUB {}", "a".repeat(5000));
    for (sent, answer) in [
        ("NONSENSE\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        ("PUB a 1025\r\n", "-ERR 'Maximum Payload Violation'\r\n"),
        (&long_line, "-ERR 'maximum control line exceeded'\r\n"),
        (
            "CONNECT {\"protocol\":2}\r\n",
            "-ERR 'invalid client protocol'\r\n",
        ),
        (
            "CONNECT {\"no_responders\":true}\r\n",
            "-ERR 'no responders requires headers support'\r\n",
        ),
        (
            "PUB a 2\r\nhello\r\n",
            "-ERR 'Unknown Protocol Operation'\r\n",
        ),
        ("CONNECT {nonsense}\r\n", ""),
        ("-ERR 'x'\r\n", ""),
    ] {
        let mut client = RawClient::connect(&node).await;
        client.send(sent).await;
        assert_eq!(client.until_closed().await, answer, "after {sent}");
    }
}

#[tokio::test]
async fn an_error_text_arrives_although_the_client_goes_on_sending() {
    let node = node_with(NodeConfig::in_memory().max_payload(1024)).await;
    let mut client = RawClient::connect(&node).await;
    client.try_send("PUB a 100000\r\n").await;
    client.try_send(vec![b'x'; 100_000]).await;
    assert_eq!(
        client.until_closed().await,
        "-ERR 'Maximum Payload Violation'\r\n"
    );
}

#[tokio::test]
async fn smaller_mistakes_are_answered_and_the_connection_stays() {
    let node = node_with(NodeConfig::in_memory().max_subscriptions(2)).await;
    let mut client = RawClient::connect(&node).await;
    for (sent, answer) in [
        ("CONNECT {\"verbose\":false}\r\n", ""),
        ("SUB a..b 1\r\n", "-ERR 'Invalid Subject'\r\n"),
        ("SUB a.>.b 1\r\n", "-ERR 'Invalid Subject'\r\n"),
        ("PUB a.* 1\r\nx\r\n", "-ERR 'Invalid Publish Subject'\r\n"),
        ("PUB a..b 1\r\nx\r\n", "-ERR 'Invalid Publish Subject'\r\n"),
        (
            "PUB $NRG.a 1\r\nx\r\n",
            "-ERR 'Permissions Violation for Publish to \"$NRG.a\"'\r\n",
        ),
        (
            "SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n",
            "-ERR 'maximum subscriptions exceeded'\r\n",
        ),
        ("UNSUB 77\r\n+OK\r\nINFO {}\r\nPONG\r\n", ""),
    ] {
        client.send(sent).await;
        assert_eq!(client.barrier().await, answer, "after {sent}");
    }
}

#[tokio::test]
async fn a_wildcard_in_a_publish_subject_stands_for_itself() {
    let node = node().await;
    let mut client = RawClient::ready(&node, &format!("{QUIET}SUB a.* 1\r\nSUB a.b 2\r\n")).await;
    client.send("PUB a.* 1\r\nx\r\n").await;
    assert_eq!(client.barrier().await, "MSG a.* 1 1\r\nx\r\n");
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let node = node_with(NodeConfig::in_memory().max_connections(1)).await;
    let _first = RawClient::ready(&node, QUIET).await;
    let mut second = RawClient::connect(&node).await;
    assert_eq!(
        second.until_closed().await,
        "-ERR 'maximum connections exceeded'\r\n"
    );
}
