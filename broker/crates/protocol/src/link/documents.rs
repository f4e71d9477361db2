//! What nodes say about themselves and others. JSON: fields may be added, unknown ones are ignored.

use serde::{Deserialize, Serialize};

use crate::Secret;

/// The lowest and the highest version of the protocol a node speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub struct Versions {
    /// The lowest.
    pub min: u16,
    /// The highest.
    pub max: u16,
}

impl Versions {
    /// The version two nodes speak with each other; `None` when there is none that both know.
    pub fn common(self, other: Self) -> Option<u16> {
        let version = self.max.min(other.max);
        (version >= self.min && version >= other.min).then_some(version)
    }
}

/// The first thing each side of a link says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Hello {
    /// The versions it speaks.
    pub versions: Versions,
    /// Name of the cluster it belongs to.
    pub cluster: String,
    /// Names the node for good: 32 hexadecimal digits, bound to its store.
    pub node_id: String,
    /// Names this run of the node.
    pub server_id: String,
    /// The name people gave it.
    pub server_name: String,
    /// Version of the NATS server it presents itself as.
    #[serde(default)]
    pub version: String,
    /// Names of the accounts, in the order of their [`SpaceId`](super::SpaceId)s.
    pub accounts: Vec<String>,
    /// `host:port` where other nodes reach it; an empty host stands for the address it was met at.
    pub link_address: String,
    /// `host:port` where clients reach it; an empty host stands for the address it was met at.
    #[serde(default)]
    pub client_urls: Vec<String>,
    /// It sends its clients away and takes no new ones.
    #[serde(default)]
    pub lame_duck: bool,
    /// It has streams.
    #[serde(default)]
    pub jetstream: bool,
    /// Where it met the one it speaks to, an IP address: so a node that listens on all addresses learns one
    /// that others reach it at.
    #[serde(default)]
    pub met_at: String,
    /// What it can do beyond the version.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The node that founded the cluster it is admitted to, as 32 hexadecimal digits: names the cluster for good.
    /// `None` while no cluster has admitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Proves that it may join; only from the side that connects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// What the side that connects proves itself with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Credentials {
    /// Name of the user.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

/// Why a link does not come about, or ends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Refusal {
    /// What the other side acts on.
    pub kind: RefusalKind,
    /// What its log says.
    pub text: String,
}

/// The reasons of a [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// Both ends are the same process.
    SameProcess,
    /// There is a link between the two already, and it is the one that stays.
    Linked,
    /// The other belongs to another cluster, or has a name, an id or accounts that do not fit.
    Misfit,
    /// Wrong credentials, or none.
    NotAuthorized,
    /// No version of the protocol that both speak.
    Version,
    /// There are as many nodes as a cluster may have.
    Full,
    /// A reason this code does not know yet.
    #[serde(other)]
    Other,
}

/// What has changed about the node that says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NodeNews {
    /// As in [`Hello`].
    #[serde(default)]
    pub client_urls: Vec<String>,
    /// As in [`Hello`].
    #[serde(default)]
    pub lame_duck: bool,
}

/// A node that another one has a link to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct PeerAddress {
    /// As in [`Hello`].
    pub node_id: String,
    /// As in [`Hello`].
    pub server_name: String,
    /// `host:port`.
    pub link_address: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_speak_the_highest_version_both_know() {
        let versions = |min, max| Versions { min, max };
        assert_eq!(versions(1, 3).common(versions(2, 5)), Some(3));
        assert_eq!(versions(1, 1).common(versions(1, 1)), Some(1));
        assert_eq!(versions(1, 2).common(versions(3, 4)), None);
        assert_eq!(versions(3, 4).common(versions(1, 2)), None);
    }

    #[test]
    fn a_reason_of_a_later_version_is_understood_as_one() {
        let refusal: Refusal = serde_json::from_str(r#"{"kind":"tired","text":"t"}"#).unwrap();
        assert_eq!(refusal.kind, RefusalKind::Other);
    }
}
