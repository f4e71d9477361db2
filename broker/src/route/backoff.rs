//! How long to wait before the next try to connect.

use std::time::Duration;

use fastrand::Rng;

/// The first wait: 100 ms at most.
const FIRST_MAX: Duration = Duration::from_millis(100);

/// The longest wait: 5 s at most.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Waits that double, each shortened by chance to between half and all of it, so that nodes that lost each
/// other at the same moment do not try at the same moment for ever.
#[derive(Debug)]
pub(super) struct Backoff {
    next_max: Duration,
    rng: Rng,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            next_max: FIRST_MAX,
            rng: Rng::with_seed(seed),
        }
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next_max.mul_f64(0.5 + self.rng.f64() / 2.0);
        self.next_max = (self.next_max * 2).min(WAIT_MAX);
        wait
    }

    /// It went well: begin with short waits again.
    pub(super) fn reset(&mut self) {
        self.next_max = FIRST_MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_again() {
        let mut backoff = Backoff::new(1);
        let mut max = FIRST_MAX;
        for _ in 0..12 {
            let wait = backoff.next();
            assert!(wait >= max / 2 && wait <= max, "{wait:?} of {max:?}");
            max = (max * 2).min(WAIT_MAX);
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST_MAX);
    }

    #[test]
    fn two_nodes_wait_for_different_times() {
        assert_ne!(Backoff::new(1).next(), Backoff::new(2).next());
    }
}
