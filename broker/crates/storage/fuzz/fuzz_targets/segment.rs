//! Changes the bytes of what is read as a segment of messages; `check.rs` says what must hold.
//!
//! Run in `broker/crates/storage`: `cargo +nightly fuzz run segment`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/check.rs"]
#[allow(dead_code, reason = "each target uses its own part")]
mod check;

fuzz_target!(|input: &[u8]| check::segment(input));
