//! The sequences of one subject, ascending.
//!
//! Most subjects of an event store hold one message (`orders.order.<id>.placed`), so one sequence
//! stands in the node itself. From two on they lie in a ring: taking the oldest or adding the
//! newest costs O(1), taking one from the middle moves the shorter side.

use std::collections::VecDeque;

use crate::StreamSeq;

/// The sequences of the messages of one subject, ascending.
#[derive(Debug, Default)]
pub(super) enum Postings {
    #[default]
    None,
    One(StreamSeq),
    /// Two or more.
    #[allow(
        clippy::box_collection,
        reason = "nearly all nodes hold none or one; the box halves what they cost"
    )]
    Many(Box<VecDeque<StreamSeq>>),
}

/// A ring of this many places or fewer is not worth shrinking.
const SHRINK_ABOVE: usize = 32;

impl Postings {
    /// Adds a sequence above all others.
    pub(super) fn push(&mut self, seq: StreamSeq) {
        debug_assert!(self.last().is_none_or(|last| last < seq), "{seq} ascends");
        match self {
            Self::None => *self = Self::One(seq),
            Self::One(first) => *self = Self::Many(Box::new(VecDeque::from([*first, seq]))),
            Self::Many(all) => all.push_back(seq),
        }
    }

    /// Takes a sequence out; false when it is not there.
    pub(super) fn remove(&mut self, seq: StreamSeq) -> bool {
        match self {
            Self::One(only) if *only == seq => {
                *self = Self::None;
                true
            }
            Self::None | Self::One(_) => false,
            Self::Many(all) => {
                let Some(at) = place_of(all, seq) else {
                    return false;
                };
                all.remove(at);
                if let [Some(only), None] = [all.front().copied(), all.get(1).copied()] {
                    *self = Self::One(only);
                } else if all.capacity() > SHRINK_ABOVE && all.len() < all.capacity() / 4 {
                    all.shrink_to(all.len() * 2);
                }
                true
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(all) => all.len(),
        }
    }

    pub(super) fn first(&self) -> Option<StreamSeq> {
        self.iter().next()
    }

    pub(super) fn last(&self) -> Option<StreamSeq> {
        match self {
            Self::None => None,
            Self::One(only) => Some(*only),
            Self::Many(all) => all.back().copied(),
        }
    }

    /// The smallest sequence not below `from`.
    pub(super) fn first_from(&self, from: StreamSeq) -> Option<StreamSeq> {
        match self {
            Self::None => None,
            Self::One(only) => Some(*only).filter(|seq| *seq >= from),
            Self::Many(all) => all.get(all.partition_point(|seq| *seq < from)).copied(),
        }
    }

    /// The largest sequence not above `upto`.
    pub(super) fn last_upto(&self, upto: StreamSeq) -> Option<StreamSeq> {
        match self {
            Self::None => None,
            Self::One(only) => Some(*only).filter(|seq| *seq <= upto),
            Self::Many(all) => match all.back() {
                Some(last) if *last <= upto => Some(*last),
                _ => {
                    let after = all.partition_point(|seq| *seq <= upto);
                    all.get(after.checked_sub(1)?).copied()
                }
            },
        }
    }

    /// How many sequences are not below `from`.
    pub(super) fn count_from(&self, from: StreamSeq) -> usize {
        match self {
            Self::None => 0,
            Self::One(only) => usize::from(*only >= from),
            Self::Many(all) => all.len() - all.partition_point(|seq| *seq < from),
        }
    }

    /// All of them, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = StreamSeq> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(only) => (Some(*only), None),
            Self::Many(all) => (None, Some(all.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Memory outside the node.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::None | Self::One(_) => 0,
            Self::Many(all) => size_of::<VecDeque<StreamSeq>>() + all.capacity() * 8,
        }
    }
}

/// Where `seq` stands; the oldest, which limits take, is found at once.
fn place_of(all: &VecDeque<StreamSeq>, seq: StreamSeq) -> Option<usize> {
    if all.front() == Some(&seq) {
        return Some(0);
    }
    all.binary_search(&seq).ok()
}
