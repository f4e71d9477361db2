//! Where a stream or consumer lives, as infos show it.
//!
//! The order of the fields and which of them are left out follow nats-server 2.15. Its `traffic_account` and
//! `system_account` are left out: what nodes say to each other belongs to no account.

use std::time::Duration;

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::nanos;

/// Where a stream or consumer lives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// The cluster's name; `None` for a node on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name of the group that keeps it; `None` where one node does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft_group: Option<String>,
    /// The node that leads it; `None` while none is known to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Since when; only from the leader of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_since: Option<Timestamp>,
    /// The other nodes that keep it; left out when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<PeerInfo>,
}

/// Another node that keeps a stream or consumer, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// The server's name.
    pub name: String,
    /// It has all the leader has.
    pub current: bool,
    /// It does not answer; `false` is left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
    /// How long ago it was heard of; zero when it never was.
    #[serde(with = "nanos")]
    pub active: Duration,
    /// How many entries of the log it lacks; 0 is left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lag: u64,
    /// By what other requests name it: the text of its [`NodeId`](crate::NodeId).
    pub peer: String,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
