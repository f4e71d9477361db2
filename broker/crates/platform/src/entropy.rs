//! Randomness as a trait, so that one seed replays a whole run.
//!
//! Used for ids and generations; nothing here is offered as key material.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use fastrand::Rng;

/// Yields random bytes.
pub trait Entropy: Send + Sync + Debug {
    /// Fills `buf` with random bytes.
    fn fill(&self, buf: &mut [u8]);

    /// Returns a random number.
    fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The random source of the operating system.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl SystemEntropy {
    /// Creates a handle to the source of the operating system.
    pub fn new() -> Self {
        Self
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, buf: &mut [u8]) {
        // Ids made without randomness would collide, so there is no way on without it.
        getrandom::fill(buf).expect("the operating system provides random bytes");
    }
}

/// A reproducible source: the same seed yields the same bytes.
#[derive(Debug)]
pub struct SeededEntropy {
    rng: Mutex<Rng>,
}

impl SeededEntropy {
    /// Creates a source from a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Mutex::new(Rng::with_seed(seed)),
        }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buf: &mut [u8]) {
        self.rng
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill(buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_yields_same_bytes() {
        let (one, two, other) = (
            SeededEntropy::new(7),
            SeededEntropy::new(7),
            SeededEntropy::new(8),
        );
        let first = one.u64();
        assert_eq!(first, two.u64());
        assert_ne!(first, other.u64());
        assert_ne!(first, one.u64());
    }

    #[test]
    fn system_entropy_differs_between_calls() {
        assert_ne!(SystemEntropy::new().u64(), SystemEntropy::new().u64());
    }
}
