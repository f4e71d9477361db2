//! The range of tokens by which competing consumers keep messages in order.

use hitherto_protocol::Subject;

/// The metadata key that switches it on: `"2"` or `"1-3"`, tokens counted from 1.
pub const ORDERED_BY: &str = "hitherto.ordered_by";

/// Some consecutive tokens of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenRange {
    /// From 1.
    first: usize,
    /// At least `first`.
    last: usize,
}

impl TokenRange {
    /// Reads `2` or `1-3`; `None` for everything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
        };
        (range.first >= 1 && range.last >= range.first).then_some(range)
    }

    /// The tokens of a subject, with the dots between them; fewer where it has fewer.
    pub(crate) fn of(self, subject: &Subject) -> &str {
        self.of_text(subject.as_str())
    }

    /// The same of a subject's text.
    pub(crate) fn of_text(self, subject: &str) -> &str {
        let dots = || subject.match_indices('.').map(|(at, _)| at);
        let from = match self.first {
            1 => Some(0),
            first => dots().nth(first - 2).map(|at| at + 1),
        };
        let to = dots().nth(self.last - 1).unwrap_or(subject.len());
        from.map_or("", |from| &subject[from..to])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_takes_its_tokens() {
        let of = |range: &str| {
            let range = TokenRange::parse(range).unwrap();
            range.of_text("orders.order.42.placed").to_owned()
        };
        assert_eq!(of("3"), "42");
        assert_eq!(of("1-3"), "orders.order.42");
        assert_eq!(of("1"), "orders");
        assert_eq!(of("4-9"), "placed");
        assert_eq!(of("5"), "");
    }

    #[test]
    fn everything_else_is_no_range() {
        for text in ["", "0", "x", "3-2", "1-", "-1", "0-2"] {
            assert_eq!(TokenRange::parse(text), None, "{text}");
        }
    }
}
