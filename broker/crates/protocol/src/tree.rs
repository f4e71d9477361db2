//! Finds the subject filters that match a subject, however many there are.
//!
//! Who is interested in a message is asked for every message; filters come and go far less often.
//! The tree stores any value per filter and knows nothing of subscriptions, queue groups or
//! streams.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;

use bytestring::ByteString;

use crate::SubjectFilter;

/// Values by subject filter, found by subject.
///
/// One filter may hold several values. Literal filters, by far the most (inboxes), stand in one
/// hash map by their whole text; filters with wildcards stand in a trie by token. Looking up costs
/// one hash of the subject plus, when there are wildcard filters, a step for every trie node the
/// subject reaches. It does not allocate while at most 8 branches are open.
///
/// Values are visited in a fixed order that depends only on the calls made, never on hashing:
/// literal filters first, then the trie; values of one filter in the order of insertion.
pub struct SubjectTree<T> {
    /// Never holds an empty list.
    literals: HashMap<ByteString, Vec<T>>,
    /// Nodes refer to one another by number, so that depth is bounded by memory alone and not by
    /// the call stack. The root is number 0 and always there; every other node in use leads to a
    /// value.
    nodes: Vec<Node<T>>,
    /// Numbers of nodes not in use.
    free: Vec<NodeId>,
    len: usize,
    wildcards_len: usize,
}

type NodeId = usize;

const ROOT: NodeId = 0;

/// Open branches a look-up keeps without allocating; a subject opens one per token at which both a
/// literal and a `*` go on.
const BRANCHES_INLINE: usize = 8;

struct Node<T> {
    /// Values of the filter that ends here.
    here: Vec<T>,
    /// Values of the filter that ends with `>` behind this node.
    below: Vec<T>,
    literals: HashMap<ByteString, NodeId>,
    any: Option<NodeId>,
}

impl<T> SubjectTree<T> {
    /// A tree without filters.
    pub fn new() -> Self {
        Self {
            literals: HashMap::new(),
            nodes: vec![Node::new()],
            free: Vec::new(),
            len: 0,
            wildcards_len: 0,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tells whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a value; equal ones stay beside one another.
    pub fn insert(&mut self, filter: &SubjectFilter, value: T) {
        self.len += 1;
        if filter.is_literal() {
            self.literals
                .entry(ByteString::from(filter.as_str()))
                .or_default()
                .push(value);
        } else {
            self.wildcards_len += 1;
            self.insert_wildcard(filter, value);
        }
    }

    /// Removes and returns the first value of `filter` that `is_wanted` accepts. `filter` is
    /// compared as text: what is in the tree under another filter stays, even where both match.
    pub fn remove(
        &mut self,
        filter: &SubjectFilter,
        is_wanted: impl FnMut(&T) -> bool,
    ) -> Option<T> {
        let removed = if filter.is_literal() {
            self.remove_literal(filter, is_wanted)
        } else {
            self.remove_wildcard(filter, is_wanted)
        };
        if removed.is_some() {
            self.len -= 1;
            self.wildcards_len -= usize::from(!filter.is_literal());
        }
        removed
    }

    /// Calls `visit` for every value whose filter matches `subject`.
    pub fn for_each_match<'a>(&'a self, subject: &str, mut visit: impl FnMut(&'a T)) {
        let never = self.try_for_each_match(subject, |value| {
            visit(value);
            ControlFlow::Continue(())
        });
        debug_assert!(never.is_continue(), "the visitor above never breaks");
    }

    /// Tells whether a filter matches `subject`.
    pub fn has_match(&self, subject: &str) -> bool {
        self.try_for_each_match(subject, |_| ControlFlow::Break(()))
            .is_break()
    }

    /// Calls `visit` for every value, in no particular order.
    pub fn for_each<'a>(&'a self, visit: impl FnMut(&'a T)) {
        #[allow(clippy::iter_over_hash_type, reason = "the caller is told of no order")]
        let literals = self.literals.values().flatten();
        let wildcards = self
            .nodes
            .iter()
            .flat_map(|node| node.here.iter().chain(&node.below));
        literals.chain(wildcards).for_each(visit);
    }

    /// Calls `visit` for every value whose filter matches `subject`, until it breaks.
    fn try_for_each_match<'a>(
        &'a self,
        subject: &str,
        mut visit: impl FnMut(&'a T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Some(values) = self.literals.get(subject) {
            values.iter().try_for_each(&mut visit)?;
        }
        if self.wildcards_len == 0 {
            return ControlFlow::Continue(());
        }
        let mut branches = Branches::new();
        branches.push(Branch {
            node: ROOT,
            rest: Some(subject),
        });
        while let Some(branch) = branches.pop() {
            self.walk(branch, &mut branches, &mut visit)?;
        }
        ControlFlow::Continue(())
    }

    /// Follows one branch to its end and leaves those that open on the way in `branches`.
    fn walk<'a, 's>(
        &'a self,
        branch: Branch<'s>,
        branches: &mut Branches<'s>,
        visit: &mut impl FnMut(&'a T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Branch { node, mut rest } = branch;
        let mut node = &self.nodes[node];
        while let Some(tokens) = rest {
            node.below.iter().try_for_each(&mut *visit)?;
            let (token, behind) = split_token(tokens);
            rest = behind;
            let literal = node.literal(token);
            node = match (literal, node.any) {
                (Some(literal), Some(any)) => {
                    branches.push(Branch { node: any, rest });
                    &self.nodes[literal]
                }
                (Some(next), None) | (None, Some(next)) => &self.nodes[next],
                (None, None) => return ControlFlow::Continue(()),
            };
        }
        node.here.iter().try_for_each(visit)
    }

    fn insert_wildcard(&mut self, filter: &SubjectFilter, value: T) {
        let mut node = ROOT;
        for token in filter.tokens() {
            node = match (token, self.nodes[node].child(token)) {
                (">", _) => return self.nodes[node].below.push(value),
                (_, Some(child)) => child,
                (_, None) => self.add_child(node, token),
            };
        }
        self.nodes[node].here.push(value);
    }

    fn add_child(&mut self, parent: NodeId, token: &str) -> NodeId {
        let child = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::new());
            self.nodes.len() - 1
        });
        let parent = &mut self.nodes[parent];
        if token == "*" {
            parent.any = Some(child);
        } else {
            parent.literals.insert(ByteString::from(token), child);
        }
        child
    }

    fn remove_literal(
        &mut self,
        filter: &SubjectFilter,
        is_wanted: impl FnMut(&T) -> bool,
    ) -> Option<T> {
        let values = self.literals.get_mut(filter.as_str())?;
        let removed = remove_first(values, is_wanted);
        if values.is_empty() {
            self.literals.remove(filter.as_str());
        }
        removed
    }

    fn remove_wildcard(
        &mut self,
        filter: &SubjectFilter,
        is_wanted: impl FnMut(&T) -> bool,
    ) -> Option<T> {
        let mut path = vec![ROOT];
        let mut node = ROOT;
        let mut ends_below = false;
        for token in filter.tokens() {
            if token == ">" {
                ends_below = true;
                break;
            }
            node = self.nodes[node].child(token)?;
            path.push(node);
        }
        let node = &mut self.nodes[node];
        let values = if ends_below {
            &mut node.below
        } else {
            &mut node.here
        };
        let removed = remove_first(values, is_wanted)?;
        self.prune(filter, &path);
        Some(removed)
    }

    /// Takes nodes that lead nowhere out of the trie, from the end of `path` upward.
    fn prune(&mut self, filter: &SubjectFilter, path: &[NodeId]) {
        let steps: Vec<&str> = filter.tokens().take(path.len() - 1).collect();
        for (pair, token) in path.windows(2).zip(steps).rev() {
            let &[parent, child] = pair else { continue };
            if !self.nodes[child].is_unused() {
                return;
            }
            self.nodes[child] = Node::new();
            self.free.push(child);
            let parent = &mut self.nodes[parent];
            if token == "*" {
                parent.any = None;
            } else {
                parent.literals.remove(token);
            }
        }
    }
}

impl<T> Node<T> {
    fn new() -> Self {
        Self {
            here: Vec::new(),
            below: Vec::new(),
            literals: HashMap::new(),
            any: None,
        }
    }

    /// The child of a token of a filter.
    fn child(&self, token: &str) -> Option<NodeId> {
        if token == "*" {
            self.any
        } else {
            self.literal(token)
        }
    }

    /// The child of a token of a subject, in which `*` stands for itself.
    fn literal(&self, token: &str) -> Option<NodeId> {
        if self.literals.is_empty() {
            None
        } else {
            self.literals.get(token).copied()
        }
    }

    fn is_unused(&self) -> bool {
        self.here.is_empty()
            && self.below.is_empty()
            && self.literals.is_empty()
            && self.any.is_none()
    }
}

/// A node that is still to be followed, and the tokens behind it.
#[derive(Clone, Copy)]
struct Branch<'s> {
    node: NodeId,
    /// `None` when no token is left.
    rest: Option<&'s str>,
}

/// The branches of one look-up, last in first out; the first ones need no allocation.
struct Branches<'s> {
    inline: [Branch<'s>; BRANCHES_INLINE],
    inline_len: usize,
    spilled: Vec<Branch<'s>>,
}

impl<'s> Branches<'s> {
    fn new() -> Self {
        let unset = Branch {
            node: ROOT,
            rest: None,
        };
        Self {
            inline: [unset; BRANCHES_INLINE],
            inline_len: 0,
            spilled: Vec::new(),
        }
    }

    fn push(&mut self, branch: Branch<'s>) {
        match self.inline.get_mut(self.inline_len) {
            Some(slot) => {
                *slot = branch;
                self.inline_len += 1;
            }
            None => self.spilled.push(branch),
        }
    }

    fn pop(&mut self) -> Option<Branch<'s>> {
        if let Some(branch) = self.spilled.pop() {
            return Some(branch);
        }
        self.inline_len = self.inline_len.checked_sub(1)?;
        self.inline.get(self.inline_len).copied()
    }
}

fn split_token(tokens: &str) -> (&str, Option<&str>) {
    match tokens.split_once('.') {
        Some((token, rest)) => (token, Some(rest)),
        None => (tokens, None),
    }
}

fn remove_first<T>(values: &mut Vec<T>, is_wanted: impl FnMut(&T) -> bool) -> Option<T> {
    let at = values.iter().position(is_wanted)?;
    Some(values.remove(at))
}

impl<T> Default for SubjectTree<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for SubjectTree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectTree")
            .field("len", &self.len)
            .field("literals", &self.literals.len())
            .field("nodes", &(self.nodes.len() - self.free.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests;
