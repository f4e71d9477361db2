//! The subject of one message, and the errors that subjects and filters share.
//!
//! A subject names a message; [`SubjectFilter`](crate::SubjectFilter) selects messages. Rules: wire
//! reference of NATS (docs.nats.io, "Subject-Based Messaging") and `IsValidSubject` in nats-server
//! 2.15 `server/sublist.go`.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Names one message: tokens separated by dots, as in `orders.order.42.placed`.
///
/// Every token has at least one byte and holds no whitespace. A wildcard token (`*` or `>`) is
/// allowed and stands for itself, as in a PUB of nats-server. Cloning shares the bytes.
///
/// # Examples
///
/// ```
/// use hitherto_protocol::Subject;
///
/// let subject = Subject::new("orders.order.42.placed")?;
/// assert_eq!(subject.tokens().nth(2), Some("42"));
/// assert!(Subject::new("orders..placed").is_err());
/// # Ok::<(), hitherto_protocol::SubjectError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(ByteString);

impl Subject {
    /// Checks `subject` and takes it over; no copy is made of a `String`, `ByteString` or
    /// `&'static` one given as `ByteString::from_static`.
    ///
    /// # Errors
    ///
    /// When a token is empty or holds whitespace (space, tab, CR, LF, form feed).
    pub fn new(subject: impl Into<ByteString>) -> Result<Self, SubjectError> {
        let subject = subject.into();
        match check_tokens(subject.as_ref()) {
            Ok(()) => Ok(Self(subject)),
            Err(kind) => Err(SubjectError::new(kind, subject.as_ref())),
        }
    }

    /// Checks bytes from the wire and takes them over without copying.
    ///
    /// # Errors
    ///
    /// As [`Subject::new`], and when the bytes are not UTF-8.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, SubjectError> {
        Self::new(text_from_bytes(bytes)?)
    }

    /// The text of the subject.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// The bytes of the subject, shared with it.
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// A copy with memory of its own, for what outlives the message it came with: a subject taken
    /// from the wire keeps the whole read buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(ByteString::from(self.as_str()))
    }

    /// The parts between the dots; at least one, none of them empty.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('.')
    }

    /// Tells whether a token is `*` or `>`. JetStream refuses to store such a subject.
    pub fn has_wildcard(&self) -> bool {
        self.tokens().any(is_wildcard)
    }
}

/// Tells whether `token` is one of the wildcards; `*` inside a longer token is an ordinary
/// character.
pub(crate) fn is_wildcard(token: &str) -> bool {
    token == "*" || token == ">"
}

/// The rules that subjects and filters share: no empty token, no whitespace.
pub(crate) fn check_tokens(subject: &str) -> Result<(), SubjectErrorKind> {
    if subject.is_empty() {
        return Err(SubjectErrorKind::Empty);
    }
    let mut previous = b'.';
    for &byte in subject.as_bytes() {
        match byte {
            b'.' if previous == b'.' => return Err(SubjectErrorKind::EmptyToken),
            b' ' | b'\t' | b'\r' | b'\n' | b'\x0c' => return Err(SubjectErrorKind::Whitespace),
            _ => previous = byte,
        }
    }
    if previous == b'.' {
        Err(SubjectErrorKind::EmptyToken)
    } else {
        Ok(())
    }
}

/// Takes over bytes that must be UTF-8.
pub(crate) fn text_from_bytes(bytes: Bytes) -> Result<ByteString, SubjectError> {
    if std::str::from_utf8(&bytes).is_err() {
        let shown = String::from_utf8_lossy(&bytes);
        return Err(SubjectError::new(SubjectErrorKind::NotUtf8, &shown));
    }
    Ok(ByteString::try_from(bytes).expect("the bytes were found to be UTF-8 just above"))
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl AsRef<str> for Subject {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Subject {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl From<Subject> for ByteString {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}

impl From<Subject> for Bytes {
    fn from(subject: Subject) -> Self {
        subject.0.into_bytes()
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(subject: &str) -> Result<Self, SubjectError> {
        Self::new(subject)
    }
}

impl TryFrom<&str> for Subject {
    type Error = SubjectError;

    fn try_from(subject: &str) -> Result<Self, SubjectError> {
        Self::new(subject)
    }
}

impl TryFrom<String> for Subject {
    type Error = SubjectError;

    fn try_from(subject: String) -> Result<Self, SubjectError> {
        Self::new(subject)
    }
}

impl PartialEq<str> for Subject {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Subject {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Says why a subject or a subject filter is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("subject {subject:?} {kind}")]
pub struct SubjectError {
    kind: SubjectErrorKind,
    subject: Box<str>,
}

impl SubjectError {
    pub(crate) fn new(kind: SubjectErrorKind, subject: &str) -> Self {
        Self {
            kind,
            subject: subject.into(),
        }
    }

    /// The rule that was broken.
    pub fn kind(&self) -> SubjectErrorKind {
        self.kind
    }
}

/// The rules a subject or a subject filter can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectErrorKind {
    /// There is no token at all.
    #[error("is empty")]
    Empty,
    /// Two dots meet, or one stands at an end.
    #[error("has an empty token")]
    EmptyToken,
    /// A space, tab, CR, LF or form feed.
    #[error("holds whitespace")]
    Whitespace,
    /// The bytes are not UTF-8. Differs from nats-server: it carries any bytes; JetStream's JSON
    /// cannot.
    #[error("is not UTF-8")]
    NotUtf8,
    /// A token follows `>` in a filter.
    #[error("has a token after \">\", which must be last")]
    FullWildcardNotLast,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(subject: &str) -> SubjectErrorKind {
        Subject::new(subject).unwrap_err().kind()
    }

    #[test]
    fn ordinary_subjects_are_accepted() {
        for subject in [
            "a",
            "a.b.c",
            "$JS.API.INFO",
            "_INBOX.x1",
            "orders.größe",
            "a*b.c>",
            "a\u{0}b",
        ] {
            assert_eq!(Subject::new(subject).unwrap().as_str(), subject);
        }
    }

    #[test]
    fn wildcard_tokens_are_literal_in_a_subject() {
        let subject = Subject::new("a.>.b").unwrap();
        assert!(subject.has_wildcard());
        assert!(!Subject::new("a*.b>").unwrap().has_wildcard());
    }

    #[test]
    fn empty_tokens_are_refused() {
        assert_eq!(kind(""), SubjectErrorKind::Empty);
        for subject in [".", ".a", "a.", "a..b"] {
            assert_eq!(kind(subject), SubjectErrorKind::EmptyToken, "{subject:?}");
        }
    }

    #[test]
    fn whitespace_is_refused() {
        for subject in ["a b", "a\tb", "a.\r", "a\n", "\u{c}"] {
            assert_eq!(kind(subject), SubjectErrorKind::Whitespace, "{subject:?}");
        }
    }

    #[test]
    fn bytes_must_be_utf8() {
        let error = Subject::from_bytes(Bytes::from_static(b"a.\xff")).unwrap_err();
        assert_eq!(error.kind(), SubjectErrorKind::NotUtf8);
        assert_eq!(
            Subject::from_bytes(Bytes::from_static(b"a.b")).unwrap(),
            "a.b"
        );
    }

    #[test]
    fn an_error_names_the_subject_and_the_rule() {
        let error = Subject::new("a..b").unwrap_err();
        assert_eq!(error.to_string(), "subject \"a..b\" has an empty token");
    }
}
