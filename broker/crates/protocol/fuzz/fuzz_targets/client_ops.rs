//! Feeds arbitrary bytes in arbitrary reads to the decoder; `check.rs` says what must hold.
//!
//! Run in `broker/crates/protocol`: `cargo +nightly fuzz run client_ops`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/check.rs"]
mod check;

fuzz_target!(|input: &[u8]| check::client_ops(input));
