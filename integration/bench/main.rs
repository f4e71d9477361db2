//! The benchmark: our broker beside a stock nats-server, in one run, on the same disk.
//!
//! Each round runs every scenario against every server; the order of the servers turns with the rounds,
//! so that none always comes after the same neighbour. What writes gets a fresh process and store each
//! time; what reads shares one store per server, filled once. Reported are medians and ratios, and
//! whether they reach what is aimed at.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

mod api;
mod closed_loop;
mod consume;
mod core_publish;
mod create_consumer;
mod delivery;
mod direct_get;
mod goal;
mod loaded;
mod measure;
mod memory;
mod probe;
mod publish;
mod replay;
mod report;
mod scenario;
mod servers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use crate::loaded::Loaded;
use crate::report::Report;
use crate::scenario::{Extent, Scenario};
use crate::servers::{Servers, Which};

const EXAMPLES: &str = "\
Examples:
  cargo run --release -p hitherto-integration --bin bench
  cargo run --release -p hitherto-integration --bin bench -- --scenario core,publish-1 --rounds 5
  cargo run --release -p hitherto-integration --bin bench -- --messages 100000 --report bench.md

HITHERTO_NATS_SERVER names the nats-server to compare with (integration/fetch-oracle gets one);
without it only our broker is measured. Ours always syncs before it acknowledges.";

/// Aggregates or subjects that are published to.
const SUBJECTS: usize = 10_000;

/// Measures our broker beside nats-server.
#[derive(Debug, Parser)]
#[command(name = "bench", after_help = EXAMPLES)]
struct Args {
    /// What is measured; several after commas. Default: everything.
    #[arg(long, value_enum, value_delimiter = ',')]
    scenario: Vec<Scenario>,

    /// How long a measurement lasts, in seconds, where it has no end of its own.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,

    /// How often everything is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// How many messages each stream holds that is read or restarted.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,

    /// Which servers; several after commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Which::ALL)]
    servers: Vec<Which>,

    /// Where the stores are put; the disk that is measured. Default: the build folder's disk.
    #[arg(long)]
    dir: Option<PathBuf>,

    /// Also write the result to this file, as Markdown.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(!args.servers.is_empty(), "--servers must name one");
    ensure!(args.rounds > 0, "--rounds must be at least 1");
    ensure!(args.messages > 0, "--messages must be at least 1");
    let extent = Extent {
        duration: Duration::try_from_secs_f64(args.seconds).context("--seconds")?,
        loaded: Loaded {
            messages: args.messages,
        },
        subjects: SUBJECTS,
    };
    let dir = tempfile::Builder::new()
        .prefix("hitherto-bench-")
        .tempdir_in(parent(&args)?)?;
    let mut servers = Servers::find(&args.servers, dir.path())?;

    if cfg!(debug_assertions) {
        eprintln!("WARNING: built without --release; the figures say nothing");
    }
    eprintln!("probing the disk under {}", dir.path().display());
    let disk = probe::disk(dir.path(), Duration::from_secs(1))?;
    let mut report = Report::new(&disk, servers.kinds());
    for round in 0..args.rounds {
        for scenario in args.scenarios() {
            for kind in servers.in_turn(round, scenario) {
                let sample = servers.measure(kind, scenario, extent).await?;
                eprintln!(
                    "round {}/{}: {}: {kind}: {sample}",
                    round + 1,
                    args.rounds,
                    scenario.title()
                );
                report.add(scenario, kind, sample);
            }
        }
    }
    let text = report.to_markdown(&args.command_line());
    println!("{text}");
    if let Some(path) = &args.report {
        std::fs::write(path, &text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

impl Args {
    fn scenarios(&self) -> Vec<Scenario> {
        if self.scenario.is_empty() {
            return Scenario::value_variants().to_vec();
        }
        self.scenario.clone()
    }

    /// The command that repeats this run.
    fn command_line(&self) -> String {
        let mut command = format!(
            "cargo run --release -p hitherto-integration --bin bench -- --seconds {} --rounds {} \
             --messages {}",
            self.seconds, self.rounds, self.messages
        );
        if !self.scenario.is_empty() {
            let names = self.scenario.iter().filter_map(Scenario::to_possible_value);
            let names: Vec<String> = names.map(|name| name.get_name().to_owned()).collect();
            command += &format!(" --scenario {}", names.join(","));
        }
        command
    }
}

/// A folder on a real disk: the system's temporary folder is often memory.
fn parent(args: &Args) -> Result<PathBuf> {
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir)?;
        return Ok(dir.clone());
    }
    let program = std::env::current_exe()?;
    Ok(program
        .parent()
        .context("a program is in a folder")?
        .to_owned())
}
