//! The sequences of one subject, ascending.
//!
//! Most subjects of an event store hold one message (`orders.order.<id>.placed`), whose sequence
//! stands in the node itself. From two on they are kept as distances from a common base: up to
//! [`FEW`] in place, more in a ring. Taking the oldest or adding the newest costs O(1), taking one
//! from the middle moves the shorter side.

use std::collections::VecDeque;

use crate::StreamSeq;

/// The sequences of the messages of one subject, ascending.
#[derive(Debug)]
pub(super) enum Ring {
    Few {
        base: u64,
        len: u8,
        above: [u32; FEW],
    },
    Many {
        base: u64,
        above: VecDeque<u32>,
    },
    /// Further from one another than 32 bits tell.
    Wide(VecDeque<u64>),
}

/// Sequences that need no memory of their own.
const FEW: usize = 7;

/// A ring of this many places or fewer is not worth shrinking.
const SHRINK_ABOVE: usize = 32;

impl Ring {
    /// What holds `seqs`, which ascend.
    pub(super) fn new(seqs: &[u64]) -> Self {
        let base = seqs.first().copied().unwrap_or_default();
        let above = seqs.iter().map(|seq| u32::try_from(seq - base).ok());
        let Some(above) = above.collect::<Option<Vec<u32>>>() else {
            return Self::Wide(VecDeque::from(seqs.to_vec()));
        };
        match u8::try_from(above.len()) {
            Ok(len) if above.len() <= FEW => {
                let mut places = [0; FEW];
                places[..above.len()].copy_from_slice(&above);
                Self::Few {
                    base,
                    len,
                    above: places,
                }
            }
            _ => Self::Many {
                base,
                above: VecDeque::from(above),
            },
        }
    }

    /// Adds a sequence above all others.
    pub(super) fn push(&mut self, seq: u64) {
        match self {
            Self::Few { base, len, above } => {
                if let Ok(distance) = u32::try_from(seq - *base)
                    && let Some(place) = above.get_mut(usize::from(*len))
                {
                    *place = distance;
                    *len += 1;
                    return;
                }
            }
            Self::Many { base, above } => {
                if let Ok(distance) = u32::try_from(seq - *base) {
                    above.push_back(distance);
                    return;
                }
            }
            Self::Wide(all) => {
                all.push_back(seq);
                return;
            }
        }
        let mut all: Vec<u64> = (0..self.len()).filter_map(|at| self.get(at)).collect();
        all.push(seq);
        *self = Self::new(&all);
    }

    /// Takes a sequence out; false when it is not there.
    pub(super) fn remove(&mut self, seq: u64) -> bool {
        let at = self.count_below(seq);
        if self.get(at) != Some(seq) {
            return false;
        }
        match self {
            Self::Few { len, above, .. } => {
                above.copy_within(at + 1..usize::from(*len), at);
                *len -= 1;
            }
            Self::Many { above, .. } => take(above, at),
            Self::Wide(all) => take(all, at),
        }
        if let Self::Many { .. } = self
            && self.len() <= FEW / 2
        {
            let all: Vec<u64> = (0..self.len()).filter_map(|at| self.get(at)).collect();
            *self = Self::new(&all);
        }
        true
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few { len, .. } => usize::from(*len),
            Self::Many { above, .. } => above.len(),
            Self::Wide(all) => all.len(),
        }
    }

    /// The sequence in place `at`.
    pub(super) fn get(&self, at: usize) -> Option<u64> {
        match self {
            Self::Few { base, len, above } => {
                let distance = above.get(at).filter(|_| at < usize::from(*len))?;
                Some(base + u64::from(*distance))
            }
            Self::Many { base, above } => above.get(at).map(|above| base + u64::from(*above)),
            Self::Wide(all) => all.get(at).copied(),
        }
    }

    /// How many sequences are below `seq`; the oldest, which limits take, is found at once.
    fn count_below(&self, seq: u64) -> usize {
        if self.get(0).is_none_or(|first| first >= seq) {
            return 0;
        }
        let (mut low, mut high) = (1, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(|found| found < seq) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Memory outside the ring itself.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Few { .. } => 0,
            Self::Many { above, .. } => above.capacity() * size_of::<u32>(),
            Self::Wide(all) => all.capacity() * size_of::<u64>(),
        }
    }
}

fn take<T>(all: &mut VecDeque<T>, at: usize) {
    all.remove(at);
    if all.capacity() > SHRINK_ABOVE && all.len() < all.capacity() / 4 {
        all.shrink_to(all.len() * 2);
    }
}

/// The sequences of one subject, wherever they are kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Postings<'a> {
    None,
    One(StreamSeq),
    Some(&'a Ring),
}

impl Postings<'_> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Some(ring) => ring.len(),
        }
    }

    /// The one that has `at` older ones.
    pub(super) fn get(self, at: usize) -> Option<StreamSeq> {
        match self {
            Self::None => None,
            Self::One(only) => (at == 0).then_some(only),
            Self::Some(ring) => ring.get(at).map(StreamSeq),
        }
    }

    fn count_below(self, seq: StreamSeq) -> usize {
        match self {
            Self::None => 0,
            Self::One(only) => usize::from(only < seq),
            Self::Some(ring) => ring.count_below(seq.0),
        }
    }

    pub(super) fn last(self) -> Option<StreamSeq> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The smallest sequence not below `from`.
    pub(super) fn first_from(self, from: StreamSeq) -> Option<StreamSeq> {
        self.get(self.count_below(from))
    }

    /// The largest sequence not above `upto`.
    pub(super) fn last_upto(self, upto: StreamSeq) -> Option<StreamSeq> {
        let last = self.last()?;
        if last <= upto {
            return Some(last);
        }
        self.get(self.count_below(upto.next()).checked_sub(1)?)
    }

    /// How many sequences are not below `from`.
    pub(super) fn count_from(self, from: StreamSeq) -> usize {
        self.len() - self.count_below(from)
    }
}

impl<'a> Postings<'a> {
    /// All of them, ascending.
    pub(super) fn iter(self) -> impl Iterator<Item = StreamSeq> + use<'a> {
        (0..self.len()).filter_map(move |at| self.get(at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step() -> impl Strategy<Value = u64> {
        prop_oneof![30 => 1_u64..9, 1 => Just(u64::from(u32::MAX) + 3)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_ring_holds_what_a_list_holds(
            steps in prop::collection::vec((0..3_u8, step()), 1..200),
        ) {
            let mut list = vec![3];
            let mut ring = Ring::new(&list);
            let mut last = 3;
            for (kind, step) in steps {
                if kind > 0 || list.is_empty() {
                    last += step;
                    list.push(last);
                    ring.push(last);
                } else {
                    let at = usize::try_from(step).unwrap() % list.len();
                    let seq = list.remove(at);
                    prop_assert!(ring.remove(seq));
                    prop_assert!(!ring.remove(seq));
                }
                let all = Postings::Some(&ring);
                prop_assert_eq!(all.iter().map(|seq| seq.0).collect::<Vec<_>>(), list.clone());
                let behind = list.iter().filter(|seq| **seq >= last - 3).count();
                prop_assert_eq!(all.count_from(StreamSeq(last - 3)), behind);
            }
        }
    }
}
