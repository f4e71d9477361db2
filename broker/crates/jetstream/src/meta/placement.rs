//! Which nodes keep a stream: a pure choice among those given.
//!
//! A node fits that has the tags and the room and answers. Of those that fit the ones with the fewest streams
//! are taken, then those that lead the fewest, then those with the most room. The same question has the same
//! answer, on every node.
//!
//! The texts of refusals are those of nats-server 2.15, asked on three running servers: it names the first
//! reason for each node that does not fit, and each reason once.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use super::Node;
use crate::{NodeId, Placement};

/// A node that may be chosen.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    pub(super) node: &'a Node,
    /// It answers.
    pub(super) is_online: bool,
    /// Bytes it has for another stream; `None` means any number.
    pub(super) free: Option<u64>,
    /// How many streams it keeps.
    pub(super) streams: usize,
    /// How many of them it is the first of.
    pub(super) led: usize,
}

/// What a stream asks of the nodes that keep it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) replicas: usize,
    pub(super) placement: Option<&'a Placement>,
    /// Bytes it promises to hold at most; 0 when it promises nothing.
    pub(super) bytes: u64,
    /// The cluster the nodes are in.
    pub(super) cluster: &'a str,
    /// The prefix of a tag no two of them may share.
    pub(super) unique_tag: Option<&'a str>,
    /// Nodes that keep it already and stay, in their order; not judged.
    pub(super) keep: &'a [&'a Node],
}

/// Why too few nodes fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Misfits {
    offline: bool,
    storage: bool,
    unique_tag: bool,
    missing: BTreeSet<String>,
    excluded: BTreeSet<String>,
}

/// Why one node does not fit.
enum Misfit {
    Offline,
    Storage,
    UniqueTag,
    Missing(String),
    Excluded(String),
}

/// The nodes that keep the stream: those that stay, and then those chosen, the first of which shall lead it
/// when none stays. Not more than `replicas`.
pub(super) fn choose(
    wanted: &Wanted<'_>,
    candidates: &[Candidate<'_>],
) -> Result<Vec<NodeId>, Misfits> {
    let mut misfits = Misfits::default();
    let mut chosen: Vec<NodeId> = wanted.keep.iter().map(|node| node.id).collect();
    if chosen.len() >= wanted.replicas {
        chosen.truncate(wanted.replicas);
        return Ok(chosen);
    }
    if !wanted.is_for_this_cluster() {
        return Err(misfits);
    }
    let others = candidates.iter();
    let others = others.filter(|candidate| !chosen.contains(&candidate.node.id));
    let mut fitting: Vec<&Candidate<'_>> = others
        .filter(|candidate| match wanted.judge(candidate) {
            Ok(()) => true,
            Err(misfit) => {
                misfits.add(misfit);
                false
            }
        })
        .collect();
    fitting.sort_by_key(|candidate| candidate.preference());
    let mut values = UniqueValues::of(wanted);
    let mut added: Vec<&Candidate<'_>> = Vec::new();
    for candidate in fitting {
        if chosen.len() + added.len() == wanted.replicas {
            break;
        }
        match values.take(candidate.node) {
            true => added.push(candidate),
            false => misfits.add(Misfit::UniqueTag),
        }
    }
    if chosen.len() + added.len() < wanted.replicas {
        return Err(misfits);
    }
    added.sort_by_key(|candidate| (candidate.led, candidate.preference()));
    chosen.extend(added.into_iter().map(|candidate| candidate.node.id));
    Ok(chosen)
}

impl Wanted<'_> {
    fn is_for_this_cluster(&self) -> bool {
        let named = self.placement.map_or("", |placement| &placement.cluster);
        named.is_empty() || named == self.cluster
    }

    fn judge(&self, candidate: &Candidate<'_>) -> Result<(), Misfit> {
        self.judge_tags(candidate.node)?;
        // A node that is full takes no stream, whatever that promises.
        // Differs from nats-server, where one without `max_bytes` goes anywhere.
        if candidate.free.is_some_and(|free| free < self.bytes.max(1)) {
            return Err(Misfit::Storage);
        }
        match candidate.is_online {
            true => Ok(()),
            false => Err(Misfit::Offline),
        }
    }

    /// Tells whether the node is where the stream asks to live.
    pub(super) fn suits(&self, node: &Node) -> bool {
        self.is_for_this_cluster() && self.judge_tags(node).is_ok()
    }

    fn judge_tags(&self, node: &Node) -> Result<(), Misfit> {
        for tag in self.placement.iter().flat_map(|placement| &placement.tags) {
            match tag.strip_prefix('!') {
                Some(tag) if node.has_tag(tag) => return Err(Misfit::Excluded(tag.to_owned())),
                None if !node.has_tag(tag) => return Err(Misfit::Missing(tag.clone())),
                Some(_) | None => {}
            }
        }
        Ok(())
    }
}

impl Candidate<'_> {
    /// Who has less comes first; the id makes it one order.
    fn preference(&self) -> (usize, usize, Reverse<u64>, NodeId) {
        let free = self.free.unwrap_or(u64::MAX);
        (self.streams, self.led, Reverse(free), self.node.id)
    }
}

/// The values of the unique tag that peers have already.
struct UniqueValues<'a> {
    /// `None` lets everything pass.
    prefix: Option<&'a str>,
    taken: BTreeSet<String>,
}

impl<'a> UniqueValues<'a> {
    /// A stream that names a value itself is not held to the rule.
    fn of(wanted: &Wanted<'a>) -> Self {
        let mut tags = wanted.placement.iter().flat_map(|wish| &wish.tags);
        let prefix = wanted.unique_tag.filter(|prefix| {
            let prefix = prefix.to_lowercase();
            !tags.any(|tag| tag.to_lowercase().starts_with(&prefix))
        });
        let mut values = Self {
            prefix,
            taken: BTreeSet::new(),
        };
        for node in wanted.keep {
            values.take(node);
        }
        values
    }

    /// Takes the node's value; a node that has none, or one that is taken, is refused.
    fn take(&mut self, node: &Node) -> bool {
        let Some(prefix) = self.prefix else {
            return true;
        };
        let value = node.tag_with_prefix(prefix);
        value.is_some_and(|value| self.taken.insert(value))
    }
}

impl Misfits {
    fn add(&mut self, misfit: Misfit) {
        match misfit {
            Misfit::Offline => self.offline = true,
            Misfit::Storage => self.storage = true,
            Misfit::UniqueTag => self.unique_tag = true,
            Misfit::Missing(tag) => drop(self.missing.insert(tag)),
            Misfit::Excluded(tag) => drop(self.excluded.insert(tag)),
        }
    }
}

/// As nats-server 2.15 writes it, with the tags sorted.
impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no suitable peers for placement")?;
        let reasons = [
            (self.offline, "peer offline"),
            (self.storage, "insufficient storage"),
            (self.unique_tag, "server tag not unique"),
        ];
        for (_, reason) in reasons.iter().filter(|(applies, _)| *applies) {
            write!(f, ", {reason}")?;
        }
        for (tags, what) in [
            (&self.missing, "tags not matched"),
            (&self.excluded, "tags excluded"),
        ] {
            if !tags.is_empty() {
                let quoted: Vec<_> = tags.iter().map(|tag| format!("'{tag}'")).collect();
                write!(f, ", {what} [{}]", quoted.join(", "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
