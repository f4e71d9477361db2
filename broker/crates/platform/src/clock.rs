//! Time as a trait: the wall clock for timestamps, a monotonic clock for intervals.
//!
//! Sleeping is not here: timers belong to the runtime that waits on them.

use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Tells the time.
pub trait Clock: Send + Sync + Debug {
    /// Returns the wall-clock time. It may jump, in both directions.
    fn now(&self) -> SystemTime;

    /// Returns the time since an arbitrary fixed point. It never goes back.
    fn monotonic(&self) -> Duration;
}

/// The clock of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Creates a clock whose monotonic time starts at zero now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that moves only when a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    time: Mutex<ManualTime>,
}

#[derive(Debug, Clone, Copy)]
struct ManualTime {
    now: SystemTime,
    monotonic: Duration,
}

impl ManualClock {
    /// Creates a clock that shows `now` and a monotonic time of zero.
    pub fn new(now: SystemTime) -> Self {
        Self {
            time: Mutex::new(ManualTime {
                now,
                monotonic: Duration::ZERO,
            }),
        }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let mut time = self.lock();
        time.now += by;
        time.monotonic += by;
    }

    /// Makes the wall clock jump, forward or back; the monotonic clock is untouched.
    pub fn jump_to(&self, now: SystemTime) {
        self.lock().now = now;
    }

    fn lock(&self) -> MutexGuard<'_, ManualTime> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        self.lock().now
    }

    fn monotonic(&self) -> Duration {
        self.lock().monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH);
        clock.advance(Duration::from_secs(3));
        assert_eq!(clock.monotonic(), Duration::from_secs(3));
        clock.jump_to(SystemTime::UNIX_EPOCH);
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH);
        assert_eq!(
            clock.monotonic(),
            Duration::from_secs(3),
            "a wall-clock jump moves nothing else"
        );
    }
}
