//! A point in time as the JetStream API writes it.
//!
//! Reading the clock is the caller's work; this type only carries, compares and prints. The text
//! form is Go's `time.RFC3339Nano` in UTC: no fraction when it is zero, else without trailing
//! zeros.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time, in nanoseconds since 1970-01-01 UTC; reaches from 1677 to 2262.
///
/// Go's zero time, `0001-01-01T00:00:00Z`, lies outside that range but is part of the API (first
/// and last time of an empty stream). It is kept as [`Timestamp::ZERO`], whose number is
/// `i64::MIN`: earlier than every other one.
///
/// # Examples
///
/// ```
/// use hitherto_protocol::Timestamp;
///
/// assert_eq!(Timestamp::from_unix_nanos(1_500_000_000).to_string(), "1970-01-01T00:00:01.5Z");
/// assert_eq!(Timestamp::ZERO.to_string(), "0001-01-01T00:00:00Z");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const ZERO_TEXT: &str = "0001-01-01T00:00:00Z";

impl Timestamp {
    /// Go's zero time: "no time". Not 1970; that is [`Timestamp::UNIX_EPOCH`].
    pub const ZERO: Self = Self(i64::MIN);

    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The latest point in time, in the year 2262.
    pub const MAX: Self = Self(i64::MAX);

    /// The point `nanos` after 1970 (before it when negative). `i64::MIN` is [`Timestamp::ZERO`].
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970; `i64::MIN` for [`Timestamp::ZERO`].
    pub const fn unix_nanos(self) -> i64 {
        self.0
    }

    /// Tells whether this is [`Timestamp::ZERO`].
    pub const fn is_zero(self) -> bool {
        self.0 == i64::MIN
    }

    /// The point `duration` later, at most [`Timestamp::MAX`]. The zero time stays what it is.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        if self.is_zero() {
            return self;
        }
        let nanos = i128::from(self.0).saturating_add(nanos_of(duration));
        Self(i64::try_from(nanos).unwrap_or(i64::MAX))
    }

    /// The point `duration` earlier, at least the first one after the zero time. The zero time
    /// stays what it is.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        if self.is_zero() {
            return self;
        }
        let nanos = i128::from(self.0).saturating_sub(nanos_of(duration));
        Self(i64::try_from(nanos).unwrap_or(i64::MIN).max(i64::MIN + 1))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        let nanos = i128::from(self.0) - i128::from(earlier.0);
        u64::try_from(nanos).map_or(Duration::ZERO, Duration::from_nanos)
    }
}

fn nanos_of(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

/// The default is [`Timestamp::ZERO`].
impl Default for Timestamp {
    fn default() -> Self {
        Self::ZERO
    }
}

/// Times outside the range become its nearest end.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::UNIX_EPOCH.saturating_add(after),
            Err(error) => Self::UNIX_EPOCH.saturating_sub(error.duration()),
        }
    }
}

/// [`Timestamp::ZERO`] becomes 1970: a `SystemTime` has no "no time".
impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        if time.is_zero() {
            return UNIX_EPOCH;
        }
        let distance = Duration::from_nanos(time.0.unsigned_abs());
        if time.0 < 0 {
            UNIX_EPOCH - distance
        } else {
            UNIX_EPOCH + distance
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str(ZERO_TEXT);
        }
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0))
            .expect("the years 1677 to 2262 are within the calendar");
        let (date, time) = (at.date(), at.time());
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        write_fraction(f, time.nanosecond())?;
        f.write_str("Z")
    }
}

fn write_fraction(f: &mut fmt::Formatter<'_>, nanos: u32) -> fmt::Result {
    if nanos == 0 {
        return Ok(());
    }
    let mut digits = 9_usize;
    let mut fraction = nanos;
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        digits -= 1;
    }
    write!(f, ".{fraction:0digits$}")
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads RFC 3339 with any offset; digits of the fraction beyond the ninth are dropped.
impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let parsed =
            OffsetDateTime::parse(text, &Rfc3339).map_err(|source| TimestampError::Malformed {
                text: text.into(),
                source,
            })?;
        if parsed.unix_timestamp() == ZERO_UNIX_SECONDS && parsed.nanosecond() == 0 {
            return Ok(Self::ZERO);
        }
        match i64::try_from(parsed.unix_timestamp_nanos()) {
            Ok(nanos) if nanos != i64::MIN => Ok(Self(nanos)),
            Ok(_) | Err(_) => Err(TimestampError::OutOfRange { text: text.into() }),
        }
    }
}

/// The zero time of Go in seconds since 1970.
const ZERO_UNIX_SECONDS: i64 = -62_135_596_800;

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Says why a text is not a [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// The text is not RFC 3339.
    #[error("time {text:?} is not RFC 3339")]
    Malformed {
        /// What was read.
        text: Box<str>,
        /// What the parser says.
        source: time::error::Parse,
    },
    /// The time lies before 1677 or after 2262 and is not the zero time.
    #[error("time {text:?} is outside the years 1678 to 2261")]
    OutOfRange {
        /// What was read.
        text: Box<str>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(nanos: i64) -> String {
        Timestamp::from_unix_nanos(nanos).to_string()
    }

    #[test]
    fn fractions_are_written_like_go() {
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(text(120_000_000), "1970-01-01T00:00:00.12Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(
            text(1_787_500_800_123_456_789),
            "2026-08-23T16:00:00.123456789Z"
        );
        assert_eq!(text(i64::MAX), "2262-04-11T23:47:16.854775807Z");
        assert_eq!(text(i64::MIN + 1), "1677-09-21T00:12:43.145224193Z");
    }

    #[test]
    fn the_zero_time_makes_the_round_trip() {
        assert_eq!(Timestamp::default(), Timestamp::ZERO);
        assert_eq!(Timestamp::ZERO.to_string(), ZERO_TEXT);
        assert_eq!(ZERO_TEXT.parse::<Timestamp>().unwrap(), Timestamp::ZERO);
        assert!(Timestamp::ZERO < Timestamp::from_unix_nanos(i64::MIN + 1));
    }

    #[test]
    fn offsets_and_long_fractions_are_read() {
        let utc: Timestamp = "2026-08-23T16:00:00.123456789Z".parse().unwrap();
        assert_eq!(
            "2026-08-23T18:00:00.123456789+02:00"
                .parse::<Timestamp>()
                .unwrap(),
            utc
        );
        assert_eq!(
            "2026-08-23T16:00:00.1234567899Z"
                .parse::<Timestamp>()
                .unwrap(),
            utc
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for text in ["", "today", "2026-08-23", "2026-13-01T00:00:00Z"] {
            let error = text.parse::<Timestamp>().unwrap_err();
            assert!(matches!(error, TimestampError::Malformed { .. }), "{text}");
        }
        for text in ["0002-01-01T00:00:00Z", "2300-01-01T00:00:00Z"] {
            let error = text.parse::<Timestamp>().unwrap_err();
            assert!(matches!(error, TimestampError::OutOfRange { .. }), "{text}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        let day = Duration::from_secs(86_400);
        assert_eq!(Timestamp::MAX.saturating_add(day), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.saturating_add(day), Timestamp::ZERO);
        let first = Timestamp::from_unix_nanos(i64::MIN + 1);
        assert_eq!(first.saturating_sub(day), first);
        assert_eq!(
            Timestamp::UNIX_EPOCH.saturating_add(Duration::MAX),
            Timestamp::MAX
        );
        assert_eq!(
            Timestamp::MAX.saturating_duration_since(Timestamp::ZERO),
            Duration::from_nanos(u64::MAX)
        );
        assert_eq!(
            Timestamp::ZERO.saturating_duration_since(Timestamp::MAX),
            Duration::ZERO
        );
    }

    #[test]
    fn system_time_makes_the_round_trip() {
        for nanos in [0, 1, -1, 1_787_500_800_123_456_789, i64::MAX, i64::MIN + 1] {
            let time = Timestamp::from_unix_nanos(nanos);
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
    }

    #[test]
    fn json_is_the_text() {
        let time = Timestamp::from_unix_nanos(1_500_000_000);
        assert_eq!(
            serde_json::to_string(&time).unwrap(),
            "\"1970-01-01T00:00:01.5Z\""
        );
        assert_eq!(
            serde_json::from_str::<Timestamp>("\"1970-01-01T00:00:01.5Z\"").unwrap(),
            time
        );
    }
}
