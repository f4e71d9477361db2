//! Links by TLS: both sides prove what they are.

use hitherto_broker::config::TlsOptions;
use hitherto_broker::{Node, NodeConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Cluster, options};
use crate::support::certificates::Certificates;
use crate::support::{MODERN, RawClient, node_with};

impl Certificates {
    /// Shows the certificate of this authority, and trusts `other`'s.
    fn trusting(&self, other: &Self) -> TlsOptions {
        self.options().verify(other.path("ca.pem"))
    }
}

/// For the address the nodes listen on.
fn certificates() -> Certificates {
    Certificates::of("127.0.0.1")
}

async fn node(name: &str, seeds: &[&Node], tls: Option<TlsOptions>) -> Node {
    let mut options = options(seeds);
    if let Some(tls) = tls {
        options = options.tls(tls);
    }
    node_with(NodeConfig::in_memory().server_name(name).cluster(options)).await
}

#[tokio::test]
async fn messages_cross_encrypted_links() {
    let ours = certificates();
    let first = node("n0", &[], Some(ours.trusting(&ours))).await;
    let second = node("n1", &[&first], Some(ours.trusting(&ours))).await;
    let third = node("n2", &[&first], Some(ours.trusting(&ours))).await;
    let mut cluster = Cluster::of(vec![first, second, third]).await;
    let mut listener = RawClient::ready(&cluster.nodes[2], &format!("{MODERN}SUB a 1\r\n")).await;
    cluster.settle().await;
    let mut publisher = RawClient::ready(&cluster.nodes[1], MODERN).await;
    let large = "x".repeat(300_000);
    publisher.send(format!("PUB a 300000\r\n{large}\r\n")).await;
    listener
        .expect(&format!("MSG a 1 300000\r\n{large}\r\n"))
        .await;
}

#[tokio::test]
async fn who_cannot_prove_what_it_is_gets_no_link() {
    let (ours, theirs) = (certificates(), certificates());
    let first = node("n0", &[], Some(ours.trusting(&ours))).await;
    // It has a certificate of an authority that the first node does not trust; it is plain; and it trusts
    // another authority than that of the first.
    let strangers = [
        node("n1", &[&first], Some(theirs.trusting(&ours))).await,
        node("n2", &[&first], None).await,
        node("n3", &[&first], Some(ours.trusting(&theirs))).await,
    ];
    let mut plain = TcpStream::connect(first.cluster_addr().unwrap())
        .await
        .unwrap();
    plain.write_all(b"no handshake at all").await.unwrap();
    // An alert may come, and then the end.
    let mut rest = Vec::new();
    plain.read_to_end(&mut rest).await.ok();
    // In the same time the others have been refused, too: a link that comes about is there at once.
    let fits = node("n4", &[&first], Some(ours.trusting(&ours))).await;
    let cluster = Cluster::of(vec![first, fits]).await;
    assert_eq!(cluster.nodes[0].links(), 1);
    for stranger in &strangers {
        assert_eq!(stranger.links(), 0);
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_read_keep_a_node_from_starting() {
    let ours = certificates();
    let missing = TlsOptions::new(ours.path("none.pem"), ours.path("key.pem"));
    let options = options(&[]).tls(missing.verify(ours.path("ca.pem")));
    let error = Node::start(NodeConfig::in_memory().cluster(options)).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("none.pem"), "{error}");
}
