//! Feeds arbitrary bytes to the reader of stored commands; `check.rs` says what must hold.
//!
//! Run in `broker/crates/jetstream`: `cargo +nightly fuzz run commands`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/check.rs"]
#[allow(dead_code, reason = "each target uses its own part")]
mod check;

fuzz_target!(|input: &[u8]| check::commands(input));
