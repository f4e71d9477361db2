//! The subjects of a stream, token by token.
//!
//! Nodes lie in an arena and name each other by number, so that a walk is a loop with a list of
//! numbers, never a recursion: a control line of 4 KiB holds a subject of 2,000 tokens. A node's
//! depth is the number of tokens above it, hence also the place in a filter that its children are
//! compared with.
//!
//! Knows sequences as the postings of a subject, not what lies behind them.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use hitherto_protocol::SubjectFilter;

use crate::StreamSeq;

use super::postings::Postings;

/// The subjects of one stream with the sequences of each.
#[derive(Debug)]
pub(super) struct Trie {
    /// Never empty: the root is the first.
    nodes: Vec<Node>,
    /// Nodes that were pruned and wait for another token.
    free: Vec<NodeId>,
    subjects: u64,
}

/// The place of a node in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

impl NodeId {
    /// The node above the first tokens. No subject ends here.
    pub(super) const ROOT: Self = Self(0);

    fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct Node {
    /// The root's is the root.
    parent: NodeId,
    depth: u32,
    token: Arc<str>,
    children: Children,
    /// The messages of the subject that ends here.
    postings: Postings,
    /// The newest message of the subjects that go on below; 0 when there is none.
    below_max: StreamSeq,
    below_count: u64,
}

impl Node {
    fn new(parent: NodeId, depth: u32, token: Arc<str>) -> Self {
        Self {
            parent,
            depth,
            token,
            children: Children::Few(Vec::new()),
            postings: Postings::None,
            below_max: StreamSeq(0),
            below_count: 0,
        }
    }

    /// The newest message here or below; 0 when there is none.
    fn max(&self) -> StreamSeq {
        self.below_max.max(self.postings.last().unwrap_or_default())
    }

    fn depth(&self) -> usize {
        self.depth as usize
    }
}

#[derive(Debug)]
enum Children {
    /// At most [`FEW_CHILDREN`], ascending by token.
    Few(Vec<(Arc<str>, NodeId)>),
    #[allow(
        clippy::box_collection,
        reason = "few nodes have many children; the box keeps the others small"
    )]
    Many(Box<HashMap<Arc<str>, NodeId>>),
}

/// From how many children on a hash map is used.
const FEW_CHILDREN: usize = 16;

impl Children {
    fn get(&self, token: &str) -> Option<NodeId> {
        match self {
            Self::Few(few) => {
                let at = few.binary_search_by(|(key, _)| (**key).cmp(token)).ok()?;
                few.get(at).map(|(_, node)| *node)
            }
            Self::Many(many) => many.get(token).copied(),
        }
    }

    /// Adds a child whose token is not there yet.
    fn insert(&mut self, token: Arc<str>, node: NodeId) {
        match self {
            Self::Few(few) if few.len() < FEW_CHILDREN => {
                let at = few.partition_point(|(key, _)| **key < *token);
                few.insert(at, (token, node));
            }
            Self::Few(few) => {
                let mut many: HashMap<_, _> = few.drain(..).collect();
                many.insert(token, node);
                *self = Self::Many(Box::new(many));
            }
            Self::Many(many) => {
                many.insert(token, node);
            }
        }
    }

    fn remove(&mut self, token: &str) {
        match self {
            Self::Few(few) => few.retain(|(key, _)| **key != *token),
            Self::Many(many) => {
                many.remove(token);
                if many.is_empty() {
                    *self = Self::Few(Vec::new());
                } else if many.len() < many.capacity() / 8 {
                    many.shrink_to(many.len() * 2);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    /// All of them in no order that may be relied upon: what is made of them must not depend on it.
    fn ids(&self) -> impl Iterator<Item = NodeId> {
        let (few, many) = match self {
            Self::Few(few) => (few.as_slice(), None),
            Self::Many(many) => (&[][..], Some(many.values().copied())),
        };
        let few = few.iter().map(|(_, node)| *node);
        few.chain(many.into_iter().flatten())
    }
}

impl Trie {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::new(NodeId::ROOT, 0, Arc::from(""))],
            free: Vec::new(),
            subjects: 0,
        }
    }

    /// How many subjects have a message.
    pub(super) fn subjects(&self) -> u64 {
        self.subjects
    }

    /// Adds a message with a sequence above all others; gives the node of its subject.
    pub(super) fn append(&mut self, subject: &str, seq: StreamSeq) -> NodeId {
        let mut at = NodeId::ROOT;
        for token in subject.split('.') {
            let node = self.node_mut(at);
            node.below_max = seq;
            node.below_count += 1;
            at = match node.children.get(token) {
                Some(child) => child,
                None => self.add_child(at, token),
            };
        }
        let postings = &mut self.node_mut(at).postings;
        let new = postings.is_empty();
        postings.push(seq);
        self.subjects += u64::from(new);
        at
    }

    fn add_child(&mut self, parent: NodeId, token: &str) -> NodeId {
        let token: Arc<str> = Arc::from(token);
        let node = Node::new(parent, self.node(parent).depth + 1, Arc::clone(&token));
        let id = if let Some(id) = self.free.pop() {
            *self.node_mut(id) = node;
            id
        } else {
            let id = u32::try_from(self.nodes.len())
                .expect("2^32 nodes take 400 GiB, memory ends before");
            self.nodes.push(node);
            NodeId(id)
        };
        self.node_mut(parent).children.insert(token, id);
        id
    }

    /// Takes a message out of the subject that ends at `node`, and lets go of nodes that nothing
    /// ends at or below. `before` are the messages before it, descending, as many as are
    /// worth looking at.
    pub(super) fn remove<I>(&mut self, node: NodeId, seq: StreamSeq, before: impl Fn() -> I)
    where
        I: Iterator<Item = (StreamSeq, NodeId)>,
    {
        let postings = &mut self.node_mut(node).postings;
        assert!(postings.remove(seq), "message {seq} is indexed at its node");
        let gone = postings.is_empty();
        self.subjects -= u64::from(gone);
        let mut at = node;
        while at != NodeId::ROOT {
            let parent = self.node(at).parent;
            self.prune(at);
            let above = self.node_mut(parent);
            above.below_count -= 1;
            if above.below_max == seq {
                self.node_mut(parent).below_max = self.max_below(parent, before());
            }
            at = parent;
        }
    }

    /// The newest message below `parent`, all of which are in `before` or older. Beside many
    /// children the newest is near as a rule, and sooner found there than by asking every child.
    fn max_below(
        &self,
        parent: NodeId,
        mut before: impl Iterator<Item = (StreamSeq, NodeId)>,
    ) -> StreamSeq {
        let children = &self.node(parent).children;
        if let Children::Many(_) = children
            && let Some((seq, _)) = before.find(|(_, node)| self.is_below(*node, parent))
        {
            return seq;
        }
        let maxima = children.ids().map(|child| self.node(child).max());
        maxima.max().unwrap_or_default()
    }

    fn is_below(&self, node: NodeId, above: NodeId) -> bool {
        let depth = self.node(above).depth;
        let mut at = node;
        while self.node(at).depth > depth {
            at = self.node(at).parent;
        }
        at == above && node != above
    }

    fn prune(&mut self, id: NodeId) {
        let node = self.node(id);
        if !node.postings.is_empty() || !node.children.is_empty() {
            return;
        }
        let (parent, token) = (node.parent, Arc::clone(&node.token));
        self.node_mut(parent).children.remove(&token);
        *self.node_mut(id) = Node::new(NodeId::ROOT, 0, Arc::clone(&self.node(NodeId::ROOT).token));
        self.free.push(id);
    }

    /// The text of the subject that ends at `node`.
    pub(super) fn subject(&self, node: NodeId) -> String {
        let mut tokens: Vec<&str> = self.path_up(node).map(|node| &*node.token).collect();
        tokens.reverse();
        tokens.join(".")
    }

    /// The messages of the subject that ends at `node`.
    pub(super) fn postings(&self, node: NodeId) -> &Postings {
        &self.node(node).postings
    }

    /// The messages of `subject`; `None` when there are none, or only some below.
    pub(super) fn postings_of(&self, subject: &str) -> Option<&Postings> {
        let node = self.descend(subject.split('.'))?;
        Some(self.postings(node)).filter(|postings| !postings.is_empty())
    }

    /// The newest message there is.
    #[cfg(test)]
    pub(super) fn newest(&self) -> Option<StreamSeq> {
        positive(self.node(NodeId::ROOT).below_max)
    }

    /// The newest message that `pattern` selects. O(depth) for a literal and for `prefix.>`;
    /// otherwise nodes are tried by the newest message below them, and the first that matches has
    /// it.
    pub(super) fn last(&self, pattern: &Pattern) -> Option<StreamSeq> {
        let base = self.base(pattern)?;
        match pattern.shape() {
            Shape::Literal => return self.node(base).postings.last(),
            Shape::Prefix => return positive(self.node(base).below_max),
            Shape::Wild => {}
        }
        // The third part tells a subject's own newest message from the bound of what lies below.
        let mut bounds = BinaryHeap::from([(self.node(base).max(), base, false)]);
        while let Some((seq, id, exact)) = bounds.pop() {
            if exact {
                return Some(seq);
            }
            let node = self.node(id);
            if pattern.ends_at(node.depth())
                && let Some(last) = node.postings.last()
            {
                bounds.push((last, id, true));
            }
            self.for_each_next(node, pattern, |child| {
                bounds.push((self.node(child).max(), child, false));
            });
        }
        None
    }

    /// How many messages `pattern` selects. O(depth) for a literal and for `prefix.>`.
    pub(super) fn count(&self, pattern: &Pattern) -> u64 {
        let Some(base) = self.base(pattern) else {
            return 0;
        };
        match pattern.shape() {
            Shape::Literal => count(self.node(base).postings.len()),
            Shape::Prefix => self.node(base).below_count,
            Shape::Wild => {
                let mut sum = 0;
                let all = Walk::unlimited(StreamSeq(0));
                self.walk(pattern, all, |node| sum += count(self.postings(node).len()));
                sum
            }
        }
    }

    /// Gives `found` every subject that `pattern` selects and that has a message from
    /// `walk.floor` on, in no order that may be relied upon. False when there are more nodes to
    /// look at than `walk.visits_max`; `found` has then seen an arbitrary part.
    pub(super) fn walk(
        &self,
        pattern: &Pattern,
        walk: Walk,
        mut found: impl FnMut(NodeId),
    ) -> bool {
        let mut open: Vec<NodeId> = self.base(pattern).into_iter().collect();
        let mut visits_left = walk.visits_max;
        while let Some(id) = open.pop() {
            let node = self.node(id);
            if pattern.ends_at(node.depth())
                && node.postings.last().is_some_and(|last| last >= walk.floor)
            {
                found(id);
            }
            let complete = self.try_each_next(node, pattern, |child| {
                if visits_left == 0 {
                    return None;
                }
                visits_left -= 1;
                if self.node(child).max() >= walk.floor {
                    open.push(child);
                }
                Some(())
            });
            if complete.is_none() {
                return false;
            }
        }
        true
    }

    /// Tells whether `pattern` selects the subject that ends at `node`, without building its text.
    pub(super) fn matches(&self, pattern: &Pattern, node: NodeId) -> bool {
        let depth = self.node(node).depth();
        if !pattern.ends_at(depth) {
            return false;
        }
        let fixed = pattern.tokens.iter().rev();
        let path = self.path_up(node).skip(depth - pattern.tokens.len());
        fixed
            .zip(path)
            .all(|(wanted, node)| wanted.as_deref().is_none_or(|token| token == &*node.token))
    }

    /// The nodes from `from` up to, but without, the root.
    fn path_up(&self, from: NodeId) -> impl Iterator<Item = &Node> {
        let first = Some(from).filter(|id| *id != NodeId::ROOT);
        std::iter::successors(first, |id| {
            Some(self.node(*id).parent).filter(|id| *id != NodeId::ROOT)
        })
        .map(|id| self.node(id))
    }

    /// The node that the leading literal tokens of `pattern` lead to.
    fn base(&self, pattern: &Pattern) -> Option<NodeId> {
        let literal = pattern.tokens.iter().map_while(|token| token.as_deref());
        self.descend(literal)
    }

    fn descend<'a>(&self, tokens: impl IntoIterator<Item = &'a str>) -> Option<NodeId> {
        tokens
            .into_iter()
            .try_fold(NodeId::ROOT, |at, token| self.node(at).children.get(token))
    }

    /// Gives `next` the children of `node` that `pattern` goes on with.
    fn for_each_next(&self, node: &Node, pattern: &Pattern, mut next: impl FnMut(NodeId)) {
        let all = self.try_each_next(node, pattern, |child| {
            next(child);
            Some(())
        });
        debug_assert!(all.is_some(), "nothing above gives up");
    }

    /// As [`Trie::for_each_next`], until `next` gives `None`.
    fn try_each_next(
        &self,
        node: &Node,
        pattern: &Pattern,
        mut next: impl FnMut(NodeId) -> Option<()>,
    ) -> Option<()> {
        match pattern.tokens.get(node.depth()) {
            Some(Some(token)) => node.children.get(token).map_or(Some(()), next),
            Some(None) => node.children.ids().try_for_each(next),
            None if pattern.rest => node.children.ids().try_for_each(&mut next),
            None => Some(()),
        }
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.index()]
    }

    /// How many nodes are in use.
    pub(super) fn live_nodes(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        // A hash map has 8 buckets for 7 entries, and a control byte for each.
        let per_bucket = size_of::<(Arc<str>, NodeId)>() + 1;
        let outside = self.nodes.iter().map(|node| {
            let children = match &node.children {
                Children::Few(few) => few.capacity() * size_of::<(Arc<str>, NodeId)>(),
                Children::Many(many) => (many.capacity() * 8 / 7 + 1) * per_bucket + 48,
            };
            // Two counters precede the text of an `Arc<str>`.
            16 + node.token.len().next_multiple_of(8) + children + node.postings.heap_bytes()
        });
        self.nodes.capacity() * size_of::<Node>() + outside.sum::<usize>()
    }
}

/// How far a walk goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    /// Subjects whose newest message is below are left out.
    pub(super) floor: StreamSeq,
    pub(super) visits_max: usize,
}

impl Walk {
    pub(super) fn unlimited(floor: StreamSeq) -> Self {
        Self {
            floor,
            visits_max: usize::MAX,
        }
    }
}

/// A subject filter, split once.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// Without a `>` at the end; `None` stands for `*`.
    tokens: Vec<Option<Box<str>>>,
    /// The filter ends with `>`: one or more tokens follow.
    rest: bool,
}

/// How much of the trie answers a question about a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One subject.
    Literal,
    /// Everything below one node: `prefix.>`, or `>` alone.
    Prefix,
    /// Has a `*`.
    Wild,
}

impl Pattern {
    pub(super) fn new(filter: &SubjectFilter) -> Self {
        let mut tokens: Vec<Option<Box<str>>> = filter
            .tokens()
            .map(|token| (token != "*").then(|| Box::from(token)))
            .collect();
        let rest = matches!(tokens.last(), Some(Some(token)) if &**token == ">");
        if rest {
            tokens.pop();
        }
        Self { tokens, rest }
    }

    /// The pattern of `>`.
    pub(super) fn all() -> Self {
        Self {
            tokens: Vec::new(),
            rest: true,
        }
    }

    pub(super) fn shape(&self) -> Shape {
        match (self.tokens.contains(&None), self.rest) {
            (true, _) => Shape::Wild,
            (false, true) => Shape::Prefix,
            (false, false) => Shape::Literal,
        }
    }

    /// Tells whether a subject of `depth` tokens is long enough and not too long.
    fn ends_at(&self, depth: usize) -> bool {
        if self.rest {
            depth > self.tokens.len()
        } else {
            depth == self.tokens.len()
        }
    }
}

fn positive(seq: StreamSeq) -> Option<StreamSeq> {
    Some(seq).filter(|seq| *seq > StreamSeq(0))
}

/// A number of messages as it is counted in a stream.
pub(super) fn count(messages: usize) -> u64 {
    u64::try_from(messages).expect("memory holds fewer than 2^64 sequences")
}
