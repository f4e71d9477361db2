//! Nodes that are linked, and waiting until they know of each other.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hitherto_broker::config::ClusterOptions;
use hitherto_broker::{LocalSubscription, Node, NodeConfig, Subject, SubjectFilter};
use tokio::time::timeout;

use crate::support::node_with;

/// Longer than anything here takes; only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// After so long a message that has not arrived is sent again.
const AGAIN: Duration = Duration::from_millis(200);

/// Some nodes, each with links to all others.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    ears: Vec<LocalSubscription>,
    /// How often it has settled.
    round: u32,
}

/// A cluster of this many nodes, of which only the first one's address is known to the others.
pub(crate) async fn cluster(size: usize) -> Cluster {
    let mut nodes = vec![member("n0", &[]).await];
    for number in 1..size {
        let name = format!("n{number}");
        nodes.push(member(&name, &[&nodes[0]]).await);
    }
    Cluster::of(nodes).await
}

/// A node of the cluster `c` that knows the addresses of these.
pub(crate) async fn member(name: &str, seeds: &[&Node]) -> Node {
    let options = options(seeds);
    node_with(NodeConfig::in_memory().server_name(name).cluster(options)).await
}

/// How such a node is told.
pub(crate) fn options(seeds: &[&Node]) -> ClusterOptions {
    let any_port = "127.0.0.1:0".parse().unwrap();
    let options = ClusterOptions::new("c").listen(any_port);
    seeds.iter().fold(options, |options, seed| {
        let url = format!("nats://{}", seed.cluster_addr().unwrap());
        options.route(url.parse().unwrap())
    })
}

impl Cluster {
    /// Waits until all nodes have links to each other and tell each other of their clients.
    pub(crate) async fn of(nodes: Vec<Node>) -> Self {
        let others = nodes.len() - 1;
        for node in &nodes {
            eventually("a full mesh", || node.links() == others).await;
        }
        let ear = |(number, node): (usize, &Node)| {
            let filter = SubjectFilter::new(format!("settle.{number}")).unwrap();
            node.client().subscribe(filter, None).unwrap()
        };
        let ears = nodes.iter().enumerate().map(ear).collect();
        let mut cluster = Self {
            nodes,
            ears,
            round: 0,
        };
        cluster.settle().await;
        cluster
    }

    /// Waits until every node knows what clients of the others have subscribed to by now. What a node says
    /// to another stays in order, so a message that arrives has overtaken nothing.
    pub(crate) async fn settle(&mut self) {
        self.round += 1;
        for (to, ear) in self.ears.iter_mut().enumerate() {
            let subject = Subject::new(format!("settle.{to}")).unwrap();
            for (from, node) in self.nodes.iter().enumerate() {
                let client = node.client();
                let told = Bytes::from(format!("{} from {from}", self.round));
                let deadline = Instant::now() + PATIENCE;
                // The first ones of all may be too early: nobody knows of the ear yet.
                loop {
                    let told = told.clone();
                    client
                        .publish(subject.clone(), None, None, told.clone())
                        .await
                        .unwrap();
                    if timeout(AGAIN, hear(ear, &told)).await.is_ok() {
                        break;
                    }
                    assert!(
                        Instant::now() < deadline,
                        "node {to} does not hear node {from}"
                    );
                }
            }
        }
    }
}

/// Takes messages until this one has come.
async fn hear(ear: &mut LocalSubscription, told: &Bytes) {
    while ear.next().await.unwrap().payload != *told {}
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}
