//! The command line: its commands, its log, and how it reports errors.

mod hint;
mod serve;

use std::io::IsTerminal as _;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// An event-sourcing broker that speaks the NATS client protocol and the JetStream API.
#[derive(Debug, Parser)]
#[command(
    name = "hitherto",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker until it is interrupted
    Serve(serve::Serve),
}

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        start_log();
        match self.command {
            Command::Serve(serve) => serve.run(),
        }
    }
}

/// The log goes to stderr; `RUST_LOG` chooses what is in it, `info` by default.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Prints an error with its causes, and what to do about it where we know.
#[allow(clippy::print_stderr, reason = "the command line talks to its user")]
pub(crate) fn report(error: &anyhow::Error) {
    eprintln!("hitherto: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    if let Some(hint) = hint::for_error(error) {
        eprintln!("  {hint}");
    }
}
