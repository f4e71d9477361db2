//! Random choices that can be repeated: one seed per test, printed when it fails.

use std::fmt;

/// The environment variable that fixes the seed of every test in the process.
const VARIABLE: &str = "HITHERTO_SEED";

/// A random source that knows its seed; put it into a failure's text through `Display`.
#[derive(Debug, Clone)]
pub struct Seeded {
    seed: u64,
    random: fastrand::Rng,
}

impl Seeded {
    /// Takes the seed from `HITHERTO_SEED`, or a fresh one.
    ///
    /// # Panics
    ///
    /// When the variable is set and is no unsigned number.
    pub fn from_env() -> Self {
        let seed = match std::env::var(VARIABLE) {
            Ok(text) => text.parse().expect("HITHERTO_SEED is an unsigned number"),
            Err(_) => fastrand::u64(..),
        };
        Self {
            seed,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The seed in `HITHERTO_SEED`; `None` when it is not set.
    ///
    /// # Panics
    ///
    /// As [`from_env`](Self::from_env).
    pub fn fixed() -> Option<u64> {
        std::env::var_os(VARIABLE)?;
        Some(Self::from_env().seed)
    }

    /// The random source itself.
    pub fn random(&mut self) -> &mut fastrand::Rng {
        &mut self.random
    }

    /// The seed this source started from.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

impl fmt::Display for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "repeat with {VARIABLE}={}", self.seed)
    }
}
