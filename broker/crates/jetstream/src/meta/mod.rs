//! Which streams there are, which nodes, and who keeps what: the state machine of group 0.
//!
//! | file | noun |
//! |---|---|
//! | [`state`] | [`Meta`]: names, groups and configurations |
//! | [`node`], [`nodes`] | [`Node`], and admitting, changing and removing one |
//! | [`placement`] | the choice of nodes for a stream |
//! | [`moves`] | scaling a stream, taking a peer from it, emptying a node |
//! | [`cluster_view`] | [`ClusterView`]: what a proposer knows beside the state |
//! | [`cluster_info`] | what infos show of the nodes that keep a stream |
//! | [`command`] | [`MetaCommand`] and its stored form |
//! | [`snapshot`] | [`MetaSnapshot`]: the state between restarts |

mod cluster_info;
mod cluster_view;
mod command;
mod moves;
mod node;
mod nodes;
mod placement;
mod snapshot;
mod state;

pub use cluster_info::{GroupView, PeerView};
pub use cluster_view::ClusterView;
pub use command::{MetaCommand, MetaCommandError};
pub use node::{Node, NodeEntry};
pub use snapshot::{MetaRestoreError, MetaSnapshot};
pub use state::{Meta, MetaOutcome, Moved, StreamEntry};
