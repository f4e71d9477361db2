//! Durations in the words of Go, as NATS clients and configuration files write them: `1h30m`, `1.5s`.
//!
//! Form: a sequence of decimal numbers, each with an optional fraction and a unit of `ns`, `us`, `µs`,
//! `ms`, `s`, `m`, `h` (`time.ParseDuration` of Go).

use std::time::Duration;

/// Reads a duration that is not negative; `None` for anything else. `0` needs no unit.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use hitherto_protocol::parse_go_duration;
///
/// assert_eq!(parse_go_duration("1m1.5s"), Some(Duration::from_millis(61_500)));
/// assert_eq!(parse_go_duration("5"), None);
/// ```
pub fn parse_go_duration(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        sum = sum.checked_add(part(number, nanos_of(unit)?)?)?;
        rest = after;
    }
    Some(sum)
}

/// Writes a duration as Go does (`Duration.String`).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use hitherto_protocol::format_go_duration;
///
/// assert_eq!(format_go_duration(Duration::from_millis(90_500)), "1m30.5s");
/// ```
pub fn format_go_duration(duration: Duration) -> String {
    let nanos = duration.subsec_nanos();
    if duration.as_secs() == 0 {
        return match nanos {
            0 => "0s".into(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => with_fraction(u64::from(nanos / 1_000), nanos % 1_000, 3) + "µs",
            _ => with_fraction(u64::from(nanos / 1_000_000), nanos % 1_000_000, 6) + "ms",
        };
    }
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    let seconds = with_fraction(seconds, nanos, 9);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// A number with a fraction of so many digits, without the zeros at its end.
fn with_fraction(whole: u64, fraction: u32, digits: usize) -> String {
    let text = format!("{whole}.{fraction:0digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn nanos_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return None,
    })
}

/// A number with a fraction, times a unit in nanoseconds. Digits below a nanosecond are dropped.
fn part(number: &str, unit: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut nanos = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        nanos = nanos.checked_add(place * u64::from(digit.to_digit(10)?))?;
    }
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("1ns", 1),
            ("1.5us", 1_500),
            ("2µs", 2_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+1h2m3s", 3_723_000_000_000),
            ("0.0000000001s", 0),
        ] {
            let read = parse_go_duration(text);
            assert_eq!(read, Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_by_go() {
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (1_000_000_001, "1.000000001s"),
            (10_000_000_000, "10s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(format_go_duration(duration), text);
            assert_eq!(parse_go_duration(text), Some(duration));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "1",
            "s",
            "-1s",
            "1 s",
            "1d",
            ".s",
            "1..5s",
            "1s2",
            "99999999999h",
            "1e3s",
            "+",
        ] {
            assert_eq!(parse_go_duration(text), None, "{text:?}");
        }
    }
}
