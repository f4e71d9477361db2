//! Which node is the child of another with some token: one table for all nodes of a trie.
//!
//! Extendible hashing: places lie in pages of [`PAGE_PLACES`], and a page that fills up is split in two, so
//! that no message waits until a large table is rebuilt. A place holds the hash beside the node, and
//! looking for a token touches one page, and the node only when it is the one.

use super::node_id::NodeId;

/// The table of children.
#[derive(Debug)]
pub(super) struct Children {
    /// For the first `depth` bits of a hash, the page.
    directory: Vec<u32>,
    depth: u32,
    pages: Vec<Page>,
}

/// The nodes whose hashes begin with the same bits.
#[derive(Debug)]
struct Page {
    /// How many bits that is.
    depth: u32,
    len: usize,
    /// A power of two; a place without a node has 0, as the root is nobody's child. A node stands in
    /// the place its hash ends with, or behind it, with no free place between.
    places: Box<[Place]>,
}

/// The hash in the high half, the node in the low half.
type Place = u64;

/// Places in a full-grown page: 4 KiB.
const PAGE_PLACES: usize = 512;

/// Places of the first page of a trie.
const PLACES_MIN: usize = 8;

impl Page {
    fn new(depth: u32, places: usize) -> Self {
        Self {
            depth,
            len: 0,
            places: vec![0; places].into(),
        }
    }

    /// Of 16 places at most 13 are taken: with more, the way to a free one gets long.
    fn is_full(&self) -> bool {
        self.len * 16 >= self.places.len() * 13
    }

    fn mask(&self) -> usize {
        self.places.len() - 1
    }

    fn insert(&mut self, place: Place) {
        let mut at = hash_of(place) as usize & self.mask();
        while self.places[at] != 0 {
            at = (at + 1) & self.mask();
        }
        self.places[at] = place;
        self.len += 1;
    }

    fn find(&self, hash: u32, mut is_it: impl FnMut(NodeId) -> bool) -> Option<(usize, NodeId)> {
        let mut at = hash as usize & self.mask();
        loop {
            let place = self.places[at];
            if place == 0 {
                return None;
            }
            if hash_of(place) == hash && is_it(node_of(place)) {
                return Some((at, node_of(place)));
            }
            at = (at + 1) & self.mask();
        }
    }

    /// Empties a place and moves those behind it up that would not be found any more.
    fn remove(&mut self, mut free: usize) {
        let mut at = free;
        loop {
            at = (at + 1) & self.mask();
            let place = self.places[at];
            if place == 0 {
                break;
            }
            let wanted = hash_of(place) as usize & self.mask();
            // How far it is from where it should be, and how far from the free place.
            let (from_wanted, from_free) = (at.wrapping_sub(wanted), at.wrapping_sub(free));
            if from_wanted & self.mask() >= from_free & self.mask() {
                self.places[free] = place;
                free = at;
            }
        }
        self.places[free] = 0;
        self.len -= 1;
    }

    fn refill(&mut self, places: impl IntoIterator<Item = Place>) {
        for place in places.into_iter().filter(|place| *place != 0) {
            self.insert(place);
        }
    }
}

impl Children {
    pub(super) fn new() -> Self {
        Self {
            directory: vec![0],
            depth: 0,
            pages: vec![Page::new(0, PLACES_MIN)],
        }
    }

    /// The node of this hash that is it.
    pub(super) fn find(&self, hash: u32, is_it: impl FnMut(NodeId) -> bool) -> Option<NodeId> {
        let page = &self.pages[self.page_of(hash)];
        page.find(hash, is_it).map(|(_, node)| node)
    }

    /// Adds a node that is not there.
    pub(super) fn insert(&mut self, hash: u32, node: NodeId) {
        let mut page = self.page_of(hash);
        while self.pages[page].is_full() {
            self.make_room(page);
            page = self.page_of(hash);
        }
        self.pages[page].insert(u64::from(hash) << 32 | u64::from(node.number()));
    }

    /// Takes out a node that is there.
    pub(super) fn remove(&mut self, hash: u32, node: NodeId) {
        let page = self.page_of(hash);
        let page = &mut self.pages[page];
        let found = page.find(hash, |other| other == node);
        let (at, _) = found.expect("every node but the root is in the table");
        page.remove(at);
    }

    fn page_of(&self, hash: u32) -> usize {
        self.directory[first_bits(hash, self.depth)] as usize
    }

    /// Doubles a page, or splits it in two by the next bit of the hashes.
    fn make_room(&mut self, number: usize) {
        let depth_max = DEPTH_MAX.min(self.pages.len().ilog2() + DEPTH_AHEAD);
        let page = &mut self.pages[number];
        let places = page.places.len();
        let depth = page.depth;
        // Many hashes that agree in more bits than is likely only fit a larger page.
        if places < PAGE_PLACES || depth >= depth_max {
            let old = std::mem::replace(page, Page::new(depth, places * 2));
            page.refill(old.places);
            return;
        }
        let old = std::mem::replace(page, Page::new(depth + 1, places));
        let mut other = Page::new(depth + 1, places);
        let goes = |place: &Place| first_bits(hash_of(*place), depth + 1) & 1 == 1;
        let (gone, kept): (Vec<Place>, Vec<Place>) =
            old.places.iter().partition(|place| goes(place));
        page.refill(kept);
        other.refill(gone);
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|at| [*at, *at]).collect();
            self.depth += 1;
        }
        let new = u32::try_from(self.pages.len()).expect("there are fewer pages than nodes");
        super::grow(&mut self.pages, 1);
        self.pages.push(other);
        let shift = self.depth - depth - 1;
        for (bits, at) in self.directory.iter_mut().enumerate() {
            if *at as usize == number && bits >> shift & 1 == 1 {
                *at = new;
            }
        }
    }

    /// What the table takes in memory; costs O(1).
    pub(super) fn heap_bytes(&self) -> usize {
        let page = match self.pages.as_slice() {
            [only] => only.places.len(),
            _ => PAGE_PLACES,
        };
        self.directory.len() * size_of::<u32>()
            + self.pages.len() * (size_of::<Page>() + page * size_of::<Place>())
    }
}

/// Bits of a hash that the directory goes by; the others are the place in a page.
const DEPTH_MAX: u32 = 23;

/// By so many bits a page may be ahead of what the number of pages calls for, which bounds the directory
/// to 32 entries a page.
const DEPTH_AHEAD: u32 = 5;

fn first_bits(hash: u32, bits: u32) -> usize {
    // There are no first bits to take when all 32 would be shifted out.
    hash.checked_shr(u32::BITS - bits).unwrap_or_default() as usize
}

fn hash_of(place: Place) -> u32 {
    u32::try_from(place >> 32).expect("is the high half")
}

fn node_of(place: Place) -> NodeId {
    NodeId::from_number(u32::try_from(place & u64::from(u32::MAX)).expect("is the low half"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_put_in_is_found_until_it_is_taken_out(
            steps in prop::collection::vec(
                (0..4_u8, prop_oneof![any::<u32>(), 0..40_u32, (0..40_u32).prop_map(|n| n << 20)]),
                1..2_500,
            ),
        ) {
            let mut table = Children::new();
            let mut model = BTreeMap::new();
            for (number, (kind, hash)) in (1..).zip(steps) {
                let node = NodeId::from_number(number);
                if kind > 0 {
                    table.insert(hash, node);
                    model.insert(node, hash);
                } else if let Some((node, hash)) = model.pop_first() {
                    table.remove(hash, node);
                    prop_assert_eq!(table.find(hash, |other| other == node), None);
                }
            }
            for (node, hash) in &model {
                prop_assert_eq!(table.find(*hash, |other| other == *node), Some(*node));
            }
            let places: usize = table.pages.iter().map(|page| page.len).sum();
            prop_assert_eq!(places, model.len());
        }
    }
}
