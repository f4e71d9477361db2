//! A subject filter: what a subscription, a stream or a consumer selects.
//!
//! The subject of one message is a [`Subject`](crate::Subject). Finding the matching ones among
//! many filters is the work of [`SubjectTree`](crate::SubjectTree).

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Subject;
use crate::subject::{SubjectError, SubjectErrorKind, check_tokens, is_wildcard, text_from_bytes};

/// Selects subjects: a token `*` stands for any one token, a last token `>` for one or more tokens.
///
/// Cloning shares the bytes.
///
/// # Examples
///
/// ```
/// use hitherto_protocol::SubjectFilter;
///
/// let filter = SubjectFilter::new("orders.*.placed")?;
/// assert!(filter.matches("orders.42.placed"));
/// assert!(!filter.matches("orders.42.paid"));
/// assert!(filter.is_subset_of(&SubjectFilter::new("orders.>")?));
/// # Ok::<(), hitherto_protocol::SubjectError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectFilter {
    text: ByteString,
    /// No token is a wildcard, so that matching is comparing.
    literal: bool,
}

impl SubjectFilter {
    /// Checks `filter` and takes it over.
    ///
    /// # Errors
    ///
    /// When a token is empty or holds whitespace, or when `>` is not the last token.
    pub fn new(filter: impl Into<ByteString>) -> Result<Self, SubjectError> {
        let text = filter.into();
        match check_filter(text.as_ref()) {
            Ok(literal) => Ok(Self { text, literal }),
            Err(kind) => Err(SubjectError::new(kind, text.as_ref())),
        }
    }

    /// Checks bytes from the wire and takes them over without copying.
    ///
    /// # Errors
    ///
    /// As [`SubjectFilter::new`], and when the bytes are not UTF-8.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, SubjectError> {
        Self::new(text_from_bytes(bytes)?)
    }

    /// The text of the filter.
    pub fn as_str(&self) -> &str {
        self.text.as_ref()
    }

    /// The parts between the dots; at least one, none of them empty.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('.')
    }

    /// Tells whether no token is a wildcard: the filter then matches exactly one subject.
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// Tells whether `subject` is selected. A wildcard token in `subject` stands for itself.
    pub fn matches(&self, subject: &str) -> bool {
        if self.literal {
            return self.as_str() == subject;
        }
        let mut tokens = subject.split('.');
        for wanted in self.tokens() {
            match (wanted, tokens.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (literal, Some(token)) if literal == token => {}
                (_, Some(_)) => return false,
            }
        }
        tokens.next().is_none()
    }

    /// Tells whether some subject is selected by both filters.
    pub fn overlaps(&self, other: &Self) -> bool {
        let mut ours = self.tokens();
        let mut theirs = other.tokens();
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
                (Some(our), Some(their)) if our == their => {}
                (Some(_), Some(_)) => return false,
            }
        }
    }

    /// Tells whether every subject this filter selects is selected by `other` too.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        let mut ours = self.tokens();
        for their in other.tokens() {
            match (ours.next(), their) {
                (None, _) => return false,
                (Some(_), ">") => return true,
                (Some(our), "*") if our != ">" => {}
                (Some(our), literal) if our == literal && !is_wildcard(our) => {}
                (Some(_), _) => return false,
            }
        }
        ours.next().is_none()
    }
}

/// Checks the rules of a filter and tells whether it is literal.
fn check_filter(filter: &str) -> Result<bool, SubjectErrorKind> {
    check_tokens(filter)?;
    let mut tokens = filter.split('.');
    let mut literal = true;
    while let Some(token) = tokens.next() {
        literal &= !is_wildcard(token);
        if token == ">" && tokens.next().is_some() {
            return Err(SubjectErrorKind::FullWildcardNotLast);
        }
    }
    Ok(literal)
}

impl fmt::Display for SubjectFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SubjectFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl AsRef<str> for SubjectFilter {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// The filter for the text of a subject. A subject with a wildcard token becomes a filter with a
/// wildcard; fails only for `>` before the end.
impl TryFrom<&Subject> for SubjectFilter {
    type Error = SubjectError;

    fn try_from(subject: &Subject) -> Result<Self, SubjectError> {
        Self::new(ByteString::from(subject.clone()))
    }
}

impl From<SubjectFilter> for ByteString {
    fn from(filter: SubjectFilter) -> Self {
        filter.text
    }
}

impl FromStr for SubjectFilter {
    type Err = SubjectError;

    fn from_str(filter: &str) -> Result<Self, SubjectError> {
        Self::new(filter)
    }
}

impl TryFrom<&str> for SubjectFilter {
    type Error = SubjectError;

    fn try_from(filter: &str) -> Result<Self, SubjectError> {
        Self::new(filter)
    }
}

impl TryFrom<String> for SubjectFilter {
    type Error = SubjectError;

    fn try_from(filter: String) -> Result<Self, SubjectError> {
        Self::new(filter)
    }
}

impl PartialEq<str> for SubjectFilter {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for SubjectFilter {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Serialize for SubjectFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SubjectFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> SubjectFilter {
        SubjectFilter::new(text).unwrap()
    }

    #[test]
    fn a_full_wildcard_must_be_last() {
        for text in [">.a", "a.>.b", "a.>.>"] {
            let error = SubjectFilter::new(text).unwrap_err();
            assert_eq!(
                error.kind(),
                SubjectErrorKind::FullWildcardNotLast,
                "{text}"
            );
        }
        assert!(SubjectFilter::new("a.>").is_ok());
        assert!(SubjectFilter::new("a.>b.c").unwrap().is_literal());
    }

    #[test]
    fn only_whole_tokens_are_wildcards() {
        assert!(filter("a*.b>").is_literal());
        assert!(!filter("a.*").is_literal());
        assert!(filter("a*.b").matches("a*.b"));
        assert!(!filter("a*.b").matches("ax.b"));
    }

    #[test]
    fn matching_follows_the_tokens() {
        for (text, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a", false),
            ("a.>", "a.b.c.d", true),
            (">", "a", true),
            ("*.*.>", "a.b", false),
            ("a.*.c", "a.*.c", true),
            ("a.b.c", "a.*.c", false),
        ] {
            assert_eq!(
                filter(text).matches(subject),
                expected,
                "{text} on {subject}"
            );
        }
    }

    #[test]
    fn overlap_needs_one_common_subject() {
        for (left, right, expected) in [
            ("a.b", "a.b", true),
            ("a.*", "*.b", true),
            ("a.*", "a.*.c", false),
            ("a.>", "*.b", true),
            ("a.>", "a", false),
            (">", "*", true),
            ("a.>", "b.>", false),
            ("a.*.c", "a.b.>", true),
        ] {
            assert_eq!(
                filter(left).overlaps(&filter(right)),
                expected,
                "{left} and {right}"
            );
            assert_eq!(
                filter(right).overlaps(&filter(left)),
                expected,
                "{right} and {left}"
            );
        }
    }

    #[test]
    fn subset_covers_every_subject() {
        for (inner, outer, expected) in [
            ("a.b", "a.*", true),
            ("a.*", "a.b", false),
            ("a.*", "a.>", true),
            ("a.>", "a.*", false),
            ("a.>", "a.>", true),
            ("a.*.>", "a.>", true),
            ("a.>", "a.*.>", false),
            ("*", ">", true),
            (">", "*", false),
            ("*.b", "a.b", false),
            ("a", "a.>", false),
        ] {
            assert_eq!(
                filter(inner).is_subset_of(&filter(outer)),
                expected,
                "{inner} in {outer}"
            );
        }
    }
}
