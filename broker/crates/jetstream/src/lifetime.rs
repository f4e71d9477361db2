//! How long one message stays, as its headers say (ADR-43).

use std::time::Duration;

use hitherto_protocol::{Headers, Timestamp, parse_go_duration};

/// The header that says how long a message stays.
pub(crate) const TTL: &str = "Nats-TTL";

/// The header of a message that stands for others which have gone.
pub(crate) const MARKER_REASON: &str = "Nats-Marker-Reason";

/// The shortest lifetime.
const TTL_MIN: Duration = Duration::from_secs(1);

/// The lifetime of a message whose headers name one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// When it goes; `None` keeps it, also beyond the `max_age` of its stream.
    pub expires: Option<Timestamp>,
    /// It stands for others that have gone, and leaves no such message behind itself.
    pub is_marker: bool,
}

impl Lifetime {
    /// The lifetime of a message taken in at `at` with this header block, which was checked then;
    /// `None` when it names none.
    pub fn read(headers: &[u8], at: Timestamp) -> Option<Self> {
        let ttl = parse_ttl(Headers::peek(headers, TTL)?).ok().flatten()?;
        Some(Self {
            expires: ttl.map(|ttl| at.saturating_add(ttl)),
            is_marker: Headers::peek(headers, MARKER_REASON).is_some_and(|r| !r.is_empty()),
        })
    }
}

/// A value of `Nats-TTL` that cannot be read, or is below one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidTtl;

/// Reads the value of `Nats-TTL`: `None` for an empty one, `Some(None)` for `never`. A number
/// without unit counts seconds.
///
/// Differs from nats-server, which drops the part below a second.
pub(crate) fn parse_ttl(text: &str) -> Result<Option<Option<Duration>>, InvalidTtl> {
    let ttl = match text {
        "" => return Ok(None),
        text if text.eq_ignore_ascii_case("never") => return Ok(Some(None)),
        text => match text.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => parse_go_duration(text).ok_or(InvalidTtl)?,
        },
    };
    match ttl {
        ttl if ttl < TTL_MIN => Err(InvalidTtl),
        ttl => Ok(Some(Some(ttl))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_and_refused_as_on_the_real_server() {
        for (text, seconds) in [("1", 1), ("1s", 1), ("1h2m", 3_720), ("100000", 100_000)] {
            let ttl = Duration::from_secs(seconds);
            assert_eq!(parse_ttl(text), Ok(Some(Some(ttl))), "{text}");
        }
        assert_eq!(parse_ttl("never"), Ok(Some(None)));
        assert_eq!(parse_ttl("NEVER"), Ok(Some(None)));
        assert_eq!(parse_ttl(""), Ok(None));
        for text in ["0", "-1", "500ms", "999ms", "-5s", "x", "never ", "1 s"] {
            assert_eq!(parse_ttl(text), Err(InvalidTtl), "{text}");
        }
    }

    #[test]
    fn a_lifetime_counts_from_when_the_message_came() {
        let at = Timestamp::from_unix_nanos(5);
        let read =
            |text: &str| Lifetime::read(format!("NATS/1.0\r\n{text}\r\n\r\n").as_bytes(), at);
        let expires = Some(at.saturating_add(Duration::from_secs(2)));
        assert_eq!(
            read("Nats-TTL: 2"),
            Some(Lifetime {
                expires,
                is_marker: false
            })
        );
        assert_eq!(
            read("Nats-Marker-Reason: MaxAge\r\nNats-TTL: 2s"),
            Some(Lifetime {
                expires,
                is_marker: true
            })
        );
        assert_eq!(
            read("Nats-TTL: never").map(|lifetime| lifetime.expires),
            Some(None)
        );
        assert_eq!(read("Nats-TTL-Other: 2"), None);
    }
}
