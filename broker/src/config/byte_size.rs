//! Numbers with a suffix for their size, as people write bytes.

use std::str::FromStr;

/// A number of bytes, written as in the configuration file: `1048576`, `64MiB`, `2gb`.
///
/// A suffix `k` is 1,000 and `kb`, `ki`, `kib` are 1,024, as in nats-server; `m`, `g`, `t`, `p`, `e` go on from there.
/// Capital letters mean the same.
///
/// ```
/// use hitherto_broker::config::ByteSize;
///
/// assert_eq!("64MiB".parse(), Ok(ByteSize(64 * 1024 * 1024)));
/// assert!("much".parse::<ByteSize>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Something is no [`ByteSize`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no number of bytes; write for example 1048576, 512kb or 64MiB")]
pub struct NoByteSize {
    /// What was written.
    pub text: String,
}

impl FromStr for ByteSize {
    type Err = NoByteSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = sized(text).and_then(|number| u64::try_from(number).ok());
        let no_size = || NoByteSize {
            text: text.to_owned(),
        };
        bytes.map(Self).ok_or_else(no_size)
    }
}

/// An integer with an optional suffix: `k` is 1,000 and `kb`, `ki`, `kib` are 1,024, and so on.
pub(super) fn sized(word: &str) -> Option<i64> {
    let digits = word
        .find(|c: char| !c.is_ascii_digit() && c != '-')
        .unwrap_or(word.len());
    let (number, suffix) = word.split_at(digits);
    let number: i64 = number.parse().ok()?;
    let suffix = suffix.to_ascii_lowercase();
    let mut letters = suffix.chars();
    let Some(letter) = letters.next() else {
        return Some(number);
    };
    let power = u32::try_from("kmgtpe".find(letter)?).ok()? + 1;
    let base: i64 = match letters.as_str() {
        "" => 1_000,
        "b" | "i" | "ib" => 1_024,
        _ => return None,
    };
    number.checked_mul(base.checked_pow(power)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_what_is_none_is_named() {
        let size = |text: &str| text.parse::<ByteSize>().map(|size| size.0);
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("3k"), Ok(3_000));
        assert_eq!(size("3kb"), Ok(3_072));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        for text in ["", "-1", "1.5kb", "1kbb", "kb", "10e", "1 kb"] {
            let error = size(text).unwrap_err().to_string();
            let begin = format!("{text:?} is no number of bytes; write for example");
            assert!(error.starts_with(&begin), "{error}");
        }
    }
}
