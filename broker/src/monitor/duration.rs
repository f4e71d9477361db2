//! Durations as Go and nats-server write them.

use std::fmt::Write as _;
use std::time::Duration;

/// As `time.Duration.String` in Go: `1h2m3.5s`, `429µs`, `0s`.
pub(super) fn go_text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => with_fraction(nanos, 1_000, "µs"),
        1_000_000..1_000_000_000 => with_fraction(nanos, 1_000_000, "ms"),
        _ => {
            let (hours, rest) = (duration.as_secs() / 3600, duration.as_secs() % 3600);
            let minutes = rest / 60;
            let mut text = String::new();
            if hours > 0 {
                write!(text, "{hours}h").expect("a text grows");
            }
            if hours > 0 || minutes > 0 {
                write!(text, "{minutes}m").expect("a text grows");
            }
            text + &with_fraction(nanos % 60_000_000_000, 1_000_000_000, "s")
        }
    }
}

/// As `myUptime` in nats-server 2.15 `server/monitor.go`: `1y2d3h4m5s`, beginning with the largest unit
/// that is not 0.
pub(super) fn uptime_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / (365 * 86_400), 'y'),
        (seconds / 86_400 % 365, 'd'),
        (seconds / 3_600 % 24, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ];
    let first = parts.iter().position(|(count, _)| *count > 0);
    let shown = parts.iter().skip(first.unwrap_or(parts.len() - 1));
    shown.fold(String::new(), |text, (count, unit)| {
        format!("{text}{count}{unit}")
    })
}

/// A number of units with its fraction, without zeros at the end.
fn with_fraction(nanos: u128, unit: u128, name: &str) -> String {
    let digits = unit.ilog10() as usize;
    let fraction = format!("{:0digits$}", nanos % unit);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{}{dot}{fraction}{name}", nanos / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let text = |nanos| go_text(Duration::from_nanos(nanos));
        assert_eq!(text(0), "0s");
        assert_eq!(text(999), "999ns");
        assert_eq!(text(429_000), "429µs");
        assert_eq!(text(5_036_465), "5.036465ms");
        assert_eq!(text(1_500_000_000), "1.5s");
        assert_eq!(text(60_000_000_000), "1m0s");
        assert_eq!(text(3_723_000_000_000), "1h2m3s");
    }

    #[test]
    fn uptimes_begin_with_the_largest_unit() {
        let text = |seconds| uptime_text(Duration::from_secs(seconds));
        assert_eq!(text(0), "0s");
        assert_eq!(text(62), "1m2s");
        assert_eq!(text(3_600), "1h0m0s");
        assert_eq!(text(90_061), "1d1h1m1s");
        assert_eq!(text(366 * 86_400), "1y1d0h0m0s");
    }
}
