//! Feeds arbitrary bytes to the readers of the JetStream API; `check.rs` says what must hold.
//!
//! Run in `broker/crates/jetstream`: `cargo +nightly fuzz run api`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/check.rs"]
#[allow(dead_code, reason = "each target uses its own part")]
mod check;

fuzz_target!(|input: &[u8]| check::api(input));
