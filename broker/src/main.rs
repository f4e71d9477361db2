//! The `hitherto` command: reads the command line, runs it, and says what went wrong.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    stop_on_panic();
    let outcome = cli::run();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::report(&error);
            ExitCode::FAILURE
        }
    }
}

/// A panic is a broken invariant, and a broker without one of its threads would keep its clients waiting:
/// the process ends at once. What is acknowledged is in the log.
fn stop_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}
