//! The command line: its commands, its log, and how it reports errors.
//!
//! | file | noun |
//! |---|---|
//! | `serve` | the command `hitherto serve` |
//! | `check`, `inspect` | a store whose broker is stopped |
//! | `drop_in` | the command line of nats-server |
//! | `cluster_flags` | what both say about the other nodes |
//! | `process` | a broker as a process; what both of them run |
//! | `open_files` | how many files it may have open |
//! | `log`, `ports`, `signals` | its log, ports file and signals |
//! | `send_signal` | `--signal` |
//! | `hint` | what to do about an error |

mod check;
mod cluster_flags;
mod drop_in;
mod hint;
mod inspect;
mod log;
mod open_files;
mod ports;
mod process;
mod send_signal;
mod serve;
mod signals;
mod units;

use std::path::Path;

use clap::{Parser, Subcommand};

/// An event-sourcing broker that speaks the NATS client protocol and the JetStream API.
#[derive(Debug, Parser)]
#[command(
    name = "hitherto",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "The flags of nats-server work too, without a command: `hitherto -js -sd DIR`; \
                  `hitherto help serve` and the book say more."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker until it is interrupted
    Serve(serve::Serve),
    /// Verify the files of a store whose broker is stopped
    Check(check::Check),
    /// Show what is in a store whose broker is stopped
    Inspect(inspect::Inspect),
}

/// Runs the command line of the process.
pub(crate) fn run() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().collect();
    if drop_in::is_meant(&program(), args.get(1).map(String::as_str)) {
        return drop_in::run(args.into_iter().skip(1).collect());
    }
    match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Inspect(inspect) => inspect.run(),
    }
}

/// The name the program was started under, without its folder.
fn program() -> String {
    let path = std::env::args().next().unwrap_or_default();
    let name = Path::new(&path).file_stem().and_then(|name| name.to_str());
    name.unwrap_or("hitherto").to_owned()
}

/// Prints an error with its causes, and what to do about it where we know.
#[allow(clippy::print_stderr, reason = "the command line talks to its user")]
pub(crate) fn report(error: &anyhow::Error) {
    eprintln!("{}: {error}", program());
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    if let Some(hint) = hint::for_error(error) {
        eprintln!("  {hint}");
    }
}
