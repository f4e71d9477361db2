//! Identifiers: aggregate ids (one subject token each), event ids, command ids.
//!
//! An aggregate id becomes a token of an event's subject, so it is checked when it is made, not
//! when it is sent. [`id!`](crate::id) declares a checked newtype per aggregate.

use std::fmt::{self, Debug, Display};
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest id, in bytes.
pub const ID_BYTES_MAX: usize = 128;

/// An identifier that is exactly one subject token.
///
/// Implement it through [`id!`](crate::id); a hand-written implementation must uphold that
/// [`as_token`](Self::as_token) passes [`check_token`] and that
/// `from_token(id.as_token())` gives the id back.
pub trait AggregateId: Clone + Eq + Ord + Hash + Debug + Display + Send + Sync + 'static {
    /// Returns the id as it stands in the subject.
    fn as_token(&self) -> &str;

    /// Reads an id back from a subject token.
    ///
    /// # Errors
    /// [`InvalidId`] when the text is not one token, or not an id of this kind.
    fn from_token(token: &str) -> Result<Self, InvalidId>;
}

/// The text cannot be an id; the message says why and shows the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("id {text:?} is not one subject token: {reason}")]
pub struct InvalidId {
    text: String,
    reason: &'static str,
}

impl InvalidId {
    /// Makes the error for a hand-written [`AggregateId`].
    #[must_use]
    pub fn new(text: &str, reason: &'static str) -> Self {
        let text = text.chars().take(ID_BYTES_MAX).collect();
        Self { text, reason }
    }
}

/// Checks that `text` is one token of a subject and no wildcard.
///
/// # Errors
/// [`InvalidId`] when it is empty, longer than [`ID_BYTES_MAX`], starts with `$`, or holds a
/// dot, a wildcard, white space or a control character.
pub fn check_token(text: &str) -> Result<(), InvalidId> {
    let reason = if text.is_empty() {
        "it is empty"
    } else if text.len() > ID_BYTES_MAX {
        "it is longer than 128 bytes"
    } else if text.starts_with('$') {
        "a leading `$` is reserved"
    } else if text.contains('.') {
        "a `.` would start another token"
    } else if text.contains(['*', '>']) {
        "`*` and `>` are wildcards"
    } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        "it holds white space or a control character"
    } else {
        return Ok(());
    };
    Err(InvalidId::new(text, reason))
}

/// Declares identifier newtypes that are valid subject tokens.
///
/// Each type gets `new` (checked), `random` (UUID version 7), `as_str`, `Display`, `FromStr`,
/// serde support (checked when read), [`AggregateId`] and [`RowKey`](crate::RowKey).
///
/// # Examples
/// ```
/// hitherto::id! {
///     /// Names an order.
///     pub struct OrderId;
///     /// Names a customer.
///     pub struct CustomerId;
/// }
///
/// let id = OrderId::new("o-17")?;
/// assert_eq!(id.as_str(), "o-17");
/// assert!(OrderId::new("o.17").is_err());
/// # Ok::<(), hitherto::InvalidId>(())
/// ```
#[macro_export]
macro_rules! id {
    ($($(#[$attribute:meta])* $visibility:vis struct $name:ident;)+) => {$(
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility struct $name(::std::sync::Arc<str>);

        impl $name {
            /// Makes an id from text.
            ///
            /// # Errors
            /// `InvalidId` when the text is not one subject token.
            $visibility fn new(
                text: impl ::std::convert::AsRef<str>,
            ) -> ::std::result::Result<Self, $crate::InvalidId> {
                let text = text.as_ref();
                $crate::check_token(text)?;
                ::std::result::Result::Ok(Self(::std::sync::Arc::from(text)))
            }

            /// Makes a new id that nobody else has (UUID version 7).
            #[must_use]
            #[allow(dead_code, reason = "not every kind of id is made here")]
            $visibility fn random() -> Self {
                Self(::std::sync::Arc::from($crate::__private::random_id()))
            }

            /// Returns the text of the id.
            #[must_use]
            #[allow(dead_code, reason = "not every kind of id is read as text")]
            $visibility fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl $crate::AggregateId for $name {
            fn as_token(&self) -> &str {
                &self.0
            }

            fn from_token(token: &str) -> ::std::result::Result<Self, $crate::InvalidId> {
                Self::new(token)
            }
        }

        impl $crate::RowKey for $name {
            fn encode(&self) -> ::std::vec::Vec<u8> {
                self.0.as_bytes().to_vec()
            }

            fn decode(bytes: &[u8]) -> ::std::option::Option<Self> {
                Self::new(::std::str::from_utf8(bytes).ok()?).ok()
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::InvalidId;

            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl $crate::__private::serde::Serialize for $name {
            fn serialize<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> $crate::__private::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                let text = <::std::string::String as $crate::__private::serde::Deserialize>
                    ::deserialize(deserializer)?;
                Self::new(text).map_err($crate::__private::serde::de::Error::custom)
            }
        }
    )+};
}

crate::id! {
    /// An aggregate id of no particular kind: what an event type has that names no id type.
    pub struct Id;
}

/// Names one stored event for ever (`Nats-Msg-Id`); the broker refuses to store it twice within
/// the stream's duplicate window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Arc<str>);

impl EventId {
    /// Makes an id that nobody else has (UUID version 7).
    #[must_use]
    pub fn random() -> Self {
        Self(Arc::from(random_id()))
    }

    /// Returns the text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_stored(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one command, chosen by whoever sends it; the same id on the same aggregate takes effect
/// once, however often and however much later it is sent again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(Arc<str>);

impl CommandId {
    /// Makes a command id from text, for example from an `Idempotency-Key`.
    ///
    /// # Errors
    /// [`InvalidCommandId`] when the text is empty, longer than [`ID_BYTES_MAX`], or holds
    /// anything but visible ASCII (it travels in a header).
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidCommandId> {
        let text = text.as_ref();
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > ID_BYTES_MAX || !visible {
            let text = text.chars().take(ID_BYTES_MAX).collect();
            return Err(InvalidCommandId { text });
        }
        Ok(Self(Arc::from(text)))
    }

    /// Makes an id that nobody else has (UUID version 7).
    #[must_use]
    pub fn random() -> Self {
        Self(Arc::from(random_id()))
    }

    /// Derives the command id a consumer uses for what it causes: the same event handled again
    /// gives the same id. `step` tells several commands of one handler apart.
    #[must_use]
    pub fn derived(durable: &str, event: &EventId, step: &str) -> Self {
        let mut name = Vec::new();
        for part in [durable, event.as_str(), step] {
            name.extend_from_slice(part.as_bytes());
            name.push(0);
        }
        Self(Arc::from(format!(
            "{:032x}",
            crate::digest::fnv1a_128(&name)
        )))
    }

    /// Returns the text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_stored(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for CommandId {
    type Err = InvalidCommandId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

/// The text cannot be a command id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("command id {text:?} must be 1 to 128 visible ASCII characters")]
pub struct InvalidCommandId {
    text: String,
}

/// A place in a context's stream: the stream sequence of an event, counted from 1.
///
/// `Position(0)` is before the first event. It doubles as an aggregate's version: the position
/// of its last event.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position(pub u64);

impl Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

/// Makes text that nobody else has (UUID version 7).
#[must_use]
pub fn random_id() -> String {
    Uuid::now_v7().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_exactly_one_token() {
        for good in ["o-17", "Ü", "018f", "a/b", "a$"] {
            assert!(check_token(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "*", "a>", "a b", "a\n", "$x", &"x".repeat(129)] {
            assert!(check_token(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_id_read_from_json_is_checked() {
        assert!(serde_json::from_str::<Id>("\"ok\"").is_ok());
        let error = serde_json::from_str::<Id>("\"a.b\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("would start another token"), "{error}");
    }

    #[test]
    fn derived_command_ids_repeat_and_differ_by_part() {
        let event = EventId::random();
        let id = CommandId::derived("charge", &event, "pay");
        assert_eq!(id, CommandId::derived("charge", &event, "pay"));
        assert_ne!(id, CommandId::derived("charge", &event, "ship"));
        assert_ne!(id, CommandId::derived("other", &event, "pay"));
        assert!(CommandId::new(id.as_str()).is_ok());
    }

    #[test]
    fn a_command_id_must_fit_a_header() {
        assert!(CommandId::new("a1").is_ok());
        for bad in ["", "a b", "a\r\nX: y", &"x".repeat(129)] {
            assert!(CommandId::new(bad).is_err(), "{bad:?}");
        }
    }
}
