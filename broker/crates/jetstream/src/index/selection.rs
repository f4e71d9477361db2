//! What a consumer or a purge looks at.

use hitherto_protocol::SubjectFilter;

use super::node_id::NodeId;
use super::pattern::{Pattern, Shape};
use super::trie::Trie;

/// What a consumer or a purge looks at: everything, or what at least one of some filters selects.
///
/// The filters of a consumer do not overlap (the API refuses it); where they do here, answers are
/// right, but counting walks all matching subjects.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Empty for everything.
    pub(super) filters: Vec<SubjectFilter>,
    /// The filters, split; that of `>` for everything.
    pub(super) patterns: Vec<Pattern>,
    /// No subject is selected by two of the patterns.
    pub(super) disjoint: bool,
}

impl Selection {
    /// Everything.
    pub fn all() -> Self {
        Self {
            filters: Vec::new(),
            patterns: vec![Pattern::all()],
            disjoint: true,
        }
    }

    /// What at least one of `filters` selects; everything when there is none, or one is `>`.
    pub fn new(filters: Vec<SubjectFilter>) -> Self {
        if filters.is_empty() || filters.iter().any(|filter| filter.as_str() == ">") {
            return Self::all();
        }
        let mut rest = filters.as_slice();
        let mut disjoint = true;
        while let [first, others @ ..] = rest {
            disjoint &= !others.iter().any(|other| first.overlaps(other));
            rest = others;
        }
        Self {
            patterns: filters.iter().map(Pattern::new).collect(),
            filters,
            disjoint,
        }
    }

    /// Tells whether everything is selected.
    pub fn is_all(&self) -> bool {
        self.filters.is_empty()
    }

    /// Tells whether the messages of `subject` are selected.
    pub fn matches(&self, subject: &str) -> bool {
        self.is_all() || self.filters.iter().any(|filter| filter.matches(subject))
    }

    /// Tells whether no filter has a `*`.
    pub(super) fn has_no_star(&self) -> bool {
        let mut patterns = self.patterns.iter();
        patterns.all(|pattern| pattern.shape() != Shape::Wild)
    }

    pub(super) fn selects(&self, trie: &Trie, node: NodeId) -> bool {
        self.patterns.iter().any(|p| trie.matches(p, node))
    }
}
