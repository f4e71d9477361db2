//! Business time: when something happened according to whoever sent the command.
//!
//! It is data of the command, never read from a clock, so that deciding twice gives the same
//! event. When the broker stored an event stands in the event's envelope.

use std::fmt::{self, Display};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment, written as RFC 3339 (`2026-03-02T08:15:30Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(OffsetDateTime);

impl Moment {
    /// Reads RFC 3339 text.
    ///
    /// # Errors
    /// When the text is not a date and time with an offset.
    pub fn parse(text: &str) -> Result<Self, time::error::Parse> {
        OffsetDateTime::parse(text, &Rfc3339).map(Self)
    }

    /// Returns the moment this much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.format(&Rfc3339).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| {
            de::Error::custom(format!(
                "{text:?} is not an RFC 3339 date and time: {error}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_moment_are_the_same_thing() {
        let text = "2026-03-02T08:15:30Z";
        let moment = Moment::parse(text).unwrap();
        assert_eq!(moment.to_string(), text);
        assert_eq!(serde_json::to_string(&moment).unwrap(), format!("{text:?}"));
        assert_eq!(
            serde_json::from_str::<Moment>(&format!("{text:?}")).unwrap(),
            moment
        );
        assert!(Moment::parse("2026-03-02").is_err());
    }
}
