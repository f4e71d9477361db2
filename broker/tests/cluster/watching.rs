//! INFO, monitoring, the system account.

use std::collections::BTreeSet;
use std::time::Duration;

use hitherto_broker::{Node, NodeConfig, Subject, SubjectFilter};
use serde_json::Value;

use crate::harness::{Cluster, cluster, eventually, member, options};
use crate::support::{RawClient, node_with};

const PROTOCOL_1: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\n";

fn info(line: &str) -> Value {
    let json = line
        .strip_prefix("INFO ")
        .unwrap_or_else(|| panic!("{line}"));
    serde_json::from_str(json).unwrap()
}

fn urls(info: &Value) -> Vec<&str> {
    let urls = info["connect_urls"].as_array();
    urls.into_iter()
        .flatten()
        .map(|url| url.as_str().unwrap())
        .collect()
}

fn client_url(node: &Node) -> String {
    node.listen_addr().unwrap().to_string()
}

/// A client that takes INFO at any time, and has got the one that greets it.
async fn listener(node: &Node) -> RawClient {
    let mut client = RawClient::ready(node, PROTOCOL_1).await;
    let greeting = info(&client.line().await);
    assert_eq!(greeting["connect_info"], true);
    client
}

/// Reads INFO until one names these addresses.
async fn told(client: &mut RawClient, expected: &[String]) {
    loop {
        let line = client.line().await;
        if line == "PING" {
            continue;
        }
        if urls(&info(&line)) == expected {
            return;
        }
    }
}

#[tokio::test]
async fn clients_are_told_of_the_nodes_that_come_and_go() {
    let first = member("n0", &[]).await;
    let greeting = RawClient::connect(&first).await.info;
    let greeting = info(&greeting);
    assert_eq!(
        (&greeting["cluster"], urls(&greeting)),
        (&"c".into(), vec![])
    );
    let mut modern = listener(&first).await;
    let mut old = RawClient::ready(&first, "CONNECT {\"verbose\":false,\"protocol\":0}\r\n").await;

    let second = member("n1", &[&first]).await;
    let both = [client_url(&first), client_url(&second)];
    told(&mut modern, &both).await;
    eventually("the second knows the first", || second.links() == 1).await;
    let greeting = RawClient::connect(&second).await.info;
    assert_eq!(
        urls(&info(&greeting)),
        [client_url(&second), client_url(&first)]
    );

    second.shutdown().await.unwrap();
    told(&mut modern, &both[..1]).await;
    assert_eq!(old.barrier().await, "", "it does not take INFO at any time");
}

#[tokio::test]
async fn a_lame_duck_is_not_recommended() {
    let first = member("n0", &[]).await;
    let config = NodeConfig::in_memory()
        .server_name("n1")
        .cluster(options(&[&first]))
        .lame_duck(Duration::ZERO, Duration::ZERO);
    let mut second = node_with(config).await;
    let cluster = Cluster::of(vec![first]).await;
    let first = &cluster.nodes[0];
    eventually("a link", || first.links() == 1 && second.links() == 1).await;
    let mut here = listener(first).await;
    let mut there = listener(&second).await;
    second.lame_duck().await.unwrap();
    told(&mut here, &[client_url(first)]).await;
    // The lame duck's own clients hear where to go.
    let mut text = there.until_closed().await;
    text.retain(|sign| sign != '\r');
    let last = text
        .lines()
        .rfind(|line| line.starts_with("INFO "))
        .unwrap();
    let last = info(last);
    assert_eq!(
        (&last["ldm"], urls(&last)),
        (&true.into(), vec![client_url(first).as_str()])
    );
}

#[tokio::test]
async fn nodes_may_keep_their_addresses_to_themselves() {
    let first = member("n0", &[]).await;
    let silent = options(&[&first]).no_advertise();
    let second = node_with(NodeConfig::in_memory().server_name("n1").cluster(silent)).await;
    let cluster = Cluster::of(vec![first, second]).await;
    let [first, second] = cluster.nodes.as_slice() else {
        unreachable!("there are two");
    };
    let greeting = RawClient::connect(first).await.info;
    assert_eq!(urls(&info(&greeting)), [client_url(first)]);
    let greeting = RawClient::connect(second).await.info;
    assert_eq!(urls(&info(&greeting)), [""; 0]);
}

/// Everything that answers a request in the system account.
async fn ask_all(node: &Node, subject: &'static str, count: usize) -> Vec<Value> {
    let client = node.system_client();
    let inbox = client.new_inbox();
    let filter = SubjectFilter::new(inbox.as_str().to_owned()).unwrap();
    let mut answers = client.subscribe(filter, None).unwrap();
    let subject = Subject::new(subject).unwrap();
    client
        .publish(subject, Some(inbox), None, "".into())
        .await
        .unwrap();
    let mut all = Vec::new();
    while all.len() < count {
        let answer = tokio::time::timeout(crate::harness::PATIENCE, answers.next()).await;
        all.push(serde_json::from_slice(&answer.unwrap().unwrap().payload).unwrap());
    }
    all
}

#[tokio::test]
async fn every_node_answers_the_system_account_for_itself() {
    let cluster = cluster(3).await;
    let names = |answers: &[Value]| -> BTreeSet<String> {
        let names = answers.iter().map(|answer| &answer["server"]["name"]);
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let all = BTreeSet::from(["n0", "n1", "n2"].map(str::to_owned));
    for subject in [
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.SERVER.PING.ROUTEZ",
        "$SYS.REQ.ACCOUNT.$G.CONNZ",
    ] {
        let answers = ask_all(&cluster.nodes[1], subject, 3).await;
        assert_eq!(names(&answers), all, "{subject}");
        for answer in &answers {
            assert_eq!(answer["server"]["cluster"], "c", "{answer}");
        }
    }
    let statsz = ask_all(&cluster.nodes[0], "$SYS.REQ.SERVER.PING", 3).await;
    for answer in &statsz {
        let statsz = &answer["statsz"];
        assert_eq!(statsz["active_servers"], 3);
        assert_eq!(statsz["routes"].as_array().unwrap().len(), 2);
    }
    // One of them, by its name, from any node.
    let one = ask_all(&cluster.nodes[0], "$SYS.REQ.SERVER.n2.VARZ", 1).await;
    assert_eq!(one[0]["data"]["server_name"], "n2");
    let varz = &one[0]["data"];
    assert_eq!((&varz["routes"], &varz["remotes"]), (&2.into(), &2.into()));
    assert_eq!(varz["cluster"]["name"], "c");
    let port = cluster.nodes[2].cluster_addr().unwrap().port();
    assert_eq!(varz["cluster"]["cluster_port"], port);
}

#[tokio::test]
async fn events_of_one_node_are_heard_at_all() {
    let mut cluster = cluster(2).await;
    let here = cluster.nodes[0].system_client();
    let filter = SubjectFilter::new("$SYS.ACCOUNT.$G.CONNECT").unwrap();
    let mut events = here.subscribe(filter, None).unwrap();
    let filter = SubjectFilter::new("$SYS.SERVER.*.SHUTDOWN").unwrap();
    let mut ends = here.subscribe(filter, None).unwrap();
    cluster.settle().await;
    let client = RawClient::ready(&cluster.nodes[1], PROTOCOL_1).await;
    let event: Value = serde_json::from_slice(&events.next().await.unwrap().payload).unwrap();
    assert_eq!(event["server"]["name"], "n1");
    drop(client);
    let second = cluster.nodes.pop().unwrap();
    second.shutdown().await.unwrap();
    let end: Value = serde_json::from_slice(&ends.next().await.unwrap().payload).unwrap();
    assert_eq!(end["name"], "n1");
}

#[tokio::test]
async fn links_are_shown_with_what_went_over_them() {
    let mut cluster = cluster(2).await;
    let mut listener = RawClient::ready(&cluster.nodes[1], "SUB a 1\r\n").await;
    cluster.settle().await;
    let shown = ask_all(&cluster.nodes[0], "$SYS.REQ.SERVER.n0.ROUTEZ", 1).await;
    let before = shown[0]["data"]["routes"][0].clone();
    let mut publisher = RawClient::ready(&cluster.nodes[0], "").await;
    publisher.send("PUB a 5\r\nhello\r\n").await;
    listener.until("MSG a 1 5\r\nhello\r\n").await;
    let shown = ask_all(&cluster.nodes[0], "$SYS.REQ.SERVER.n0.ROUTEZ", 1).await;
    let routes = &shown[0]["data"];
    assert_eq!(routes["num_routes"], 1);
    let after = &routes["routes"][0];
    assert_eq!(after["remote_name"], "n1");
    assert_eq!(after["remote_id"], cluster.nodes[1].server_id());
    assert_eq!(
        (&after["did_solicit"], &after["is_configured"]),
        (&false.into(), &false.into())
    );
    let grew = |field: &str| after[field].as_u64().unwrap() - before[field].as_u64().unwrap();
    assert_eq!((grew("out_msgs"), grew("out_bytes")), (1, 5));
    assert!(after["subscriptions"].as_u64().unwrap() > 1);
    let other = ask_all(&cluster.nodes[0], "$SYS.REQ.SERVER.n1.ROUTEZ", 1).await;
    let other = &other[0]["data"]["routes"][0];
    assert_eq!(
        (&other["did_solicit"], &other["is_configured"]),
        (&true.into(), &true.into())
    );
}
