//! The in-process client: the same semantics as on a socket.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use hitherto_broker::{
    Error, HeadersBuilder, LocalClient, Node, NodeConfig, Subject, SubjectFilter, SubscriptionEnd,
};
use support::{MODERN, RawClient, node};

const WAIT_MAX: Duration = Duration::from_secs(10);

fn subject(text: &str) -> Subject {
    Subject::new(text.to_owned()).unwrap()
}

fn filter(text: &str) -> SubjectFilter {
    SubjectFilter::new(text.to_owned()).unwrap()
}

async fn publish(client: &LocalClient, to: &str, payload: &str) {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    client
        .publish(subject(to), None, None, payload)
        .await
        .unwrap();
}

#[tokio::test]
async fn messages_pass_between_local_clients_and_sockets() {
    let node = node().await;
    let client = node.client();
    let mut local = client.subscribe(filter("a.*"), None).unwrap();
    let mut socket = RawClient::ready(&node, &format!("{MODERN}SUB a.> 1\r\n")).await;

    let headers = HeadersBuilder::new().insert("K", "v").unwrap().build();
    let payload = Bytes::from_static(b"hi");
    client
        .publish(subject("a.b"), Some(subject("r")), Some(headers), payload)
        .await
        .unwrap();
    socket
        .expect("HMSG a.b 1 r 18 20\r\nNATS/1.0\r\nK: v\r\n\r\nhi\r\n")
        .await;
    socket.send("PUB a.c r2 3\r\nyou\r\n").await;

    let own = local.next().await.unwrap();
    assert_eq!(
        (own.subject.as_str(), own.payload.as_ref()),
        ("a.b", b"hi".as_ref())
    );
    assert_eq!(own.headers.unwrap().get("K"), Some("v"));
    let other = local.next().await.unwrap();
    assert_eq!(
        (other.subject.as_str(), other.reply.unwrap().as_str()),
        ("a.c", "r2")
    );
}

#[tokio::test]
async fn requests_are_answered_each_by_its_own_reply() {
    let node = node().await;
    let client = node.client();
    let mut service = node.client().subscribe(filter("double"), None).unwrap();
    let responder = node.client();
    let serve = async {
        for _ in 0..20 {
            let request = service.next().await.unwrap();
            let text = String::from_utf8(request.payload.to_vec()).unwrap();
            publish(&responder, request.reply.unwrap().as_str(), &text.repeat(2)).await;
        }
    };
    let ask = async {
        for n in 0..20 {
            let payload = Bytes::from(n.to_string());
            let answer = client
                .request(subject("double"), None, payload, WAIT_MAX)
                .await
                .unwrap();
            assert_eq!(answer.payload, n.to_string().repeat(2));
        }
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_request_nobody_hears_fails_at_once() {
    let node = node().await;
    let error = node
        .client()
        .request(subject("nobody"), None, Bytes::new(), WAIT_MAX)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoResponders { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_request_nobody_answers_times_out() {
    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
    let client = node.client();
    let _listener = client.subscribe(filter("mute"), None).unwrap();
    let error = client
        .request(subject("mute"), None, Bytes::new(), Duration::from_secs(5))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn queue_groups_hold_local_members_too() {
    let node = node().await;
    let client = node.client();
    let mut one = client.subscribe(filter("work"), Some("q")).unwrap();
    let mut two = client.subscribe(filter("*"), Some("q")).unwrap();
    for _ in 0..50 {
        publish(&client, "work", "x").await;
    }
    let (mut first, mut second) = (0, 0);
    while one.try_next().is_some() {
        first += 1;
    }
    while two.try_next().is_some() {
        second += 1;
    }
    assert_eq!(first + second, 50);
    assert!(first > 5 && second > 5, "{first} and {second}");
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_told_and_misses_nothing_before() {
    let config = NodeConfig::in_memory()
        .max_payload(1024)
        .max_pending(16 * 1024);
    let node = Node::start(config).await.unwrap();
    let client = node.client();
    let mut slow = client.subscribe(filter("a"), None).unwrap();
    let mut fast = client.subscribe(filter("a"), None).unwrap();
    for n in 0..1000 {
        publish(&client, "a", &n.to_string()).await;
        assert_eq!(fast.next().await.unwrap().payload, n.to_string());
    }
    assert_eq!(slow.end(), Some(SubscriptionEnd::SlowConsumer));
    let mut expected = 0;
    while let Some(message) = slow.next().await {
        assert_eq!(message.payload, expected.to_string());
        expected += 1;
    }
    assert!(expected > 10 && expected < 1000, "{expected}");
    assert_eq!(fast.end(), None);
}

#[tokio::test]
async fn a_message_too_large_is_refused() {
    let node = Node::start(NodeConfig::in_memory().max_payload(10))
        .await
        .unwrap();
    let error = node
        .client()
        .publish(subject("a"), None, None, Bytes::from_static(b"hello world"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::PayloadTooLarge {
                bytes: 11,
                max: 10,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_dropped_subscription_gets_nothing_more_and_leaves_nothing() {
    let node = node().await;
    let before = node.stats().subscriptions;
    let client = node.client();
    let mut subscription = client.subscribe(filter("a"), None).unwrap();
    publish(&client, "a", "1").await;
    subscription.unsubscribe();
    publish(&client, "a", "2").await;
    assert_eq!(subscription.next().await.unwrap().payload, "1");
    assert_eq!(subscription.next().await, None);
    assert_eq!(subscription.end(), Some(SubscriptionEnd::Unsubscribed));
    drop((subscription, client));
    assert_eq!(node.stats().subscriptions, before);
}

#[tokio::test]
async fn clients_of_a_stopped_node_are_told() {
    let node = node().await;
    let client = node.client();
    let mut subscription = client.subscribe(filter("a"), None).unwrap();
    let mut socket = RawClient::ready(&node, MODERN).await;
    publish(&client, "a", "last").await;
    node.shutdown().await.unwrap();

    assert_eq!(subscription.next().await.unwrap().payload, "last");
    assert_eq!(subscription.next().await, None);
    assert_eq!(subscription.end(), Some(SubscriptionEnd::NodeStopped));
    assert_eq!(socket.until_closed().await, "");
    let error = client
        .publish(subject("a"), None, None, Bytes::new())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
    assert!(client.subscribe(filter("a"), None).is_err());
}

#[tokio::test]
async fn dropping_a_node_ends_its_connections() {
    let node = node().await;
    let mut socket = RawClient::ready(&node, MODERN).await;
    let client = node.client();
    drop(node);
    assert_eq!(socket.until_closed().await, "");
    let error = client
        .publish(subject("a"), None, None, Bytes::new())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
}
