//! The broker as a program: started, run to its end, and what it says.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Longer than a program takes for anything; only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Our program.
pub(crate) const HITHERTO: &str = env!("CARGO_BIN_EXE_hitherto");

/// A program that ends with the test, whose output can be read, and which no environment makes talkative.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .kill_on_drop(true)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    command.env_remove("RUST_LOG");
    command
}

/// What a program says until it ends.
pub(crate) async fn output(program: &str, args: &[&str]) -> Output {
    timeout(PATIENCE, command(program, args).output())
        .await
        .expect("the program ends in time")
        .expect("the program can be started")
}
