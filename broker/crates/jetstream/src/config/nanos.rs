//! Durations as the JetStream API writes them: nanoseconds in a signed 64-bit integer.
//!
//! Used with `#[serde(with = "nanos")]`. A negative number is refused, a `Duration` cannot hold it;
//! what does not fit when written becomes the largest number, some 292 years.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Writes whole nanoseconds.
pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(from_duration(*value))
}

/// Reads whole nanoseconds.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    into_duration(i64::deserialize(deserializer)?)
}

fn from_duration(value: Duration) -> i64 {
    i64::try_from(value.as_nanos()).unwrap_or(i64::MAX)
}

fn into_duration<E: de::Error>(nanos: i64) -> Result<Duration, E> {
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| E::custom(format_args!("a duration of {nanos} ns is negative")))
}

/// The same for a list.
pub(crate) mod list {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};
    use super::{from_duration, into_duration};

    /// Writes a list of whole nanoseconds.
    pub(crate) fn serialize<S: Serializer>(
        values: &[Duration],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let nanos: Vec<i64> = values.iter().copied().map(from_duration).collect();
        nanos.serialize(serializer)
    }

    /// Reads a list of whole nanoseconds.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Duration>, D::Error> {
        let nanos = Vec::<i64>::deserialize(deserializer)?;
        nanos.into_iter().map(into_duration).collect()
    }
}

/// The same where zero and absent mean "not set".
pub(crate) mod optional {
    use super::{Deserialize, Deserializer, Duration, Serializer};
    use super::{from_duration, into_duration};

    /// Writes whole nanoseconds, zero for `None`.
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(value.map_or(0, from_duration))
    }

    /// Reads whole nanoseconds, zero as `None`.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let value = into_duration(i64::deserialize(deserializer)?)?;
        Ok((!value.is_zero()).then_some(value))
    }
}
