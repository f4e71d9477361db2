//! Who may connect, what they may do, and what changes when the rules do.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::time::Duration;

use hitherto_broker::auth::{Auth, Permissions, ResponseRule, SubjectRules, User};
use hitherto_broker::{Node, NodeConfig};
use hitherto_platform::Net as _;
use support::{RawClient, node_with};

fn connect(credentials: &str) -> String {
    format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"headers\":true,{credentials}}}\r\n"
    )
}

fn user(name: &str, pass: &str) -> String {
    connect(&format!("\"user\":\"{name}\",\"pass\":\"{pass}\""))
}

async fn node_for(auth: Auth) -> Node {
    node_with(NodeConfig::in_memory().auth(auth)).await
}

#[tokio::test]
async fn wrong_credentials_and_none_are_told_the_same() {
    let node = node_for(Auth::new().user(User::new("a", "right"))).await;
    for first in [
        user("a", "wrong"),
        user("b", "right"),
        connect("\"x\":1"),
        "PING\r\n".into(),
    ] {
        let mut client = RawClient::connect(&node).await;
        assert!(
            client.info.contains("\"auth_required\":true"),
            "{}",
            client.info
        );
        client.send(&first).await;
        assert_eq!(
            client.until_closed().await,
            "-ERR 'Authorization Violation'\r\n",
            "{first}"
        );
    }
    let mut client = RawClient::ready(&node, &user("a", "right")).await;
    assert!(client.line().await.contains("\"remote_account\":\"$G\""));
}

#[tokio::test(start_paused = true)]
async fn who_sends_no_connect_is_closed_in_time() {
    let net = hitherto_platform::MemoryNet::new();
    let auth = Auth::new().token("t").timeout(Duration::from_secs(1));
    let config = NodeConfig::in_memory().auth(auth);
    let node = node_with(config.net(std::sync::Arc::new(net.clone()))).await;
    let socket = net.connect(node.listen_addr().unwrap()).await.unwrap();
    let mut client = RawClient::on(socket).await;
    assert_eq!(
        client.until_closed().await,
        "-ERR 'Authentication Timeout'\r\n"
    );
}

#[tokio::test]
async fn a_user_publishes_and_subscribes_within_its_permissions() {
    let permissions = Permissions::new()
        .allow_publish(["orders.>"])
        .unwrap()
        .allow_subscribe(["inbox.>", "jobs workers"])
        .unwrap();
    let auth = Auth::new().user(User::new("a", "x").permissions(permissions));
    let node = node_for(auth).await;
    let mut client = RawClient::ready(&node, &user("a", "x")).await;
    client.line().await;
    client
        .send("SUB secret 1\r\nSUB jobs other 2\r\nSUB jobs workers 3\r\nSUB inbox.a 4\r\n")
        .await;
    client
        .send("PUB secret 0\r\n\r\nPUB orders.new 0\r\n\r\n")
        .await;
    assert_eq!(
        client.barrier().await,
        "-ERR 'Permissions Violation for Subscription to \"secret\"'\r\n\
         -ERR 'Permissions Violation for Subscription to \"jobs\" using queue \"other\"'\r\n\
         -ERR 'Permissions Violation for Publish to \"secret\"'\r\n"
    );
}

#[tokio::test]
async fn what_is_denied_within_a_wildcard_is_not_delivered() {
    let mut subscribe = SubjectRules::new();
    subscribe.deny(["a.secret"]).unwrap();
    let permissions = Permissions::new().with_rules(SubjectRules::new(), subscribe);
    let auth = Auth::new().user(User::new("a", "x").permissions(permissions));
    let node = node_for(auth).await;
    let mut client = RawClient::ready(&node, &user("a", "x")).await;
    client.line().await;
    client
        .send("SUB a.* 1\r\nPUB a.secret 0\r\n\r\nPUB a.open 0\r\n\r\n")
        .await;
    assert_eq!(client.barrier().await, "MSG a.open 1 0\r\n\r\n");
}

#[tokio::test]
async fn who_gets_a_request_may_answer_it_once() {
    let permissions = Permissions::new()
        .allow_subscribe(["service"])
        .unwrap()
        .allow_responses(ResponseRule::default());
    let auth = Auth::new()
        .user(User::new("service", "x").permissions(permissions))
        .user(User::new("a", "x"));
    let node = node_for(auth).await;
    let mut service =
        RawClient::ready(&node, &format!("{}SUB service 1\r\n", user("service", "x"))).await;
    service.line().await;
    let mut asker = RawClient::ready(&node, &format!("{}SUB reply 1\r\n", user("a", "x"))).await;
    asker.line().await;
    asker.send("PUB service reply 0\r\n\r\n").await;
    service.expect("MSG service 1 reply 0\r\n\r\n").await;
    service
        .send("PUB reply 1\r\n1\r\nPUB reply 1\r\n2\r\n")
        .await;
    let refused = "-ERR 'Permissions Violation for Publish to \"reply\"'\r\n";
    assert_eq!(service.barrier().await, refused);
    assert_eq!(asker.barrier().await, "MSG reply 1 1\r\n1\r\n");
}

#[tokio::test]
async fn the_system_account_is_another_space_of_subjects() {
    let auth = Auth::new().user(User::new("sys", "x").system());
    let node = node_for(auth).await;
    let mut system = RawClient::ready(
        &node,
        &format!("{}SUB a 1\r\nSUB b 2\r\n", user("sys", "x")),
    )
    .await;
    let info = system.line().await;
    assert!(
        info.contains("\"remote_account\":\"$SYS\"") && info.contains("\"acc_is_sys\":true"),
        "{info}"
    );
    let mut anybody = RawClient::ready(&node, &format!("{}SUB > 1\r\n", connect("\"x\":1"))).await;
    assert!(anybody.line().await.contains("\"remote_account\":\"$G\""));
    anybody.send("PUB a 1\r\n1\r\n").await;
    anybody.expect("MSG a 1 1\r\n1\r\n").await;
    system.send("PUB b 1\r\n2\r\n").await;
    assert_eq!(system.barrier().await, "MSG b 2 1\r\n2\r\n");
    assert_eq!(anybody.barrier().await, "");
}

#[tokio::test]
async fn a_reload_ends_what_is_not_allowed_any_more() {
    let rules = |subjects: &[&str]| Permissions::new().allow_subscribe(subjects).unwrap();
    let before = Auth::new()
        .user(User::new("stays", "x").permissions(rules(&["a", "b"])))
        .user(User::new("goes", "x"));
    let after = Auth::new().user(User::new("stays", "x").permissions(rules(&["a"])));
    let config = NodeConfig::in_memory().listen("127.0.0.1:0".parse().unwrap());
    let node = Node::start(config.clone().auth(before)).await.unwrap();
    let subscribe = "SUB a 1\r\nSUB b 2\r\n";
    let mut stays = RawClient::ready(&node, &format!("{}{subscribe}", user("stays", "x"))).await;
    stays.line().await;
    let mut goes = RawClient::ready(&node, &user("goes", "x")).await;
    goes.line().await;

    node.reload(config.clone().auth(after)).unwrap();
    let violation = "-ERR 'Permissions Violation for Subscription to \"b\" (sid \"2\")'\r\n";
    stays.expect(violation).await;
    stays.send("PUB a 0\r\n\r\nPUB b 0\r\n\r\n").await;
    assert_eq!(stays.barrier().await, "MSG a 1 0\r\n\r\n");
    assert_eq!(
        goes.until_closed().await,
        "-ERR 'Authorization Violation'\r\n"
    );

    let moved = config.listen("127.0.0.2:1".parse().unwrap());
    assert!(
        node.reload(moved)
            .unwrap_err()
            .to_string()
            .starts_with("listen: ")
    );
}
