//! Links between the nodes of a cluster, so that any client may talk to any node.
//!
//! | file | noun |
//! |---|---|
//! | `node_id` | [`NodeId`]: names a node for good, bound to its store |
//! | `links` | [`Links`]: the links of a node, and what goes over all of them |
//! | `supervisor` | the task that owns all others: accepts, connects, gives up |
//! | `dialer` | the task behind one address: connects again and again |
//! | `handshake` | what both sides say before there is a link |
//! | `judge` | whether two nodes fit together, and which of two links between them stays |
//! | `session` | the task of one link: reads what the other node says |
//! | `link` | [`Link`](link::Link): one link, shared by everybody who sends |
//! | `link_end` | why it ends |
//! | `outbound` | the bytes waiting for it, by lane |
//! | `writer` | the task that moves them to the socket |
//! | `local_interest` | [`LocalInterest`]: what the node tells of the subscriptions of its clients |
//! | `remote_interest` | what another node has told of its own |
//! | `remote_node` | [`RemoteNode`]: another node as a receiver of messages |
//! | `log_links` | [`LogLinks`]: the links as the replicated log sees them |
//! | `tls` | encrypted links |
//! | `backoff` | how long to wait before the next try |
//!
//! The frames are in `hitherto_protocol::link`. A message goes once to each node with interest in it and is
//! never sent on: every node has a link to every other one. Which nodes there are spreads by word of mouth:
//! each tells the others whom it has links to, so that one address is enough to join.
//!
//! What waits for a node is bounded, see [`Lane`](outbound::Lane). Core messages that do not fit end the
//! link, as they end the connection of a client: nothing is left out in the middle of a link. The bytes of
//! the replicated log that do not fit are refused, and whoever sends them knows.

mod backoff;
mod dialer;
mod handshake;
mod judge;
mod link;
mod link_end;
mod links;
mod local_interest;
mod log_links;
mod node_id;
mod outbound;
mod remote_interest;
mod remote_node;
mod session;
mod supervisor;
mod tls;
mod writer;

pub(crate) use link::LinkReport;
#[cfg(test)]
pub(crate) use links::PeerSink;
pub(crate) use links::{Links, LinksParts};
pub(crate) use local_interest::LocalInterest;
pub(crate) use log_links::LogLinks;
pub(crate) use node_id::NodeId;
pub(crate) use outbound::LinkOutbound;
pub(crate) use remote_node::RemoteNode;
pub(crate) use supervisor::run;
