//! The benchmark: our broker beside a stock nats-server, in one run, on the same disk.
//!
//! Each round runs every scenario against every server, each with a fresh process and store; the
//! order of the servers turns with the rounds, so that none always comes after the same neighbour.
//! Reported are medians over the rounds and their ratios.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

mod measure;
mod probe;
mod publish;
mod report;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use hitherto_integration::server::kind_program;
use hitherto_integration::{Kind, Server, programs, skip};

use crate::measure::{Sample, Watched};
use crate::publish::Publish;
use crate::report::Report;

const EXAMPLES: &str = "\
Examples:
  cargo run --release -p hitherto-integration --bin bench
  cargo run --release -p hitherto-integration --bin bench -- --seconds 3 --rounds 3
  cargo run --release -p hitherto-integration --bin bench -- --in-flight 64 --report bench.md

HITHERTO_NATS_SERVER names the nats-server to compare with (integration/fetch-oracle gets one);
without it only our broker is measured. Ours always syncs before it acknowledges.";

/// Measures publishing into a file stream, each message acknowledged.
#[derive(Debug, Parser)]
#[command(name = "bench", after_help = EXAMPLES)]
struct Args {
    /// How long each measurement lasts, in seconds, after a short warm-up.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,

    /// How often everything is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Which servers; several after commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Which::ALL)]
    servers: Vec<Which>,

    /// How many messages may wait for their ack on the one connection; several after commas.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 4096])]
    in_flight: Vec<usize>,

    /// How many connections wait for each of their acks in a further scenario; 0 leaves it out.
    #[arg(long, default_value_t = 64)]
    publishers: usize,

    /// The size of each payload, in bytes.
    #[arg(long, default_value_t = 128)]
    payload_bytes: usize,

    /// How many subjects the messages are spread over.
    #[arg(long, default_value_t = 10_000)]
    subjects: usize,

    /// Where the stores are put; the disk that is measured. Default: the build folder's disk.
    #[arg(long)]
    dir: Option<PathBuf>,

    /// Also write the result to this file, as Markdown.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// The servers by the names the command line takes; ours first, as in the tables.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// Our broker; it syncs before each ack.
    Hitherto,
    /// nats-server with `sync_interval: always`.
    NatsServerSynced,
    /// nats-server with its defaults: it syncs every 2 minutes.
    NatsServer,
}

impl Which {
    const ALL: [Self; 3] = [Self::Hitherto, Self::NatsServerSynced, Self::NatsServer];

    fn kind(self) -> Kind {
        match self {
            Self::Hitherto => Kind::Hitherto,
            Self::NatsServerSynced => Kind::NatsServerSynced,
            Self::NatsServer => Kind::NatsServer,
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(!args.servers.is_empty(), "--servers must name one");
    ensure!(args.rounds > 0, "--rounds must be at least 1");
    ensure!(args.subjects > 0, "--subjects must be at least 1");
    ensure!(
        args.in_flight.iter().all(|count| *count > 0),
        "--in-flight must be at least 1"
    );
    let duration = Duration::try_from_secs_f64(args.seconds).context("--seconds")?;
    let programs = programs(&args.servers)?;
    let dir = tempfile::Builder::new()
        .prefix("hitherto-bench-")
        .tempdir_in(parent(&args)?)?;

    if cfg!(debug_assertions) {
        eprintln!("WARNING: built without --release; the figures say nothing");
    }
    eprintln!("probing the disk under {}", dir.path().display());
    let mut report = Report::new(&probe::disk(dir.path(), Duration::from_secs(1))?);
    for round in 0..args.rounds {
        for scenario in args.scenarios(duration) {
            for turn in 0..programs.len() {
                let (kind, program) = &programs[(turn + round) % programs.len()];
                let sample = one(*kind, program, dir.path(), scenario).await?;
                eprintln!(
                    "round {}/{}: {scenario}: {kind}: {sample}",
                    round + 1,
                    args.rounds
                );
                report.add(scenario.to_string(), *kind, sample);
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
    /// One connection with each number in flight, then many connections with one each.
    fn scenarios(&self, duration: Duration) -> Vec<Publish> {
        let scenario = |connections, in_flight| Publish {
            connections,
            in_flight,
            payload_bytes: self.payload_bytes,
            subjects: self.subjects,
            duration,
        };
        let mut scenarios: Vec<_> = self
            .in_flight
            .iter()
            .map(|count| scenario(1, *count))
            .collect();
        if self.publishers > 0 {
            scenarios.push(scenario(self.publishers, 1));
        }
        scenarios
    }

    /// The command that repeats this run.
    fn command_line(&self) -> String {
        let in_flight: Vec<String> = self.in_flight.iter().map(usize::to_string).collect();
        format!(
            "cargo run --release -p hitherto-integration --bin bench -- --seconds {} --rounds {} \
             --in-flight {} --publishers {} --payload-bytes {} --subjects {}",
            self.seconds,
            self.rounds,
            in_flight.join(","),
            self.publishers,
            self.payload_bytes,
            self.subjects
        )
    }
}

/// The programs of those servers that are there.
fn programs(servers: &[Which]) -> Result<Vec<(Kind, PathBuf)>> {
    let mut found = Vec::new();
    for kind in servers.iter().map(|which| which.kind()) {
        match kind_program(kind)? {
            Some(program) => found.push((kind, program)),
            None => {
                let why = format!("{} names no nats-server", programs::NATS_SERVER_VARIABLE);
                skip::loudly(&kind.to_string(), &why);
            }
        }
    }
    ensure!(!found.is_empty(), "none of these servers is installed");
    Ok(found)
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

async fn one(kind: Kind, program: &Path, dir: &Path, scenario: Publish) -> Result<Sample> {
    let server = Server::start(kind, program.to_owned(), dir).await?;
    let (addr, pid, dir) = (server.addr(), server.pid(), dir.to_owned());
    let run = tokio::task::spawn_blocking(move || {
        scenario.run(
            addr,
            Watched {
                server: pid,
                dir: &dir,
            },
        )
    });
    run.await?
        .with_context(|| format!("{scenario}: {kind}\n{}", server.log()))
}
