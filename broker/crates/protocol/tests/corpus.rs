//! Replays the corpora of the fuzz targets, so that what the fuzzer once found stays checked.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../fuzz/src/check.rs"]
mod check;
#[path = "../fuzz/src/check_link.rs"]
mod check_link;

use std::fs;
use std::panic;
use std::path::Path;

#[test]
fn what_clients_send_breaks_no_rule() {
    replay("client_ops", check::client_ops);
}

#[test]
fn what_nodes_send_breaks_no_rule() {
    replay("link_frames", check_link::link_frames);
}

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files = 0;
    for entry in fs::read_dir(corpus.join(target)).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        let outcome = panic::catch_unwind(|| check(&input));
        assert!(outcome.is_ok(), "{} breaks a rule", path.display());
        files += 1;
    }
    assert!(files >= 30, "only {files} files in the corpus of {target}");
}
