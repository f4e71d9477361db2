//! Whether two nodes fit together, and which of two links between them stays. No IO.

use hitherto_protocol::link::{Hello, Refusal, RefusalKind, VERSIONS};

use super::NodeId;

/// What a node must know of itself to judge another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) node: NodeId,
    /// New at every start of the process.
    pub(super) server_id: String,
    pub(super) server_name: String,
    pub(super) cluster: String,
    /// In the order of their space ids.
    pub(super) accounts: Vec<String>,
}

/// What is remembered of a link for the choice between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkMark {
    pub(super) node: NodeId,
    pub(super) server_id: String,
    pub(super) server_name: String,
    /// This node connected, and not the other one.
    pub(super) dialed: bool,
}

/// What becomes of a new link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// There is no other link to that node.
    New,
    /// It takes the place of the link there is.
    Replaces,
}

impl Identity {
    /// The other node as a link's mark, when the two may be in one cluster at all.
    ///
    /// # Errors
    /// Why they may not.
    pub(super) fn fit(&self, hello: &Hello, dialed: bool) -> Result<LinkMark, Refusal> {
        let name = &hello.server_name;
        if hello.server_id == self.server_id {
            return Err(refusal(
                RefusalKind::SameProcess,
                "this is the same node".into(),
            ));
        }
        if VERSIONS.common(hello.versions).is_none() {
            let (own, other) = (VERSIONS, hello.versions);
            let text = format!(
                "node {name:?} speaks versions {} to {} of the protocol between nodes, this one {} to {}",
                other.min, other.max, own.min, own.max
            );
            return Err(refusal(RefusalKind::Version, text));
        }
        let misfit = |text| Err(refusal(RefusalKind::Misfit, text));
        if hello.cluster != self.cluster {
            return misfit(format!(
                "node {name:?} is in cluster {:?}, this one in {:?}",
                hello.cluster, self.cluster
            ));
        }
        let Ok(node) = hello.node_id.parse::<NodeId>() else {
            return misfit(format!("node {name:?} has no node id"));
        };
        if node == self.node {
            return misfit(format!(
                "node {name:?} has the id {node} of this node: two nodes use copies of one store"
            ));
        }
        if *name == self.server_name {
            return misfit(format!(
                "another node has the name {name:?} of this one; give each a name of its own"
            ));
        }
        if hello.accounts != self.accounts {
            return misfit(format!(
                "node {name:?} has the accounts {:?}, this one {:?}",
                hello.accounts, self.accounts
            ));
        }
        Ok(LinkMark {
            node,
            server_id: hello.server_id.clone(),
            server_name: name.clone(),
            dialed,
        })
    }

    /// What becomes of a new link beside those there are, of which there may be at most `links_max`.
    ///
    /// Both ends of two links that were made at the same time come to the same answer: the link of the node
    /// with the smaller id stays.
    ///
    /// # Errors
    /// Why it must not be.
    pub(super) fn place<'a>(
        &self,
        new: &LinkMark,
        links: impl Iterator<Item = &'a LinkMark>,
        links_max: usize,
    ) -> Result<Placement, Refusal> {
        let mut count = 0;
        let mut same = None;
        for link in links {
            count += 1;
            if link.node == new.node {
                same = Some(link);
            } else if link.server_name == new.server_name {
                let text = format!(
                    "there is a node {:?} already; give each a name of its own",
                    new.server_name
                );
                return Err(refusal(RefusalKind::Misfit, text));
            }
        }
        let Some(same) = same else {
            return match count < links_max {
                true => Ok(Placement::New),
                false => Err(refusal(
                    RefusalKind::Full,
                    format!("a node has links to at most {links_max} others"),
                )),
            };
        };
        if same.server_name != new.server_name {
            let text = format!(
                "nodes {:?} and {:?} have the same id {}: they use copies of one store",
                same.server_name, new.server_name, new.node
            );
            return Err(refusal(RefusalKind::Misfit, text));
        }
        // A node that was started anew, or connects once more, has given up the link there is. This node
        // has not when it gets to the other one by a second address.
        let is_stale = same.server_id != new.server_id || (!same.dialed && !new.dialed);
        let is_preferred = same.dialed != new.dialed && new.dialed == (self.node < new.node);
        match is_stale || is_preferred {
            true => Ok(Placement::Replaces),
            false => Err(refusal(
                RefusalKind::Linked,
                "there is a link between the two nodes already".into(),
            )),
        }
    }
}

pub(super) fn refusal(kind: RefusalKind, text: String) -> Refusal {
    Refusal { kind, text }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
