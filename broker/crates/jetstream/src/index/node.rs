//! The nodes of the trie: an arena, the siblings of each, and one table that finds children.
//!
//! A node takes 28 bytes. What is below a token has a place in `inners`, and the sequences of a subject
//! with more than one message one in `rings`, as few nodes have either. Children are found by parent
//! and first token in the table of `children`. Its hash is keyed at random: clients choose the
//! tokens.

use std::hash::{BuildHasher, RandomState};

use crate::StreamSeq;

use super::children::Children;
use super::grow;
use super::node_id::NodeId;
use super::postings::{Postings, Ring};
use super::text::{Label, Text};

/// One node. Its label is one token; of a leaf it may be several, the rest of a subject that
/// shares no more with any other.
#[derive(Debug, Clone, Copy)]
struct Node {
    label: Label,
    /// The root's is the root.
    parent: NodeId,
    /// The sibling behind it; of a free node the next free one.
    next: NodeId,
    previous: NodeId,
    state: Packed,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A subject with one message.
    One(StreamSeq),
    /// A subject whose messages are in this ring.
    Many(u32),
    /// A token below which subjects go on.
    Inner(u32),
    /// Not in use.
    Free,
}

/// A state in 8 bytes, the high half first: the kind in the two highest bits.
#[derive(Debug, Clone, Copy)]
struct Packed([u32; 2]);

const KIND_SHIFT: u32 = 62;
const VALUE_MAX: u64 = (1 << KIND_SHIFT) - 1;

impl Packed {
    fn new(state: State) -> Self {
        let (kind, value) = match state {
            State::One(seq) => (0, seq.0),
            State::Many(ring) => (1, u64::from(ring)),
            State::Inner(inner) => (2, u64::from(inner)),
            State::Free => (3, 0),
        };
        let packed = kind << KIND_SHIFT | value;
        let half = |half| u32::try_from(half).expect("is half of 64 bits");
        Self([half(packed >> 32), half(packed & u64::from(u32::MAX))])
    }

    fn state(self) -> State {
        let packed = u64::from(self.0[0]) << 32 | u64::from(self.0[1]);
        let (value, number) = (packed & VALUE_MAX, self.0[1]);
        match packed >> KIND_SHIFT {
            0 => State::One(StreamSeq(value)),
            1 => State::Many(number),
            2 => State::Inner(number),
            _ => State::Free,
        }
    }
}

/// What is known of a token below which subjects go on.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) first_child: NodeId,
    pub(super) children: u32,
    /// How many tokens lead here, this one included.
    pub(super) depth: u32,
    /// The newest message of the subjects that go on below; 0 when there is none.
    pub(super) below_max: StreamSeq,
    pub(super) below_count: u64,
    /// The ring of the subject that ends here, if one does.
    own: Option<u32>,
}

impl Inner {
    fn new(depth: u32) -> Self {
        Self {
            first_child: NodeId::ROOT,
            children: 0,
            depth,
            below_max: StreamSeq(0),
            below_count: 0,
            own: None,
        }
    }

    /// A message comes below, newer than all others.
    pub(super) fn add(&mut self, seq: StreamSeq) {
        self.below_max = seq;
        self.below_count += 1;
    }
}

/// Values that name each other by number.
#[derive(Debug)]
struct Slab<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

/// The nodes of one trie.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    /// The first of the free nodes, in a list through `next`; [`NodeId::ROOT`] when none is free.
    free: NodeId,
    live: usize,
    inners: Slab<Inner>,
    rings: Slab<Ring>,
    /// What the rings take outside their slab.
    rings_bytes: usize,
    text: Text,
    children: Children,
    hasher: RandomState,
}

impl<T> Slab<T> {
    fn add(&mut self, value: T) -> u32 {
        if let Some(free) = self.free.pop() {
            self.values[free as usize] = Some(value);
            return free;
        }
        let number = u32::try_from(self.values.len()).expect("there are no more than nodes");
        grow(&mut self.values, 1);
        self.values.push(Some(value));
        number
    }

    fn get(&self, number: u32) -> &T {
        let value = self.values[number as usize].as_ref();
        value.expect("a node names what it has")
    }

    fn get_mut(&mut self, number: u32) -> &mut T {
        let value = self.values[number as usize].as_mut();
        value.expect("a node names what it has")
    }

    fn take(&mut self, number: u32) -> T {
        let value = self.values[number as usize].take();
        self.free.push(number);
        value.expect("a node names what it has")
    }

    fn used_bytes(&self) -> usize {
        (self.values.len() - self.free.len()) * size_of::<Option<T>>()
    }

    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        self.values.capacity() * size_of::<Option<T>>() + self.free.capacity() * size_of::<u32>()
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl Nodes {
    /// The root alone.
    pub(super) fn new() -> Self {
        let mut inners = Slab::default();
        let root = State::Inner(inners.add(Inner::new(0)));
        let mut text = Text::default();
        let root = Node {
            label: text.store(b""),
            parent: NodeId::ROOT,
            next: NodeId::ROOT,
            previous: NodeId::ROOT,
            state: Packed::new(root),
        };
        Self {
            nodes: vec![root],
            free: NodeId::ROOT,
            live: 1,
            inners,
            rings: Slab::default(),
            rings_bytes: 0,
            text,
            children: Children::new(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn state(&self, id: NodeId) -> State {
        self.node(id).state.state()
    }

    pub(super) fn parent(&self, id: NodeId) -> NodeId {
        self.node(id).parent
    }

    pub(super) fn label(&self, id: NodeId) -> &[u8] {
        self.text.get(&self.node(id).label)
    }

    /// What is known below `id`, which is the root or an inner node.
    pub(super) fn inner(&self, id: NodeId) -> &Inner {
        match self.state(id) {
            State::Inner(inner) => self.inners.get(inner),
            other => unreachable!("{other:?} has nothing below"),
        }
    }

    pub(super) fn inner_mut(&mut self, id: NodeId) -> &mut Inner {
        match self.state(id) {
            State::Inner(inner) => self.inners.get_mut(inner),
            other => unreachable!("{other:?} has nothing below"),
        }
    }

    /// The child of `parent` whose label begins with the token `token`.
    pub(super) fn child(&self, parent: NodeId, token: &[u8]) -> Option<NodeId> {
        self.children.find(self.hash(parent, token), |id| {
            let node = self.node(id);
            node.parent == parent && begins_with(self.text.get(&node.label), token)
        })
    }

    /// The children of an inner node.
    pub(super) fn children(&self, parent: &Inner) -> impl Iterator<Item = NodeId> {
        let some = |id: NodeId| Some(id).filter(|id| *id != NodeId::ROOT);
        std::iter::successors(some(parent.first_child), move |id| {
            some(self.node(*id).next)
        })
    }

    /// The messages of the subject that ends at `id`.
    pub(super) fn postings(&self, id: NodeId) -> Postings<'_> {
        let ring = match self.state(id) {
            State::One(seq) => return Postings::One(seq),
            State::Many(ring) => Some(ring),
            State::Inner(inner) => self.inners.get(inner).own,
            State::Free => None,
        };
        ring.map_or(Postings::None, |ring| Postings::Some(self.rings.get(ring)))
    }

    /// Adds a leaf with one message below an inner node.
    pub(super) fn add_leaf(&mut self, parent: NodeId, label: &[u8], seq: StreamSeq) -> NodeId {
        let state = self.state_of_one(seq);
        self.add_child(parent, label, state)
    }

    fn state_of_one(&mut self, seq: StreamSeq) -> State {
        if seq.0 <= VALUE_MAX {
            State::One(seq)
        } else {
            State::Many(self.add_ring(&[seq.0]))
        }
    }

    fn add_child(&mut self, parent: NodeId, label: &[u8], state: State) -> NodeId {
        let node = Node {
            label: self.text.store(label),
            parent,
            next: NodeId::ROOT,
            previous: NodeId::ROOT,
            state: Packed::new(state),
        };
        self.live += 1;
        let id = if self.free == NodeId::ROOT {
            let id = u32::try_from(self.nodes.len()).expect("2^32 nodes take more than 128 GiB");
            grow(&mut self.nodes, 1);
            self.nodes.push(node);
            NodeId::from_number(id)
        } else {
            let id = self.free;
            self.free = self.node(id).next;
            *self.node_mut(id) = node;
            id
        };
        self.link(id);
        id
    }

    /// Makes room below the first token of a leaf: gives the inner node of that token. A leaf of
    /// more tokens goes on below it; one of this token alone becomes it.
    pub(super) fn branch(&mut self, leaf: NodeId) -> NodeId {
        let parent = self.parent(leaf);
        let mut inner = Inner::new(self.inner(parent).depth + 1);
        let label = self.label(leaf);
        let Some(dot) = label.iter().position(|byte| *byte == b'.') else {
            inner.own = match self.state(leaf) {
                State::One(seq) => Some(self.add_ring(&[seq.0])),
                State::Many(ring) => Some(ring),
                State::Inner(_) | State::Free => unreachable!("only leaves are branched"),
            };
            let inner = self.inners.add(inner);
            self.node_mut(leaf).state = Packed::new(State::Inner(inner));
            return leaf;
        };
        let (token, rest) = (label[..dot].to_vec(), label[dot + 1..].to_vec());
        inner.below_max = self.postings(leaf).last().unwrap_or_default();
        inner.below_count = self.postings(leaf).len() as u64;
        self.unlink(leaf);
        let inner = State::Inner(self.inners.add(inner));
        let above = self.add_child(parent, &token, inner);
        let old = self.node(leaf).label;
        self.text.forget(&old);
        let label = self.text.store(&rest);
        let node = self.node_mut(leaf);
        (node.label, node.parent) = (label, above);
        self.link(leaf);
        self.tidy_text();
        above
    }

    /// Adds a message to the subject that ends at `id`; tells whether it is the first.
    pub(super) fn push(&mut self, id: NodeId, seq: StreamSeq) -> bool {
        let ring = match self.state(id) {
            State::One(first) => {
                let ring = self.add_ring(&[first.0, seq.0]);
                self.node_mut(id).state = Packed::new(State::Many(ring));
                return false;
            }
            State::Many(ring) => ring,
            State::Inner(inner) => match self.inners.get(inner).own {
                Some(ring) => ring,
                None => {
                    let ring = self.add_ring(&[seq.0]);
                    self.inners.get_mut(inner).own = Some(ring);
                    return true;
                }
            },
            State::Free => unreachable!("no subject ends at a free node"),
        };
        self.change_ring(ring, |ring| ring.push(seq.0));
        false
    }

    /// Takes a message out of the subject that ends at `id`, and tells whether it was the last; a
    /// leaf without messages is let go.
    ///
    /// # Panics
    /// When the message is not there.
    pub(super) fn remove(&mut self, id: NodeId, seq: StreamSeq) -> bool {
        let ring = match self.state(id) {
            State::One(only) => {
                assert_eq!(only, seq, "message {seq} is indexed at its node");
                self.let_go(id);
                return true;
            }
            State::Many(ring) => Some(ring),
            State::Inner(inner) => self.inners.get(inner).own,
            State::Free => None,
        };
        let ring = ring.expect("the node of a message has messages");
        let removed = self.change_ring(ring, |ring| ring.remove(seq.0));
        assert!(removed, "message {seq} is indexed at its node");
        let left = self.rings.get(ring).len();
        match (left, self.state(id)) {
            (0, State::Inner(inner)) => {
                self.inners.get_mut(inner).own = None;
                self.drop_ring(ring);
            }
            (0, _) => self.let_go(id),
            (1, State::Many(_)) => {
                let only = self.rings.get(ring).get(0).filter(|seq| *seq <= VALUE_MAX);
                if let Some(only) = only {
                    self.node_mut(id).state = Packed::new(State::One(StreamSeq(only)));
                    self.drop_ring(ring);
                }
            }
            _ => {}
        }
        left == 0
    }

    /// Lets go of an inner node below which nothing is left; it stays as a leaf where a subject ends
    /// there. Tells whether it is gone.
    pub(super) fn prune(&mut self, id: NodeId) -> bool {
        if id == NodeId::ROOT || self.inner(id).children > 0 {
            return false;
        }
        match self.inner(id).own {
            None => {
                self.let_go(id);
                true
            }
            Some(ring) => {
                if let State::Inner(inner) = self.state(id) {
                    self.inners.take(inner);
                }
                self.node_mut(id).state = Packed::new(State::Many(ring));
                false
            }
        }
    }

    fn let_go(&mut self, id: NodeId) {
        self.unlink(id);
        match self.state(id) {
            State::One(_) | State::Free => {}
            State::Many(ring) => self.drop_ring(ring),
            State::Inner(inner) => {
                self.inners.take(inner);
            }
        }
        let label = self.node(id).label;
        self.text.forget(&label);
        let free = self.free;
        let node = self.node_mut(id);
        node.state = Packed::new(State::Free);
        node.next = free;
        self.free = id;
        self.live -= 1;
        self.tidy_text();
    }

    /// Copies the texts that are still in use when most are not.
    fn tidy_text(&mut self) {
        if !self.text.is_mostly_garbage(self.nodes.len()) {
            return;
        }
        let mut text = Text::default();
        for node in &mut self.nodes {
            if !matches!(node.state.state(), State::Free) {
                node.label = text.store(self.text.get(&node.label));
            }
        }
        self.text = text;
    }

    fn add_ring(&mut self, seqs: &[u64]) -> u32 {
        let ring = Ring::new(seqs);
        self.rings_bytes += ring.heap_bytes();
        self.rings.add(ring)
    }

    fn change_ring<R>(&mut self, ring: u32, change: impl FnOnce(&mut Ring) -> R) -> R {
        let ring = self.rings.get_mut(ring);
        let before = ring.heap_bytes();
        let result = change(ring);
        self.rings_bytes = self.rings_bytes - before + ring.heap_bytes();
        result
    }

    fn drop_ring(&mut self, ring: u32) {
        self.rings_bytes -= self.rings.take(ring).heap_bytes();
    }

    /// Puts a node into the table and in front of its parent's other children.
    fn link(&mut self, id: NodeId) {
        let hash = self.hash(self.parent(id), first_token(self.label(id)));
        self.children.insert(hash, id);
        let parent = self.inner_mut(self.parent(id));
        let next = std::mem::replace(&mut parent.first_child, id);
        parent.children += 1;
        self.node_mut(id).next = next;
        self.node_mut(id).previous = NodeId::ROOT;
        if next != NodeId::ROOT {
            self.node_mut(next).previous = id;
        }
    }

    /// Takes a node out of its parent's children and of the table.
    fn unlink(&mut self, id: NodeId) {
        let Node {
            parent,
            next,
            previous,
            label,
            ..
        } = *self.node(id);
        let hash = self.hash(parent, first_token(self.text.get(&label)));
        self.children.remove(hash, id);
        if next != NodeId::ROOT {
            self.node_mut(next).previous = previous;
        }
        if previous != NodeId::ROOT {
            self.node_mut(previous).next = next;
        }
        let above = self.inner_mut(parent);
        above.children -= 1;
        if previous == NodeId::ROOT {
            above.first_child = next;
        }
    }

    fn hash(&self, parent: NodeId, token: &[u8]) -> u32 {
        let hash = self.hasher.hash_one((parent.number(), token));
        u32::try_from(hash >> 32).expect("is the high half")
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.index()]
    }

    /// How many nodes are in use.
    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// What the nodes in use take in memory; costs O(1).
    pub(super) fn used_bytes(&self) -> usize {
        self.live * size_of::<Node>()
            + self.children.heap_bytes()
            + self.inners.used_bytes()
            + self.rings.used_bytes()
            + self.rings_bytes
            + self.text.used_bytes()
    }

    /// What they take with all that was reserved.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.children.heap_bytes()
            + self.inners.heap_bytes()
            + self.rings.heap_bytes()
            + self.rings_bytes
            + self.text.heap_bytes()
    }
}

/// A label up to its first dot.
fn first_token(label: &[u8]) -> &[u8] {
    label.split(|byte| *byte == b'.').next().unwrap_or(label)
}

fn begins_with(label: &[u8], token: &[u8]) -> bool {
    let rest = label.strip_prefix(token);
    rest.is_some_and(|rest| matches!(rest, [] | [b'.', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_small() {
        assert_eq!(size_of::<Node>(), 28);
        assert!(size_of::<Option<Inner>>() <= 48);
        assert!(size_of::<Option<Ring>>() <= 48);
    }

    #[test]
    fn a_sequence_beyond_62_bits_is_kept() {
        let mut nodes = Nodes::new();
        let leaf = nodes.add_leaf(NodeId::ROOT, b"a.b", StreamSeq(u64::MAX));
        assert_eq!(nodes.postings(leaf).last(), Some(StreamSeq(u64::MAX)));
        let above = nodes.branch(leaf);
        assert_eq!(nodes.inner(above).below_max, StreamSeq(u64::MAX));
        assert!(nodes.remove(leaf, StreamSeq(u64::MAX)));
        assert!(nodes.prune(above));
        assert_eq!(nodes.live(), 1);
    }

    #[test]
    fn children_are_found_while_the_table_grows() {
        let mut nodes = Nodes::new();
        let mut leaves = Vec::new();
        for number in 1..=3_000 {
            let label = format!("token-{number}.rest");
            leaves.push(nodes.add_leaf(NodeId::ROOT, label.as_bytes(), StreamSeq(number)));
            for (place, leaf) in leaves.iter().enumerate().step_by(97) {
                let token = format!("token-{}", place + 1);
                assert_eq!(nodes.child(NodeId::ROOT, token.as_bytes()), Some(*leaf));
            }
        }
        assert_eq!(nodes.child(NodeId::ROOT, b"token-1.rest"), None);
        assert_eq!(nodes.children(nodes.inner(NodeId::ROOT)).count(), 3_000);
        for (place, leaf) in leaves.iter().enumerate() {
            nodes.remove(*leaf, StreamSeq(place as u64 + 1));
        }
        assert_eq!(nodes.live(), 1);
    }
}
