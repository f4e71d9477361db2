//! The messages of a table that have been removed since it was written.

use std::collections::BTreeMap;

/// Sequences in one word group.
const GROUP: u64 = 1024;
const WORDS: usize = 16;

/// A set of sequences, made for those that go from the front and for a few others.
#[derive(Debug, Clone, Default)]
pub(super) struct Dead {
    /// Everything up to here is in the set.
    floor: u64,
    groups: BTreeMap<u64, [u64; WORDS]>,
}

impl Dead {
    pub(super) fn contains(&self, seq: u64) -> bool {
        seq <= self.floor || {
            let group = self.groups.get(&(seq / GROUP));
            group.is_some_and(|words| {
                let (word, bit) = place(seq);
                words[word] & bit != 0
            })
        }
    }

    /// Adds a sequence; false when it was in already.
    pub(super) fn insert(&mut self, seq: u64) -> bool {
        if self.contains(seq) {
            return false;
        }
        let (word, bit) = place(seq);
        self.groups.entry(seq / GROUP).or_default()[word] |= bit;
        true
    }

    /// Everything up to `floor` is in the set from now on, which nobody asks about as it is not there.
    pub(super) fn raise_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        let kept = self.groups.split_off(&(self.floor / GROUP));
        self.groups = kept;
    }

    /// Everything up to here is in the set.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// What is in the set above the floor, ascending.
    pub(super) fn singles(&self) -> impl Iterator<Item = u64> {
        let words = self.groups.iter().flat_map(|(group, words)| {
            let starts = (0..).map(move |word| group * GROUP + word * 64);
            starts.zip(words)
        });
        let seqs = words.flat_map(|(start, word)| {
            let bits = (0..64).filter(move |bit| word & (1 << bit) != 0);
            bits.map(move |bit| start + bit)
        });
        seqs.filter(|seq| *seq > self.floor)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.groups.len() * (size_of::<[u64; WORDS]>() + 2 * size_of::<u64>())
    }
}

fn place(seq: u64) -> (usize, u64) {
    let offset = usize::try_from(seq % GROUP).expect("is below GROUP");
    (offset / 64, 1 << (offset % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_and_single_sequences_are_one_set() {
        let mut dead = Dead::default();
        assert!(dead.insert(5) && dead.insert(5_000) && !dead.insert(5));
        assert!(dead.contains(5) && dead.contains(5_000) && !dead.contains(6));
        dead.raise_floor(4_999);
        assert!(dead.contains(6) && dead.contains(4_999) && dead.contains(5_000));
        assert!(!dead.contains(5_001) && !dead.insert(17));
        assert_eq!(dead.groups.len(), 1);
        assert!(dead.insert(5_063) && dead.insert(6_144));
        assert_eq!(dead.singles().collect::<Vec<_>>(), [5_000, 5_063, 6_144]);
        dead.raise_floor(3);
        assert!(dead.contains(4_999));
    }
}
