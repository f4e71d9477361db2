//! Replays the corpus of the fuzz target `client_ops`, so that what the fuzzer once found stays
//! checked.

#[path = "../fuzz/src/check.rs"]
mod check;

use std::fs;
use std::panic;
use std::path::Path;

#[test]
fn the_corpus_breaks_no_rule() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/client_ops");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        let outcome = panic::catch_unwind(|| check::client_ops(&input));
        assert!(outcome.is_ok(), "{} breaks a rule", path.display());
        files += 1;
    }
    assert!(files >= 30, "only {files} files in the corpus");
}
