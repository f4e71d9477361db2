//! Runs the bodies of the fuzz targets over files with a few changes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken property fails by panicking"
)]

#[path = "../fuzz/src/check.rs"]
mod check;

use proptest::prelude::*;

/// Where, which kind of change, and what: see `check.rs`.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<u16>(), any::<u8>(), any::<u16>()).prop_map(|(at, kind, what)| {
        let (at, what) = (at.to_le_bytes(), what.to_le_bytes());
        vec![at[0], at[1], kind, what[0], what[1]]
    });
    // One change in the middle of the file is the most telling one.
    (any::<u8>(), prop::collection::vec(change, 0..4)).prop_map(|(first, changes)| {
        let mut input = vec![first];
        input.extend(changes.concat());
        input
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..Default::default() })]

    #[test]
    fn a_changed_log_is_read_or_refused(input in input()) {
        check::log(&input);
    }

    #[test]
    fn a_changed_segment_is_read_or_refused(input in input()) {
        check::segment(&input);
    }

    #[test]
    fn a_changed_manifest_is_read_or_refused(input in input()) {
        check::checkpoint(&input);
    }
}

#[test]
fn what_was_written_is_read() {
    check::log(&[0]);
    check::log(&[1]);
    for file in 0..8 {
        check::segment(&[file]);
    }
    check::checkpoint(&[]);
}
