//! FNV-1a with 64 bits: a stable fingerprint of text, for names and lanes; no protection against
//! people who cheat. Source: draft-eastlake-fnv.

/// Fingerprints bytes.
#[must_use]
pub(crate) fn fnv1a_64(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

/// Maps text to one of `count` slots, always the same one.
#[must_use]
pub(crate) fn slot_of(text: &str, count: usize) -> usize {
    let count = u64::try_from(count.max(1)).unwrap_or(u64::MAX);
    usize::try_from(fnv1a_64(text.as_bytes()) % count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(fnv1a_64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a_64(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn a_slot_is_within_the_count() {
        assert!((0..1_000).all(|n| slot_of(&n.to_string(), 7) < 7));
    }
}
