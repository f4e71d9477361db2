//! Where a stream is asked to live. A node on its own keeps and shows it.

use serde::{Deserialize, Serialize};

/// The wishes of a stream for the nodes that keep it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Placement {
    /// The cluster; empty means any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// What the nodes have to be tagged with; after `!`, what they may not be tagged with. Case does not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Only for elections; refused in a configuration.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preferred: String,
}
