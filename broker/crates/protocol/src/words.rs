//! The arguments of a line: words between blanks, and the numbers among them.

use std::ops::Range;

use crate::verb::{Verb, is_blank};

/// What stands behind the verb: without the blanks before it and without the CR at the end.
pub(crate) fn argument_range(line: &[u8], verb: Verb) -> Range<usize> {
    let end = if line.last() == Some(&b'\r') {
        line.len() - 1
    } else {
        line.len()
    };
    let rest = line.get(verb.word().len()..end).unwrap_or_default();
    let blanks = rest.iter().take_while(|&&byte| is_blank(byte)).count();
    end - (rest.len() - blanks)..end
}

/// The words of a line, as places in it.
pub(crate) struct Words {
    places: [Range<usize>; WORDS_MAX],
    count: usize,
}

/// HPUB has most: subject, reply, header size, total size.
const WORDS_MAX: usize = 4;

impl Words {
    /// Splits at runs of blanks; `None` when there are more words than any verb takes, or a CR
    /// among them.
    pub(crate) fn split(line: &[u8], args: Range<usize>) -> Option<Self> {
        let mut words = Self {
            places: [const { 0..0 }; WORDS_MAX],
            count: 0,
        };
        let mut start = args.start;
        for at in args.clone() {
            match line[at] {
                b' ' | b'\t' => {
                    words.push(start..at)?;
                    start = at + 1;
                }
                b'\r' => return None,
                _ => {}
            }
        }
        words.push(start..args.end)?;
        Some(words)
    }

    fn push(&mut self, place: Range<usize>) -> Option<()> {
        if !place.is_empty() {
            *self.places.get_mut(self.count)? = place;
            self.count += 1;
        }
        Some(())
    }

    pub(crate) fn as_slice(&self) -> &[Range<usize>] {
        &self.places[..self.count]
    }
}

/// Reads a decimal number; `None` when it is empty, holds anything but digits, or outgrows 64 bits.
pub(crate) fn parse_size(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<&str>> {
        let words = Words::split(line.as_bytes(), 0..line.len())?;
        Some(
            words
                .as_slice()
                .iter()
                .map(|place| &line[place.clone()])
                .collect(),
        )
    }

    #[test]
    fn arguments_stand_between_verb_and_line_end() {
        for (line, expected) in [
            ("PUB a 1\r", 4..7),
            ("PUB \t a 1", 6..9),
            ("PUB \r", 4..4),
            ("PUB", 3..3),
        ] {
            assert_eq!(
                argument_range(line.as_bytes(), Verb::Pub),
                expected,
                "{line:?}"
            );
        }
    }

    #[test]
    fn words_stand_between_runs_of_blanks() {
        assert_eq!(words("a \t b").unwrap(), ["a", "b"]);
        assert_eq!(words("a b c d ").unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(words("").unwrap(), [""; 0]);
        assert_eq!(words("a b c d e"), None);
        assert_eq!(words("a\rb"), None);
    }

    #[test]
    fn numbers_are_digits_within_64_bits() {
        assert_eq!(parse_size(b"0"), Some(0));
        assert_eq!(parse_size(b"007"), Some(7));
        assert_eq!(parse_size(b"18446744073709551615"), Some(u64::MAX));
        for digits in ["", "18446744073709551616", "1a", "-1", "+1", " 1", "/", ":"] {
            assert_eq!(parse_size(digits.as_bytes()), None, "{digits:?}");
        }
    }
}
