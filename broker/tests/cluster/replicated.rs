//! Streams of a cluster: created, written and read by any node, with nodes that end and come back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hitherto_broker::config::ClusterOptions;
use hitherto_broker::{LocalClient, LocalMessage, Node, NodeConfig, Subject, SubjectFilter};
use hitherto_platform::{FaultyDisk, MemoryNet};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Longer than anything here takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request that has no answer after so long is made again, as the leader may have changed.
const AGAIN: Duration = Duration::from_secs(4);

/// Three places for nodes, on one network, each with a disk.
struct Cluster {
    net: Arc<MemoryNet>,
    disks: Vec<FaultyDisk>,
    nodes: BTreeMap<usize, Node>,
}

fn addr(place: usize) -> SocketAddr {
    let host = u8::try_from(place + 1).unwrap();
    ([10, 0, 0, host], 6222).into()
}

impl Cluster {
    /// Starts all three; the first one founds the cluster.
    async fn start() -> Self {
        let mut cluster = Self {
            net: Arc::new(MemoryNet::new()),
            disks: (0..3).map(|_| FaultyDisk::new()).collect(),
            nodes: BTreeMap::new(),
        };
        for place in 0..3 {
            cluster.start_node(place).await;
        }
        cluster
    }

    async fn start_node(&mut self, place: usize) {
        let mut options = ClusterOptions::new("c").listen(addr(place));
        for other in (0..3).filter(|other| *other != place) {
            options = options.route(addr(other).to_string().parse().unwrap());
        }
        if place == 0 {
            options = options.bootstrap();
        }
        let config = NodeConfig::in_memory()
            .server_name(format!("n{place}"))
            .disk(Arc::new(self.disks[place].clone()))
            .net(Arc::<MemoryNet>::clone(&self.net))
            .cluster(options);
        let node = Node::start(config).await.unwrap();
        self.nodes.insert(place, node);
    }

    fn client(&self, place: usize) -> LocalClient {
        self.nodes[&place].client()
    }

    /// Ends a node as if its process had been killed.
    fn kill(&mut self, place: usize) {
        drop(self.nodes.remove(&place).unwrap());
    }

    /// The place of the node that leads the stream.
    async fn leader(&self) -> usize {
        let place = *self.nodes.keys().next().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let info = api(&self.client(place), "STREAM.INFO.S", Value::Null).await;
            if let Some(leader) = info["cluster"]["leader"].as_str() {
                return leader[1..].parse().unwrap();
            }
            assert!(Instant::now() < deadline, "no leader: {info}");
        }
    }
}

async fn request(client: &LocalClient, to: &str, body: &[u8]) -> LocalMessage {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let subject = Subject::new(to.to_owned()).unwrap();
        let asked = client.request(subject, None, Bytes::copy_from_slice(body), AGAIN);
        if let Ok(answer) = asked.await {
            return answer;
        }
        assert!(Instant::now() < deadline, "no answer: {to}");
    }
}

/// Asks until the cluster is there to answer.
async fn api(client: &LocalClient, operation: &str, body: Value) -> Value {
    let body = match body {
        Value::Null => Vec::new(),
        body => serde_json::to_vec(&body).unwrap(),
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = request(client, &format!("$JS.API.{operation}"), &body).await;
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        let code = answer["error"]["err_code"].as_u64();
        // Too few nodes yet, or no leader.
        if !matches!(code, Some(10005 | 10008)) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{operation}: {answer}");
    }
}

async fn create(client: &LocalClient, replicas: u64) -> Value {
    let config = json!({ "name": "S", "subjects": ["s.>"], "num_replicas": replicas });
    api(client, "STREAM.CREATE.S", config).await
}

/// Publishes until it is acknowledged; tells the sequence. The id keeps it from being stored twice.
async fn publish(client: &LocalClient, number: u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut headers = hitherto_broker::HeadersBuilder::new();
        headers.insert("Nats-Msg-Id", &number.to_string()).unwrap();
        let subject = Subject::new("s.x").unwrap();
        let payload = Bytes::from(number.to_string());
        let asked = client.request(subject, Some(headers.build()), payload, AGAIN);
        if let Ok(answer) = asked.await
            && let Ok(ack) = serde_json::from_slice::<Value>(&answer.payload)
            && let Some(seq) = ack["seq"].as_u64()
        {
            return seq;
        }
        assert!(Instant::now() < deadline, "message {number} is not taken");
    }
}

/// What the stream holds, by its sequences from the first.
async fn contents(client: &LocalClient) -> Vec<String> {
    let info = api(client, "STREAM.INFO.S", Value::Null).await;
    let last = info["state"]["last_seq"].as_u64().unwrap();
    let mut texts = Vec::new();
    for seq in 1..=last {
        let got = api(client, "STREAM.MSG.GET.S", json!({ "seq": seq })).await;
        let data = got["message"]["data"].as_str().unwrap_or_default();
        let data = data_encoding::BASE64.decode(data.as_bytes()).unwrap();
        texts.push(String::from_utf8(data).unwrap());
    }
    texts
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Pulls until so many messages have come, and acknowledges each; tells their texts.
async fn consume(client: &LocalClient, count: usize) -> Vec<String> {
    let inbox = client.new_inbox();
    let filter = SubjectFilter::new(inbox.as_str().to_owned()).unwrap();
    let mut answers = client.subscribe(filter, None).unwrap();
    let mut texts: Vec<String> = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while texts.len() < count {
        assert!(Instant::now() < deadline, "only {texts:?}");
        let body = json!({ "batch": count - texts.len(), "expires": 500_000_000 });
        let pull = Subject::new("$JS.API.CONSUMER.MSG.NEXT.S.C").unwrap();
        let body = Bytes::from(body.to_string());
        client
            .publish(pull, Some(inbox.clone()), None, body)
            .await
            .unwrap();
        while let Ok(Some(message)) = timeout(AGAIN, answers.next()).await {
            let Some(ack) = message
                .reply
                .clone()
                .filter(|reply| reply.as_str().starts_with("$JS.ACK.S.C."))
            else {
                break;
            };
            request(client, ack.as_str(), b"").await;
            texts.push(String::from_utf8(message.payload.to_vec()).unwrap());
            if texts.len() == count {
                break;
            }
        }
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_creates_a_stream_and_any_node_writes_and_reads_it() {
    let cluster = Cluster::start().await;
    let created = create(&cluster.client(2), 3).await;
    assert_eq!(created["did_create"], true, "{created}");
    assert_eq!(created["config"]["num_replicas"], 3);
    let again = create(&cluster.client(1), 3).await;
    assert_eq!(again["config"]["name"], "S", "{again}");
    for number in 1..=9 {
        let place = usize::try_from(number % 3).unwrap();
        assert_eq!(publish(&cluster.client(place), number).await, number);
    }
    for place in 0..3 {
        assert_eq!(contents(&cluster.client(place)).await, numbers(1..=9));
    }
    let missing = api(&cluster.client(1), "STREAM.INFO.NONE", Value::Null).await;
    assert_eq!(missing["error"]["err_code"], 10059, "{missing}");
    let deleted = api(&cluster.client(1), "STREAM.DELETE.S", Value::Null).await;
    assert_eq!(deleted["success"], true, "{deleted}");
    let gone = api(&cluster.client(0), "STREAM.INFO.S", Value::Null).await;
    assert_eq!(gone["error"]["err_code"], 10059, "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_one_replica_lives_on_one_node_and_serves_all() {
    let cluster = Cluster::start().await;
    create(&cluster.client(1), 1).await;
    for number in 1..=6 {
        let place = usize::try_from(number % 3).unwrap();
        assert_eq!(publish(&cluster.client(place), number).await, number);
    }
    let info = api(&cluster.client(2), "STREAM.INFO.S", Value::Null).await;
    assert_eq!(info["cluster"]["replicas"], Value::Null, "{info}");
    assert_eq!(contents(&cluster.client(0)).await, numbers(1..=6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_takes_nothing_with_it_and_a_consumer_goes_on() {
    let mut cluster = Cluster::start().await;
    create(&cluster.client(0), 3).await;
    let leader = cluster.leader().await;
    let other = (leader + 1) % 3;
    let client = cluster.client(other);
    let consumer = json!({
        "stream_name": "S",
        "config": { "durable_name": "C", "ack_policy": "explicit", "ack_wait": 30_000_000_000_u64 },
    });
    let made = api(&client, "CONSUMER.DURABLE.CREATE.S.C", consumer).await;
    assert_eq!(made["name"], "C", "{made}");
    for number in 1..=20 {
        publish(&client, number).await;
    }
    assert_eq!(consume(&client, 10).await, numbers(1..=10));
    cluster.kill(leader);
    for number in 21..=30 {
        publish(&client, number).await;
    }
    assert_eq!(contents(&client).await, numbers(1..=30));
    assert_ne!(cluster.leader().await, leader);
    // What was acknowledged does not come again.
    assert_eq!(consume(&client, 20).await, numbers(11..=30));
    // The killed one comes back, and what it missed with it.
    cluster.start_node(leader).await;
    assert_eq!(contents(&cluster.client(leader)).await, numbers(1..=30));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_killed_at_once_have_everything_when_they_are_back() {
    let mut cluster = Cluster::start().await;
    create(&cluster.client(0), 3).await;
    for number in 1..=20 {
        publish(&cluster.client(1), number).await;
    }
    for place in 0..3 {
        cluster.kill(place);
    }
    for place in 0..3 {
        cluster.start_node(place).await;
    }
    let client = cluster.client(2);
    assert_eq!(publish(&client, 21).await, 21);
    assert_eq!(contents(&client).await, numbers(1..=21));
    // In order, and once more.
    for node in std::mem::take(&mut cluster.nodes).into_values() {
        node.shutdown().await.unwrap();
    }
    for place in 0..3 {
        cluster.start_node(place).await;
    }
    assert_eq!(contents(&cluster.client(0)).await, numbers(1..=21));
}

#[tokio::test]
async fn a_store_of_a_node_that_stood_alone_is_no_store_of_a_cluster() {
    let disk = FaultyDisk::new();
    let config = || NodeConfig::in_memory().disk(Arc::new(disk.clone()));
    let alone = Node::start(config()).await.unwrap();
    create(&alone.client(), 1).await;
    alone.shutdown().await.unwrap();
    let options = ClusterOptions::new("c").listen("127.0.0.1:0".parse().unwrap());
    let refused = Node::start(config().cluster(options)).await.unwrap_err();
    let cause = std::error::Error::source(&refused).map(ToString::to_string);
    let text = format!("{refused}: {}", cause.unwrap_or_default());
    assert!(text.contains("stood alone"), "{text}");
    // And nothing of it was changed.
    let alone = Node::start(config()).await.unwrap();
    let info = api(&alone.client(), "STREAM.INFO.S", Value::Null).await;
    assert_eq!(info["config"]["name"], "S", "{info}");
}

#[tokio::test]
async fn two_clusters_of_one_name_never_become_one() {
    let net = Arc::new(MemoryNet::new());
    let start = async |place: usize, route: Option<usize>| {
        let mut options = ClusterOptions::new("c").listen(addr(place)).bootstrap();
        if let Some(route) = route {
            options = options.route(addr(route).to_string().parse().unwrap());
        }
        let config = NodeConfig::in_memory()
            .server_name(format!("n{place}"))
            .net(Arc::<MemoryNet>::clone(&net))
            .cluster(options);
        Node::start(config).await.unwrap()
    };
    let one = start(0, None).await;
    let other = start(1, Some(0)).await;
    create(&one.client(), 1).await;
    // By now they have met, if not twice, and would have been admitted by one of them.
    let named = json!({ "name": "S", "subjects": ["else"] });
    let created = api(&other.client(), "STREAM.CREATE.S", named).await;
    assert_eq!(created["config"]["subjects"], json!(["else"]), "{created}");
    assert_eq!((one.links(), other.links()), (0, 0));
}
