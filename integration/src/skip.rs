//! Saying that a test was skipped, so that nobody takes its silence for a pass.

use std::io::Write;

/// Writes that `what` was skipped and `why` to standard error.
///
/// The test runner hides what a passing test prints through `eprintln!`; a direct write is seen.
pub fn loudly(what: &str, why: &str) {
    // A closed standard error leaves nobody to tell, and is no reason to fail.
    writeln!(std::io::stderr(), "SKIPPED: {what}: {why}").ok();
}

/// The name of the running test, for the line that says it was skipped.
pub fn test_name() -> String {
    std::thread::current().name().unwrap_or("a test").to_owned()
}

/// Writes a line that is seen even when the test passes.
pub fn note(text: &str) {
    // A closed standard error leaves nobody to tell, and is no reason to fail.
    writeln!(std::io::stderr(), "NOTE: {text}").ok();
}
