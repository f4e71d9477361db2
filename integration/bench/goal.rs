//! What a scenario is meant to reach: the table of goals this broker is built to.

use std::fmt;

use hitherto_integration::Kind;

/// One goal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    /// The figure it is about.
    pub(crate) figure: &'static str,
    pub(crate) bound: Bound,
}

/// How good our figure must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// So many times the other's, or more.
    AtLeast(f64, Kind),
    /// So many times the other's, or less.
    AtMost(f64, Kind),
    /// So many milliseconds, or less, whatever the other does.
    MillisAtMost(f64),
}

impl Goal {
    pub(crate) const fn at_least(times: f64, beside: Kind) -> Self {
        Self {
            figure: "rate",
            bound: Bound::AtLeast(times, beside),
        }
    }

    pub(crate) const fn at_most(figure: &'static str, times: f64) -> Self {
        Self {
            figure,
            bound: Bound::AtMost(times, Kind::NatsServer),
        }
    }

    pub(crate) const fn millis_at_most(figure: &'static str, millis: f64) -> Self {
        Self {
            figure,
            bound: Bound::MillisAtMost(millis),
        }
    }
}

impl Bound {
    /// Whom it is compared with; `None` when with nobody.
    pub(crate) fn beside(self) -> Option<Kind> {
        match self {
            Self::AtLeast(_, kind) | Self::AtMost(_, kind) => Some(kind),
            Self::MillisAtMost(_) => None,
        }
    }

    /// Tells whether our value meets it; `ratio` is ours beside the other's.
    pub(crate) fn is_met(self, ours: f64, ratio: f64) -> bool {
        match self {
            Self::AtLeast(times, _) => ratio >= times,
            Self::AtMost(times, _) => ratio <= times,
            Self::MillisAtMost(millis) => ours <= millis,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(times, kind) => write!(f, "at least {times} x {kind}"),
            Self::AtMost(times, kind) => write!(f, "at most {times} x {kind}"),
            Self::MillisAtMost(millis) => write!(f, "at most {millis} ms"),
        }
    }
}
