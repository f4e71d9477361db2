//! Feeds arbitrary bytes to the decoder of frames between nodes; `check_link.rs` says what must hold.
//!
//! Run in `broker/crates/protocol`: `cargo +nightly fuzz run link_frames`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/check_link.rs"]
mod check_link;

fuzz_target!(|input: &[u8]| check_link::link_frames(input));
