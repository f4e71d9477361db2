//! Which names streams and consumers may have.
//!
//! A name is one token of a subject and one name of a file, so it holds neither dots and wildcards
//! nor white space and path separators.

/// The longest name, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameFault {
    Empty,
    BadCharacter,
    TooLong,
}

/// Checks a name of a stream or a consumer.
pub(super) fn check_name(name: &str) -> Result<(), NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if name.chars().any(is_forbidden) {
        return Err(NameFault::BadCharacter);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameFault::TooLong);
    }
    Ok(())
}

fn is_forbidden(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '.' | '*' | '>' | '/' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_token_and_one_file_name() {
        for good in ["A", "orders-2", "naïve", &"x".repeat(255)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        assert_eq!(check_name(""), Err(NameFault::Empty));
        assert_eq!(check_name(&"x".repeat(256)), Err(NameFault::TooLong));
        for bad in ["a b", "a.b", "*", ">", "a/b", "a\\b", "a\tb", "a\0"] {
            assert_eq!(check_name(bad), Err(NameFault::BadCharacter), "{bad}");
        }
    }
}
