//! Admitting nodes to the cluster: whoever leads the meta group takes in every node it has a link to that has
//! streams, one at a time: first as a learner, then as a voter, and then the meta state knows it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use hitherto_cluster::GroupError;
use hitherto_jetstream::{GroupId, NodeId};

use super::orders::{Input, ShardQueues};
use super::replication::Replication;

/// How often the leader looks for nodes: every 250 ms.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Goes on until the node ends.
pub(super) async fn run(replication: Weak<Replication>, queues: ShardQueues) {
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        let Some(replication) = replication.upgrade() else {
            return;
        };
        if replication.leads_meta() {
            admit_one(&replication, &queues).await;
        }
    }
}

/// Takes in the first node that is not yet.
async fn admit_one(replication: &Arc<Replication>, queues: &ShardQueues) {
    let peers = replication.seat.links.jetstream_peers();
    let is_new = |(node, _): &&(NodeId, String)| !replication.is_admitted(*node);
    let Some((node, name)) = peers.iter().find(is_new) else {
        return;
    };
    let Some(status) = replication.log.status(GroupId::META) else {
        return;
    };
    if !status.voters.contains(node) {
        tracing::info!(%node, name, "admitting a node to the cluster");
        let voters = status.voters.iter().copied().chain([*node]);
        let changed = replication.log.change_voters(GroupId::META, voters);
        if let Err(error) = changed.await {
            if !matches!(error, GroupError::NotLeader { .. }) {
                tracing::warn!(%node, name, %error, "a node is not admitted yet");
            }
            return;
        }
    }
    let described = replication.describe(*node, name.clone());
    let meta = queues.of(GroupId::META);
    meta.push(Input::Admit(Box::new(described)));
}
