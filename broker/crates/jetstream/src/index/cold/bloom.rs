//! Which subjects, and which beginnings of subjects, a table may have.
//!
//! A Bloom filter in blocks of one cache line: a question costs one access to memory. With
//! [`BITS_PER_KEY`] about one question in a hundred about something absent is answered with "maybe",
//! and costs the read of a page.

use crate::numbers::{Reader, put};

const BITS_PER_KEY: usize = 12;
const BLOCK_WORDS: usize = 8;
const PROBES: u32 = 6;

/// A set that may say yes to what it does not hold, never no to what it holds.
#[derive(Debug)]
pub(super) struct Bloom {
    blocks: Vec<[u64; BLOCK_WORDS]>,
}

/// What a text is known by. Goes on from a beginning, so all beginnings of a text cost one pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextHash(u64);

impl TextHash {
    /// That of the empty text.
    pub(super) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// FNV-1a. It is stored with the table, so it must not change.
    pub(super) fn with(self, text: &[u8]) -> Self {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Self(text.iter().fold(self.0, step))
    }

    /// Spreads the bits, since FNV leaves the high ones of short texts alike (the end of splitmix64).
    fn mixed(self) -> u64 {
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }
}

impl Bloom {
    /// Room for so many keys.
    pub(super) fn new(keys: u64) -> Self {
        let bits = usize::try_from(keys).unwrap_or(usize::MAX / BITS_PER_KEY) * BITS_PER_KEY;
        let blocks = bits.div_ceil(BLOCK_WORDS * 64).max(1);
        Self {
            blocks: vec![[0; BLOCK_WORDS]; blocks],
        }
    }

    pub(super) fn insert(&mut self, hash: TextHash) {
        let (block, bits) = self.place(hash);
        for (word, bit) in bits {
            self.blocks[block][word] |= bit;
        }
    }

    pub(super) fn may_have(&self, hash: TextHash) -> bool {
        let (block, mut bits) = self.place(hash);
        bits.all(|(word, bit)| self.blocks[block][word] & bit != 0)
    }

    fn place(&self, hash: TextHash) -> (usize, impl Iterator<Item = (usize, u64)> + use<>) {
        let mixed = hash.mixed();
        let block = (u128::from(mixed) * self.blocks.len() as u128) >> 64;
        let block = usize::try_from(block).expect("is below the number of blocks");
        // Other bits than those that chose the block.
        let low = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bits = (0..PROBES).map(move |probe| {
            let bit = low >> (probe * 9) & 511;
            let word = usize::try_from(bit / 64).expect("is below 8");
            (word, 1 << (bit % 64))
        });
        (block, bits)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<[u64; BLOCK_WORDS]>()
    }

    pub(super) fn encode(&self, buf: &mut Vec<u8>) {
        put(buf, self.blocks.len() as u64);
        for word in self.blocks.iter().flatten() {
            buf.extend_from_slice(&word.to_le_bytes());
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let len = reader.length().filter(|len| *len > 0)?;
        let bytes = reader.bytes(len.checked_mul(BLOCK_WORDS * 8)?)?;
        let (blocks, _) = bytes.as_chunks::<{ BLOCK_WORDS * 8 }>();
        let block = |bytes: &[u8; BLOCK_WORDS * 8]| {
            let (words, _) = bytes.as_chunks::<8>();
            let mut block = [0; BLOCK_WORDS];
            for (word, bytes) in block.iter_mut().zip(words) {
                *word = u64::from_le_bytes(*bytes);
            }
            block
        };
        Some(Self {
            blocks: blocks.iter().map(block).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_is_found_and_little_else() {
        let hash = |number: u32| TextHash::EMPTY.with(format!("o.{number}.x").as_bytes());
        let mut bloom = Bloom::new(10_000);
        for number in 0..10_000 {
            bloom.insert(hash(number));
        }
        let mut buf = Vec::new();
        bloom.encode(&mut buf);
        let read = Bloom::decode(&mut Reader(&buf)).unwrap();
        assert!((0..10_000).all(|number| read.may_have(hash(number))));
        let wrong = (10_000..20_000).filter(|number| read.may_have(hash(*number)));
        assert!(wrong.count() < 250);
        assert!(Bloom::decode(&mut Reader(&buf[..buf.len() - 1])).is_none());
    }

    #[test]
    fn a_beginning_and_its_end_are_the_whole() {
        let whole = TextHash::EMPTY.with(b"a.b.c");
        assert_eq!(TextHash::EMPTY.with(b"a.").with(b"b.c").0, whole.0);
    }
}
