//! The set of messages deleted from the middle of a stream, or that never were there.
//!
//! A bitmap in chunks of 4,096 sequences; a chunk that is wholly deleted is one number. At most one
//! bit per message of the stream, 512 bytes for a lone delete.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

const CHUNK_SEQS: u64 = 4096;
const CHUNK_BYTES: usize = 512;

/// A set of sequences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<(u64, Bytes)>", try_from = "Vec<(u64, Bytes)>")]
pub(super) struct DeleteSet {
    chunks: BTreeMap<u64, Chunk>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Chunk {
    Full,
    Bits(Box<[u8; CHUNK_BYTES]>),
}

impl DeleteSet {
    pub(super) fn contains(&self, seq: u64) -> bool {
        match self.chunks.get(&(seq / CHUNK_SEQS)) {
            None => false,
            Some(Chunk::Full) => true,
            Some(Chunk::Bits(bits)) => {
                let (byte, mask) = place(seq);
                bits[byte] & mask != 0
            }
        }
    }

    /// Inserts a sequence; tells whether it is new.
    pub(super) fn insert(&mut self, seq: u64) -> bool {
        let chunk = self.chunks.entry(seq / CHUNK_SEQS);
        let chunk = chunk.or_insert_with(|| Chunk::Bits(Box::new([0; CHUNK_BYTES])));
        let Chunk::Bits(bits) = chunk else {
            return false;
        };
        let (byte, mask) = place(seq);
        let new = bits[byte] & mask == 0;
        bits[byte] |= mask;
        if bits[byte] == u8::MAX && bits.iter().all(|byte| *byte == u8::MAX) {
            *chunk = Chunk::Full;
        }
        new
    }

    /// Inserts all sequences of a range, whole chunks at once.
    pub(super) fn insert_range(&mut self, range: RangeInclusive<u64>) {
        let (mut seq, end) = range.into_inner();
        while seq <= end {
            let chunk_end = seq - seq % CHUNK_SEQS + (CHUNK_SEQS - 1);
            if seq.is_multiple_of(CHUNK_SEQS) && chunk_end <= end {
                self.chunks.insert(seq / CHUNK_SEQS, Chunk::Full);
            } else {
                (seq..=end.min(chunk_end)).for_each(|seq| {
                    self.insert(seq);
                });
            }
            seq = chunk_end + 1;
        }
    }

    /// All of them, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.chunks.iter().flat_map(|(number, chunk)| {
            let first = number * CHUNK_SEQS;
            let seqs = first..first + CHUNK_SEQS;
            seqs.filter(move |seq| match chunk {
                Chunk::Full => true,
                Chunk::Bits(bits) => {
                    let (byte, mask) = place(*seq);
                    bits[byte] & mask != 0
                }
            })
        })
    }

    /// Forgets the sequences of all chunks that end before `seq`.
    pub(super) fn forget_below(&mut self, seq: u64) {
        while let Some(first) = self.chunks.first_entry() {
            if *first.key() >= seq / CHUNK_SEQS {
                break;
            }
            first.remove();
        }
    }

    pub(super) fn count_in(&self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        let chunks = self.chunks.range(start / CHUNK_SEQS..=end / CHUNK_SEQS);
        chunks
            .map(|(number, chunk)| count_in_chunk(*number, chunk, start, end))
            .sum()
    }
}

fn count_in_chunk(number: u64, chunk: &Chunk, start: u64, end: u64) -> u64 {
    let first = number * CHUNK_SEQS;
    let (from, to) = (start.max(first), end.min(first + (CHUNK_SEQS - 1)));
    match chunk {
        Chunk::Full => to - from + 1,
        Chunk::Bits(bits) if to - from + 1 == CHUNK_SEQS => {
            bits.iter().map(|byte| u64::from(byte.count_ones())).sum()
        }
        Chunk::Bits(bits) => {
            let set = |seq: &u64| {
                let (byte, mask) = place(*seq);
                bits[byte] & mask != 0
            };
            (from..=to).filter(set).count() as u64
        }
    }
}

/// Where in its chunk a sequence's bit is.
fn place(seq: u64) -> (usize, u8) {
    let bit = usize::try_from(seq % CHUNK_SEQS).expect("is below 4,096");
    (bit / 8, 1 << (bit % 8))
}

/// The stored form: chunk numbers with their bits; no bits mean all.
impl From<DeleteSet> for Vec<(u64, Bytes)> {
    fn from(set: DeleteSet) -> Self {
        let bytes = |chunk| match chunk {
            Chunk::Full => Bytes::new(),
            Chunk::Bits(bits) => Bytes::copy_from_slice(bits.as_slice()),
        };
        set.chunks
            .into_iter()
            .map(|(number, chunk)| (number, bytes(chunk)))
            .collect()
    }
}

impl TryFrom<Vec<(u64, Bytes)>> for DeleteSet {
    type Error = &'static str;

    fn try_from(stored: Vec<(u64, Bytes)>) -> Result<Self, Self::Error> {
        let mut chunks = BTreeMap::new();
        for (number, bytes) in stored {
            let chunk = match <[u8; CHUNK_BYTES]>::try_from(bytes.as_ref()) {
                Ok(bits) => Chunk::Bits(Box::new(bits)),
                Err(_) if bytes.is_empty() => Chunk::Full,
                Err(_) => return Err("a chunk of deletes has neither 0 nor 512 bytes"),
            };
            chunks.insert(number, chunk);
        }
        Ok(Self { chunks })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn agrees_with_a_set_of_numbers() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut set, mut model) = (DeleteSet::default(), BTreeSet::new());
        for _ in 0..5_000 {
            let seq = rng.u64(1..20_000);
            assert_eq!(set.insert(seq), model.insert(seq), "seed {seed}");
        }
        for seq in 8_192..12_288 {
            assert_eq!(set.insert(seq), model.insert(seq), "seed {seed}");
        }
        for range in [100..=100, 4_000..=4_200, 12_200..=16_384] {
            set.insert_range(range.clone());
            model.extend(range);
        }
        for _ in 0..200 {
            let (start, len) = (rng.u64(1..20_000), rng.u64(0..9_000));
            let expected = model.range(start..=start + len).count() as u64;
            assert_eq!(set.count_in(start..=start + len), expected, "seed {seed}");
        }
        assert!(set.iter().eq(model.iter().copied()), "seed {seed}");
        let stored = rmp_serde::to_vec(&set).unwrap();
        let set: DeleteSet = rmp_serde::from_slice(&stored).unwrap();
        for seq in 0..20_001 {
            assert_eq!(
                set.contains(seq),
                model.contains(&seq),
                "seed {seed} seq {seq}"
            );
        }
    }

    #[test]
    fn forgetting_keeps_what_is_not_below() {
        let mut set = DeleteSet::default();
        for seq in [1, 4_095, 4_096, 9_000] {
            set.insert(seq);
        }
        set.forget_below(4_097);
        assert!(!set.contains(4_095));
        assert!(set.contains(4_096) && set.contains(9_000));
    }
}
