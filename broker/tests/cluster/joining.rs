//! Who finds whom, who is refused, who leaves and comes back.

use bytes::BytesMut;
use hitherto_broker::config::RouteUser;
use hitherto_broker::{Node, NodeConfig};
use hitherto_protocol::Secret;
use hitherto_protocol::link::{
    Credentials, FRAME_BYTES_MAX, Frame, FrameDecoder, Hello, Refusal, RefusalKind, VERSIONS,
    encode,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{Cluster, PATIENCE, cluster, eventually, member, options};
use crate::support::{MODERN, RawClient, node_with};

#[tokio::test]
async fn one_address_is_enough_to_join_all() {
    let cluster = cluster(4).await;
    for node in &cluster.nodes {
        assert_eq!(node.links(), 3);
    }
}

#[tokio::test]
async fn nodes_may_know_each_other_and_themselves() {
    let first = member("n0", &[]).await;
    let second = member("n1", &[&first]).await;
    // Every node has the same list of addresses, its own included.
    let addr = TcpStreamAddr::free().await;
    let own = format!("nats://{}", addr.0);
    let listed = options(&[&first, &second])
        .listen(addr.0.parse().unwrap())
        .route(own.parse().unwrap());
    let third = node_with(NodeConfig::in_memory().server_name("n2").cluster(listed)).await;
    let cluster = Cluster::of(vec![first, second, third]).await;
    assert_eq!(cluster.nodes[2].links(), 2);
}

/// An address that was free a moment ago.
struct TcpStreamAddr(String);

impl TcpStreamAddr {
    async fn free() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self(listener.local_addr().unwrap().to_string())
    }
}

#[tokio::test]
async fn a_node_that_leaves_takes_its_interest_along_and_brings_it_back() {
    let mut cluster = cluster(3).await;
    let mut asker = RawClient::ready(&cluster.nodes[0], &format!("{MODERN}SUB inbox 9\r\n")).await;
    let responder =
        RawClient::ready(&cluster.nodes[2], &format!("{MODERN}SUB service 1\r\n")).await;
    cluster.settle().await;
    asker.send("PUB service inbox 0\r\n\r\n").await;
    assert_eq!(asker.barrier().await, "");

    let gone = cluster.nodes.pop().unwrap();
    let addr = gone.cluster_addr().unwrap();
    gone.shutdown().await.unwrap();
    drop(responder);
    for node in &cluster.nodes {
        eventually("the link ends", || node.links() == 1).await;
    }
    asker.send("PUB service inbox 0\r\n\r\n").await;
    assert!(asker.barrier().await.contains("NATS/1.0 503"));

    // At its old address, and nobody tells it of the others: they look for it.
    let config = NodeConfig::in_memory().server_name("n2");
    let back = node_with(config.cluster(options(&[&cluster.nodes[0]]).listen(addr))).await;
    let mut nodes = cluster.nodes;
    nodes.push(back);
    let mut cluster = Cluster::of(nodes).await;
    let mut responder =
        RawClient::ready(&cluster.nodes[2], &format!("{MODERN}SUB service 1\r\n")).await;
    cluster.settle().await;
    asker.send("PUB service inbox 0\r\n\r\n").await;
    responder.expect("MSG service 1 inbox 0\r\n").await;
}

#[tokio::test]
async fn a_node_is_looked_for_until_it_is_there() {
    let addr = TcpStreamAddr::free().await.0;
    let early = options(&[]).route(addr.parse().unwrap());
    let early = node_with(NodeConfig::in_memory().server_name("early").cluster(early)).await;
    let late = options(&[]).listen(addr.parse().unwrap());
    let late = node_with(NodeConfig::in_memory().server_name("late").cluster(late)).await;
    Cluster::of(vec![early, late]).await;
}

#[tokio::test]
async fn links_may_ask_for_a_user() {
    let user = || RouteUser::new("route", "secret");
    let config = |name: &str, seeds: &[&Node]| {
        let options = options(seeds).user(user());
        NodeConfig::in_memory().server_name(name).cluster(options)
    };
    let first = node_with(config("n0", &[])).await;
    let second = node_with(config("n1", &[&first])).await;
    let cluster = Cluster::of(vec![first, second]).await;
    let (first, credentials) = (&cluster.nodes[0], |password: &str| Credentials {
        user: "route".into(),
        password: Secret::from(password.to_owned()),
    });
    for refused in [None, Some(credentials("wrong")), Some(credentials(""))] {
        let hello = Hello {
            credentials: refused,
            ..hello()
        };
        let refusal = refusal(first, hello).await;
        assert_eq!(refusal.kind, RefusalKind::NotAuthorized);
    }
    let mut stranger = Stranger::connect(first).await;
    let right = Hello {
        credentials: Some(credentials("secret")),
        ..hello()
    };
    stranger.say(&Frame::Hello(Box::new(right))).await;
    assert!(matches!(stranger.hear().await, Some(Frame::Hello(_))));
}

/// Somebody who speaks the protocol between nodes by hand.
struct Stranger {
    socket: TcpStream,
    buffer: BytesMut,
}

impl Stranger {
    async fn connect(node: &Node) -> Self {
        let socket = TcpStream::connect(node.cluster_addr().unwrap()).await;
        Self {
            socket: socket.unwrap(),
            buffer: BytesMut::new(),
        }
    }

    async fn say(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        encode::frame(&mut bytes, frame).unwrap();
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// The next frame but PING; `None` when the node has closed.
    async fn hear(&mut self) -> Option<Frame> {
        let decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        loop {
            match decoder.decode(&mut self.buffer).unwrap() {
                Some(Frame::Ping(_)) => continue,
                Some(frame) => return Some(frame),
                None => {}
            }
            let read = timeout(PATIENCE, self.socket.read_buf(&mut self.buffer)).await;
            if read.unwrap().unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}

fn hello() -> Hello {
    Hello {
        versions: VERSIONS,
        cluster: "c".into(),
        node_id: "0123456789abcdef0123456789abcdef".into(),
        server_id: "NSTRANGER".into(),
        server_name: "stranger".into(),
        version: "2.15.0".into(),
        accounts: vec!["$G".into(), "$SYS".into()],
        link_address: "127.0.0.1:1".into(),
        client_urls: vec!["10.1.1.1:4222".into(), ":4333".into()],
        lame_duck: false,
        jetstream: false,
        met_at: "127.0.0.1".into(),
        capabilities: vec!["flying".into()],
        cluster_id: None,
        credentials: None,
    }
}

/// What a node says to one that it does not take.
async fn refusal(node: &Node, hello: Hello) -> Refusal {
    let mut stranger = Stranger::connect(node).await;
    stranger.say(&Frame::Hello(Box::new(hello))).await;
    match stranger.hear().await {
        Some(Frame::Refuse(refusal)) => {
            assert_eq!(stranger.hear().await, None, "it closes");
            refusal
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nodes_that_do_not_fit_are_told_why() {
    let cluster = cluster(2).await;
    let node = &cluster.nodes[0];
    let with = |change: fn(&mut Hello)| {
        let mut hello = hello();
        change(&mut hello);
        hello
    };
    for (hello, text) in [
        (
            with(|hello| hello.cluster = "d".into()),
            "is in cluster \"d\", this one in \"c\"",
        ),
        (
            with(|hello| hello.server_name = "n0".into()),
            "another node has the name \"n0\"",
        ),
        (
            with(|hello| hello.server_name = "n1".into()),
            "there is a node \"n1\" already",
        ),
        (
            with(|hello| hello.accounts[0] = "A".into()),
            "has the accounts",
        ),
        (
            with(|hello| hello.versions.min = 7),
            "speaks versions 7 to 1",
        ),
    ] {
        let refusal = refusal(node, hello).await;
        assert!(refusal.text.contains(text), "{}", refusal.text);
    }
    assert_eq!(node.links(), 1);
}

#[tokio::test]
async fn what_is_no_frame_ends_the_connection() {
    let node = member("n0", &[]).await;
    for text in ["CONNECT {}\r\nPING\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        let mut stranger = Stranger::connect(&node).await;
        stranger.socket.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(stranger.hear().await, None);
    }
    let mut stranger = Stranger::connect(&node).await;
    stranger.say(&Frame::Accept).await;
    assert_eq!(stranger.hear().await, None, "hello comes first");
}

#[tokio::test]
async fn a_node_that_was_started_anew_takes_the_place_of_its_old_link() {
    let node = member("n0", &[]).await;
    let mut old = Stranger::connect(&node).await;
    old.say(&Frame::Hello(Box::new(hello()))).await;
    assert!(matches!(old.hear().await, Some(Frame::Hello(_))));
    old.say(&Frame::Accept).await;
    eventually("a link", || node.links() == 1).await;

    let mut new = Stranger::connect(&node).await;
    let anew = Hello {
        server_id: "NANEW".into(),
        ..hello()
    };
    new.say(&Frame::Hello(Box::new(anew))).await;
    assert!(matches!(new.hear().await, Some(Frame::Hello(_))));
    new.say(&Frame::Accept).await;
    while old.hear().await.is_some() {}
    eventually("one link", || node.links() == 1).await;
    drop(new);
    eventually("no link", || node.links() == 0).await;
}

#[tokio::test]
async fn a_silent_node_is_given_up() {
    let ping = std::time::Duration::from_millis(20);
    let options = options(&[]).ping(ping, 2);
    let node = node_with(NodeConfig::in_memory().server_name("n0").cluster(options)).await;
    let mut silent = Stranger::connect(&node).await;
    silent.say(&Frame::Hello(Box::new(hello()))).await;
    assert!(matches!(silent.hear().await, Some(Frame::Hello(_))));
    silent.say(&Frame::Accept).await;
    eventually("a link", || node.links() == 1).await;
    // It answers no PING.
    while silent.hear().await.is_some() {}
    eventually("no link", || node.links() == 0).await;
}

#[tokio::test]
async fn interest_that_makes_no_sense_ends_the_link() {
    let node = member("n0", &[]).await;
    let mut stranger = Stranger::connect(&node).await;
    stranger.say(&Frame::Hello(Box::new(hello()))).await;
    assert!(matches!(stranger.hear().await, Some(Frame::Hello(_))));
    stranger.say(&Frame::Accept).await;
    stranger
        .say(&Frame::Interest(hitherto_protocol::link::Interest {
            space: hitherto_protocol::link::SpaceId(9),
            filter: hitherto_broker::SubjectFilter::new("a").unwrap(),
            queue: None,
            members: 1,
        }))
        .await;
    while stranger.hear().await.is_some() {}
    eventually("no link", || node.links() == 0).await;
}
