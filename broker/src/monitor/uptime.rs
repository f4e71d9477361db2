//! How long a node or a client has been there, as nats-server writes it.

use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

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
