//! FNV-1a with 128 bits: a stable fingerprint for derived ids and row digests.
//!
//! Not a cryptographic hash: it tells equal from different where nobody is cheating.
//! Source: draft-eastlake-fnv (offset basis and prime for 128 bits).

const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// Fingerprints one byte string.
pub(crate) fn fnv1a_128(bytes: &[u8]) -> u128 {
    let mut hasher = Fnv1a::default();
    hasher.update(bytes);
    hasher.finish()
}

/// The same, fed piece by piece.
#[derive(Debug, Clone)]
pub(crate) struct Fnv1a(u128);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(OFFSET_BASIS)
    }
}

impl Fnv1a {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(PRIME);
        }
    }

    pub(crate) fn finish(&self) -> u128 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(fnv1a_128(b""), OFFSET_BASIS);
        assert_eq!(fnv1a_128(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
