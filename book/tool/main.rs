//! Builds the book, or checks it.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use hitherto_book::{build, check};

/// The book of Hitherto.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  cargo run -p hitherto-book -- build --dest /tmp/book\n  cargo run -p hitherto-book -- check"
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the book, then make its pages.
    Build {
        /// Where the pages go [default: book/book].
        #[arg(long, value_name = "DIR")]
        dest: Option<PathBuf>,
    },
    /// Check snippets, includes, links and the README without making pages.
    Check,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let faults = check()?;
    for fault in &faults {
        writeln!(io::stderr(), "{fault}")?;
    }
    if !faults.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    match args.command {
        Command::Check => writeln!(io::stdout(), "the book is in order")?,
        Command::Build { dest } => {
            let pages = build(dest.as_deref())?;
            writeln!(io::stdout(), "the book is in {}", pages.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
