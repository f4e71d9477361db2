//! The servers that are compared, and their processes.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use hitherto_integration::server::kind_program;
use hitherto_integration::{Kind, Server, programs, skip};

use crate::measure::Sample;
use crate::scenario::{Extent, Scenario};

/// The servers by the names the command line takes; ours first, as in the tables.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Which {
    /// Our broker; it syncs before each ack.
    Hitherto,
    /// nats-server with `sync_interval: always`; where the disk is written.
    NatsServerSynced,
    /// nats-server with its defaults: it syncs every 2 minutes.
    NatsServer,
}

impl Which {
    pub(crate) const ALL: [Self; 3] = [Self::Hitherto, Self::NatsServerSynced, Self::NatsServer];

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

/// The servers that are installed.
pub(crate) struct Servers {
    found: Vec<Found>,
    dir: PathBuf,
}

struct Found {
    kind: Kind,
    program: PathBuf,
    /// The process with the store that is read; started when it is first needed.
    loaded: Option<Server>,
}

impl Servers {
    /// Finds the programs. Stores are put under `dir`.
    pub(crate) fn find(servers: &[Which], dir: &Path) -> Result<Self> {
        let mut found = Vec::new();
        for kind in servers.iter().map(|which| which.kind()) {
            match kind_program(kind)? {
                Some(program) => found.push(Found {
                    kind,
                    program,
                    loaded: None,
                }),
                None => {
                    let why = format!("{} names no nats-server", programs::NATS_SERVER_VARIABLE);
                    skip::loudly(&kind.to_string(), &why);
                }
            }
        }
        ensure!(!found.is_empty(), "none of these servers is installed");
        Ok(Self {
            found,
            dir: dir.to_owned(),
        })
    }

    pub(crate) fn kinds(&self) -> Vec<Kind> {
        self.found.iter().map(|found| found.kind).collect()
    }

    /// Those a scenario makes a difference to, beginning with another one in each round.
    pub(crate) fn in_turn(&self, round: usize, scenario: Scenario) -> Vec<Kind> {
        let mut kinds = self.kinds();
        kinds.retain(|kind| *kind != Kind::NatsServerSynced || scenario.writes());
        let first = round % kinds.len().max(1);
        kinds.rotate_left(first);
        kinds
    }

    /// Runs a scenario once.
    pub(crate) async fn measure(
        &mut self,
        kind: Kind,
        scenario: Scenario,
        extent: Extent,
    ) -> Result<Sample> {
        let Self { found, dir } = self;
        let found = found
            .iter_mut()
            .find(|found| found.kind == kind)
            .context("one of those that were found")?;
        let complaint = || format!("{}: {kind}", scenario.title());
        if !scenario.reads() {
            let mut server = Server::start_unheard(kind, found.program.clone(), dir).await?;
            let sample = scenario.run(&mut server, dir, extent).await;
            return sample.with_context(|| format!("{}\n{}", complaint(), server.log()));
        }
        let server = match &mut found.loaded {
            Some(server) => server,
            none => {
                let server = Server::start_unheard(kind, found.program.clone(), dir).await?;
                let (addr, loaded) = (server.addr(), extent.loaded);
                eprintln!("filling the store of {kind}");
                tokio::task::spawn_blocking(move || loaded.fill(addr)).await??;
                none.insert(server)
            }
        };
        let sample = scenario.run(server, dir, extent).await;
        sample.with_context(|| format!("{}\n{}", complaint(), server.log()))
    }
}
