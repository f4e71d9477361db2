//! What a proposer knows of its cluster beside the meta state.

use std::collections::BTreeSet;

use crate::NodeId;

/// What a proposer knows of its cluster beside the meta state: it chooses by it, and what it chose travels in
/// the command. A node on its own has the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// The cluster's name.
    pub name: String,
    /// The prefix of a tag no two peers of a stream may share (`unique_tag`); `None` means they may.
    pub unique_tag: Option<String>,
    /// Nodes that do not answer at present.
    pub offline: BTreeSet<NodeId>,
    /// Who leads the stream in question; `None` when it is not known.
    pub leader: Option<NodeId>,
}
