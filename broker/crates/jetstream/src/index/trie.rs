//! The subjects of a stream, token by token.
//!
//! A walk is a loop with a list of nodes, never a recursion: a control line of 4 KiB holds a subject
//! of 2,000 tokens. A node's depth is the number of tokens above it, hence also the place in a
//! filter that its children are compared with. The end of a subject that no other subject shares
//! is one leaf, however many tokens it has.
//!
//! Knows sequences as the postings of a subject, not what lies behind them.

use std::collections::BinaryHeap;

use crate::StreamSeq;

use super::node::{Inner, Nodes, State};
use super::node_id::NodeId;
use super::pattern::{Pattern, Shape, Step, tokens};
use super::postings::Postings;

/// The subjects of one stream with the sequences of each.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Nodes,
    subjects: u64,
    path: Path,
}

/// The way to the subject appended to last, as the next one begins alike as a rule.
#[derive(Debug, Default)]
struct Path {
    subject: Vec<u8>,
    /// The inner nodes on the way, each with how much of the subject leads below it, the dot included.
    steps: Vec<(NodeId, usize)>,
}

impl Path {
    /// Goes back to the last node that also leads to `subject`, and keeps that in mind. Gives how much of
    /// it leads there.
    fn turn_to(&mut self, subject: &[u8]) -> usize {
        let both = self.subject.iter().zip(subject);
        let common = both.take_while(|(before, now)| before == now).count();
        while self.steps.last().is_some_and(|(_, len)| *len > common) {
            self.steps.pop();
        }
        self.subject.truncate(common);
        self.subject.extend_from_slice(&subject[common..]);
        self.steps.last().map_or(0, |(_, len)| *len)
    }

    fn clear(&mut self) {
        self.subject.clear();
        self.steps.clear();
    }
}

/// Beside how many children the newest message is sought among the messages before.
const FEW_CHILDREN: u32 = 16;

/// Where the literal tokens of a pattern lead.
enum Base {
    /// To the tokens below this node.
    Below(NodeId),
    /// Into the label of this leaf, the only one that may match.
    Leaf(NodeId),
}

impl Trie {
    pub(super) fn new() -> Self {
        Self {
            nodes: Nodes::new(),
            subjects: 0,
            path: Path::default(),
        }
    }

    /// How many subjects have a message.
    pub(super) fn subjects(&self) -> u64 {
        self.subjects
    }

    /// Adds a message with a sequence above all others; gives the node of its subject.
    pub(super) fn append(&mut self, subject: &str, seq: StreamSeq) -> NodeId {
        let known = self.path.turn_to(subject.as_bytes());
        let mut at = NodeId::ROOT;
        for (next, _) in &self.path.steps {
            self.nodes.inner_mut(at).add(seq);
            at = *next;
        }
        let mut rest = &subject.as_bytes()[known..];
        loop {
            self.nodes.inner_mut(at).add(seq);
            let (token, behind) = split(rest);
            let Some(child) = self.nodes.child(at, token) else {
                self.subjects += 1;
                return self.nodes.add_leaf(at, rest, seq);
            };
            if self.nodes.label(child) == rest {
                self.subjects += u64::from(self.nodes.push(child, seq));
                return child;
            }
            let child = match self.nodes.state(child) {
                State::Inner(_) => child,
                State::One(_) | State::Many(_) | State::Free => self.nodes.branch(child),
            };
            let Some(behind) = behind else {
                self.subjects += u64::from(self.nodes.push(child, seq));
                return child;
            };
            (at, rest) = (child, behind);
            self.path.steps.push((at, subject.len() - rest.len()));
        }
    }

    /// Takes a message out of the subject that ends at `node`, and lets go of nodes that nothing
    /// ends at or below. `before` are the messages before it, descending, as many as are
    /// worth looking at.
    pub(super) fn remove<I>(&mut self, node: NodeId, seq: StreamSeq, before: impl Fn() -> I)
    where
        I: Iterator<Item = (StreamSeq, NodeId)>,
    {
        // Nodes on it may go.
        self.path.clear();
        let mut at = self.nodes.parent(node);
        self.subjects -= u64::from(self.nodes.remove(node, seq));
        loop {
            let above = self.nodes.parent(at);
            let inner = self.nodes.inner_mut(at);
            inner.below_count -= 1;
            let was_newest = inner.below_max == seq;
            if was_newest {
                let newest = self.max_below(at, before());
                self.nodes.inner_mut(at).below_max = newest;
            }
            if at == NodeId::ROOT {
                break;
            }
            self.nodes.prune(at);
            at = above;
        }
        if self.subjects == 0 {
            // Nothing refers to a node any more, so what was reserved for them can go.
            self.nodes = Nodes::new();
        }
    }

    /// The newest message below `parent`, all of which are in `before` or older. Beside many
    /// children the newest is near as a rule, and sooner found there than by asking every child.
    fn max_below(
        &self,
        parent: NodeId,
        mut before: impl Iterator<Item = (StreamSeq, NodeId)>,
    ) -> StreamSeq {
        let inner = self.nodes.inner(parent);
        if inner.children > FEW_CHILDREN
            && let Some((seq, _)) = before.find(|(_, node)| self.is_below(*node, parent))
        {
            return seq;
        }
        let maxima = self.nodes.children(inner).map(|child| self.max(child));
        maxima.max().unwrap_or_default()
    }

    /// The newest message here or below; 0 when there is none.
    fn max(&self, id: NodeId) -> StreamSeq {
        let own = self.nodes.postings(id).last().unwrap_or_default();
        match self.nodes.state(id) {
            State::Inner(_) => own.max(self.nodes.inner(id).below_max),
            State::One(_) | State::Many(_) | State::Free => own,
        }
    }

    fn is_below(&self, node: NodeId, above: NodeId) -> bool {
        let mut path = self.path_up(node).skip(1);
        above == NodeId::ROOT || path.any(|id| id == above)
    }

    /// The text of the subject that ends at `node`.
    pub(super) fn subject(&self, node: NodeId) -> String {
        let mut labels: Vec<&[u8]> = self.path_up(node).map(|id| self.nodes.label(id)).collect();
        labels.reverse();
        String::from_utf8(labels.join(&b'.')).expect("its tokens were those of a subject")
    }

    /// The messages of the subject that ends at `node`.
    pub(super) fn postings(&self, node: NodeId) -> Postings<'_> {
        self.nodes.postings(node)
    }

    /// The messages of `subject`; none when there are only some below.
    pub(super) fn postings_of(&self, subject: &str) -> Postings<'_> {
        let mut at = NodeId::ROOT;
        let mut rest = subject.as_bytes();
        loop {
            let (token, behind) = split(rest);
            let Some(child) = self.nodes.child(at, token) else {
                return Postings::None;
            };
            if self.nodes.label(child) == rest {
                return self.nodes.postings(child);
            }
            match (self.nodes.state(child), behind) {
                (State::Inner(_), Some(behind)) => (at, rest) = (child, behind),
                _ => return Postings::None,
            }
        }
    }

    /// The newest message there is.
    pub(super) fn newest(&self) -> Option<StreamSeq> {
        positive(self.nodes.inner(NodeId::ROOT).below_max)
    }

    /// The newest message that `pattern` selects. O(depth) for a literal and for `prefix.>`;
    /// otherwise nodes are tried by the newest message below them, and the first that matches has
    /// it.
    pub(super) fn last(&self, pattern: &Pattern) -> Option<StreamSeq> {
        let base = match self.base(pattern)? {
            Base::Below(base) => base,
            Base::Leaf(leaf) => return self.postings(leaf).last(),
        };
        match pattern.shape() {
            Shape::Literal => return self.postings(base).last(),
            Shape::Prefix => return positive(self.nodes.inner(base).below_max),
            Shape::Wild => {}
        }
        // The third part tells a subject's own newest message from the bound of what lies below.
        let mut bounds = BinaryHeap::from([(self.max(base), base, false)]);
        while let Some((seq, id, exact)) = bounds.pop() {
            if exact {
                return Some(seq);
            }
            if self.selects(pattern, id)
                && let Some(last) = self.postings(id).last()
            {
                bounds.push((last, id, true));
            }
            self.for_each_next(id, pattern, |child| {
                bounds.push((self.max(child), child, false));
            });
        }
        None
    }

    /// How many messages `pattern` selects. O(depth) for a literal and for `prefix.>`.
    pub(super) fn count(&self, pattern: &Pattern) -> u64 {
        let base = match self.base(pattern) {
            None => return 0,
            Some(Base::Leaf(leaf)) => return count(self.postings(leaf).len()),
            Some(Base::Below(base)) => base,
        };
        match pattern.shape() {
            Shape::Literal => count(self.postings(base).len()),
            Shape::Prefix => self.nodes.inner(base).below_count,
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
        let mut open = match self.base(pattern) {
            None => return true,
            Some(Base::Leaf(base) | Base::Below(base)) => vec![base],
        };
        let mut visits_left = walk.visits_max;
        while let Some(id) = open.pop() {
            let last = self.postings(id).last();
            if last.is_some_and(|last| last >= walk.floor) && self.selects(pattern, id) {
                found(id);
            }
            let complete = self.try_each_next(id, pattern, |child| {
                if visits_left == 0 {
                    return None;
                }
                visits_left -= 1;
                if self.max(child) >= walk.floor {
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

    /// Tells whether the end of the subject of `node` fits the pattern, of which the tokens above
    /// are known to.
    fn selects(&self, pattern: &Pattern, node: NodeId) -> bool {
        match self.nodes.state(node) {
            State::Inner(_) => pattern.ends_at(self.depth(node)),
            State::One(_) | State::Many(_) | State::Free => {
                let above = self.depth(self.nodes.parent(node));
                pattern.matches_end(above, self.nodes.label(node))
            }
        }
    }

    /// Tells whether `pattern` selects the subject that ends at `node`, without building its text.
    pub(super) fn matches(&self, pattern: &Pattern, node: NodeId) -> bool {
        if !self.selects(pattern, node) {
            return false;
        }
        let above = match self.nodes.state(node) {
            State::Inner(_) => node,
            State::One(_) | State::Many(_) | State::Free => self.nodes.parent(node),
        };
        let depth = self.depth(above);
        let path = (0..depth).rev().zip(self.path_up(above));
        let mut tokens = path.map(|(depth, id)| pattern.matches_at(depth, self.nodes.label(id)));
        tokens.all(|fits| fits)
    }

    /// The nodes from `from` up to, but without, the root.
    fn path_up(&self, from: NodeId) -> impl Iterator<Item = NodeId> {
        let some = |id: NodeId| Some(id).filter(|id| *id != NodeId::ROOT);
        std::iter::successors(some(from), move |id| some(self.nodes.parent(*id)))
    }

    /// How many tokens lead to an inner node.
    fn depth(&self, inner: NodeId) -> usize {
        self.nodes.inner(inner).depth as usize
    }

    /// Where the leading literal tokens of `pattern` lead; `None` when nothing matches.
    fn base(&self, pattern: &Pattern) -> Option<Base> {
        let mut at = NodeId::ROOT;
        for token in pattern.literal_tokens() {
            at = self.nodes.child(at, token)?;
            match self.nodes.state(at) {
                State::Inner(_) => {}
                _ if self.selects(pattern, at) => return Some(Base::Leaf(at)),
                _ => return None,
            }
        }
        Some(Base::Below(at))
    }

    /// Gives `next` the children of `id` that `pattern` goes on with.
    fn for_each_next(&self, id: NodeId, pattern: &Pattern, mut next: impl FnMut(NodeId)) {
        let all = self.try_each_next(id, pattern, |child| {
            next(child);
            Some(())
        });
        debug_assert!(all.is_some(), "nothing above gives up");
    }

    /// As [`Trie::for_each_next`], until `next` gives `None`.
    fn try_each_next(
        &self,
        id: NodeId,
        pattern: &Pattern,
        mut next: impl FnMut(NodeId) -> Option<()>,
    ) -> Option<()> {
        let inner: &Inner = match self.nodes.state(id) {
            State::Inner(_) => self.nodes.inner(id),
            State::One(_) | State::Many(_) | State::Free => return Some(()),
        };
        match pattern.step(inner.depth as usize) {
            Step::Token(token) => self.nodes.child(id, token).map_or(Some(()), next),
            Step::All => self.nodes.children(inner).try_for_each(&mut next),
            Step::None => Some(()),
        }
    }

    /// How many nodes are in use.
    #[cfg(test)]
    pub(super) fn live_nodes(&self) -> usize {
        self.nodes.live()
    }

    /// What the trie takes in memory, without what waits for other subjects; costs O(1).
    pub(super) fn used_bytes(&self) -> usize {
        self.nodes.used_bytes()
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.nodes.heap_bytes()
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

/// The first token, and what comes after its dot.
fn split(rest: &[u8]) -> (&[u8], Option<&[u8]>) {
    let token = tokens(rest).next().unwrap_or(rest);
    (token, rest.get(token.len() + 1..))
}

fn positive(seq: StreamSeq) -> Option<StreamSeq> {
    Some(seq).filter(|seq| *seq > StreamSeq(0))
}

/// A number of messages as it is counted in a stream.
pub(super) fn count(messages: usize) -> u64 {
    u64::try_from(messages).expect("memory holds fewer than 2^64 sequences")
}
