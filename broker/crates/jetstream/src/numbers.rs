//! Numbers and texts in few bytes, as records, summaries of blocks and tables of the index hold them: LEB128,
//! seven bits a byte, the lowest first, the high bit set in all but the last.

use std::ops::Range;

use bytes::BufMut;

/// Appends a number.
pub fn put(buf: &mut impl BufMut, mut number: u64) {
    while number >= 0x80 {
        buf.put_u8(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    buf.put_u8(number.to_le_bytes()[0]);
}

/// Appends a number that may be negative; near zero is short.
pub fn put_signed(buf: &mut impl BufMut, number: i64) {
    put(buf, (number << 1 ^ number >> 63).cast_unsigned());
}

/// Appends a text as what it does not share with the beginning of the one before.
pub(crate) fn put_text(buf: &mut Vec<u8>, text: &[u8], before: &[u8]) {
    let shared = shared_len(text, before);
    put(buf, shared as u64);
    put(buf, (text.len() - shared) as u64);
    buf.extend_from_slice(&text[shared..]);
}

/// How many bytes two texts share at their beginnings.
pub(crate) fn shared_len(one: &[u8], other: &[u8]) -> usize {
    let both = one.iter().zip(other);
    both.take_while(|(one, other)| one == other).count()
}

/// Takes numbers and texts off the front of some bytes, which get shorter by them; `None` is given where they
/// end too early.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next number; `None` too when it has more than 64 bits.
    pub fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || (shift == 63 && bits > 1) {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    }

    /// The next number of [`put_signed`].
    pub fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// The next number, as a length.
    pub fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    pub(crate) fn narrow(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Appends the next text to `all`, of which `before` is the one before, and gives its place.
    pub(crate) fn text(&mut self, all: &mut Vec<u8>, before: Range<usize>) -> Option<Range<usize>> {
        let shared = self.length().filter(|shared| *shared <= before.len())?;
        let rest = self.length()?;
        let rest = self.bytes(rest)?;
        let start = all.len();
        all.extend_from_within(before.start..before.start + shared);
        all.extend_from_slice(rest);
        Some(start..all.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_put_is_read(number in any::<u64>(), signed in any::<i64>(), cut in 0..30_usize) {
            let mut buf = Vec::new();
            put(&mut buf, number);
            put_signed(&mut buf, signed);
            put_text(&mut buf, b"a.b.d", b"a.b.c");
            let mut reader = Reader(&buf);
            prop_assert_eq!(reader.number(), Some(number));
            prop_assert_eq!(reader.signed(), Some(signed));
            let mut all = b"a.b.c".to_vec();
            let text = reader.text(&mut all, 0..5).unwrap();
            prop_assert_eq!(&all[text], b"a.b.d");
            prop_assert!(reader.0.is_empty());

            let cut = cut.min(buf.len() - 1);
            let mut reader = Reader(&buf[..cut]);
            let mut all = b"a.b.c".to_vec();
            let read = (|| {
                reader.number()?;
                reader.signed()?;
                reader.text(&mut all, 0..5)
            })();
            prop_assert_eq!(read, None);
        }
    }

    #[test]
    fn more_bits_than_a_number_has_are_refused() {
        assert_eq!(Reader(&[0xff; 10]).number(), None);
        assert_eq!(Reader(&[0xff; 11]).number(), None);
        let mut most = vec![0xff; 9];
        most.push(1);
        assert_eq!(Reader(&most).number(), Some(u64::MAX));
    }
}
