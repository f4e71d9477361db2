//! What can be measured: names, goals, and who runs it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use hitherto_integration::{Kind, Server};

use crate::direct_get::DirectGet;
use crate::goal::Goal;
use crate::loaded::Loaded;
use crate::measure::{Sample, Watched};
use crate::publish::Publish;
use crate::{consume, core_publish, create_consumer, memory, replay};

/// One scenario, by the name the command line takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Core publish, one publisher and one subscriber.
    Core,
    /// Publish into a stream, 1 in flight.
    #[value(name = "publish-1")]
    Publish1,
    /// Publish on one connection, 64 in flight.
    #[value(name = "publish-64")]
    Publish64,
    /// Publish on one connection, 2,000 in flight.
    #[value(name = "publish-2000")]
    Publish2000,
    /// The same with 1 KiB.
    #[value(name = "publish-2000-1k")]
    Publish2000Kibibyte,
    /// 64 connections publish, each waiting for its ack.
    #[value(name = "publishers-64")]
    Publishers64,
    /// Conditional publish on 10,000 aggregates by 64 connections, each waiting.
    #[value(name = "conditional-64")]
    Conditional64,
    /// Conditional publish on 10,000 aggregates by one connection, 64 in flight.
    ConditionalMux,
    /// Pull consumer, explicit acks, batches of 500.
    Consume,
    /// A whole stream in order, without acks.
    Replay,
    /// The last message of each of 100,000 subjects.
    LastPerSubject,
    /// The 20 messages of one aggregate of 50,000.
    Aggregate,
    /// Direct get on one connection, 64 in flight.
    DirectGet,
    /// Direct get on 64 connections, each waiting.
    #[value(name = "direct-get-64")]
    DirectGet64,
    /// Creating consumers.
    CreateConsumer,
    /// Memory with a million subjects, and restart after kill -9.
    Memory,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Of each scenario that has no end of its own.
    pub(crate) duration: Duration,
    /// In each stream that is read or restarted.
    pub(crate) loaded: Loaded,
    /// Subjects or aggregates that are published to.
    pub(crate) subjects: usize,
}

impl Scenario {
    /// What the report calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Core => "core publish 1 -> 1",
            Self::Publish1 => "publish, 1 in flight",
            Self::Publish64 => "publish, one connection, 64 in flight",
            Self::Publish2000 => "publish, 2,000 in flight, 128 B",
            Self::Publish2000Kibibyte => "publish, 2,000 in flight, 1 KiB",
            Self::Publishers64 => "publish, 64 connections, each waiting",
            Self::Conditional64 => "conditional publish, 64 connections, each waiting",
            Self::ConditionalMux => "conditional publish, one connection, 64 in flight",
            Self::Consume => "pull consume, explicit acks, batches of 500",
            Self::Replay => "ordered replay",
            Self::LastPerSubject => "last per subject",
            Self::Aggregate => "load one aggregate",
            Self::DirectGet => "direct get, one connection, 64 in flight",
            Self::DirectGet64 => "direct get, 64 connections, each waiting",
            Self::CreateConsumer => "create a consumer",
            Self::Memory => "memory and restart",
        }
    }

    /// What it is meant to reach.
    pub(crate) fn goals(self) -> &'static [Goal] {
        const DEFAULT: Kind = Kind::NatsServer;
        const SYNCED: Kind = Kind::NatsServerSynced;
        match self {
            Self::Core | Self::Replay | Self::DirectGet | Self::DirectGet64 => {
                &const { [Goal::at_least(1.5, DEFAULT)] }
            }
            Self::Publish1 => &const { [Goal::at_least(1.5, SYNCED)] },
            Self::Publish64 => {
                &const { [Goal::at_least(1.0, DEFAULT), Goal::at_least(20.0, SYNCED)] }
            }
            Self::Publish2000 | Self::Publish2000Kibibyte => {
                &const { [Goal::at_least(1.5, DEFAULT), Goal::at_least(60.0, SYNCED)] }
            }
            Self::Publishers64 => {
                &const { [Goal::at_least(1.0, DEFAULT), Goal::at_least(12.0, SYNCED)] }
            }
            Self::Conditional64 => &const { [Goal::at_least(1.0, DEFAULT)] },
            Self::ConditionalMux => &const { [Goal::at_least(1.5, DEFAULT)] },
            Self::Consume => &const { [Goal::at_least(2.0, DEFAULT)] },
            Self::LastPerSubject => {
                &const {
                    [
                        Goal::millis_at_most("first", 10.0),
                        Goal::at_most("all", 0.5),
                    ]
                }
            }
            Self::Aggregate => &const { [Goal::at_most("p50", 0.4), Goal::at_most("p99", 0.2)] },
            Self::CreateConsumer => &[],
            Self::Memory => {
                &const {
                    [
                        Goal::at_most("resident", 0.5),
                        Goal::at_most("restart", 0.5),
                    ]
                }
            }
        }
    }

    /// Tells whether it reads a store that is filled once and for all rounds.
    pub(crate) fn reads(self) -> bool {
        matches!(
            self,
            Self::Consume
                | Self::Replay
                | Self::LastPerSubject
                | Self::Aggregate
                | Self::DirectGet
                | Self::DirectGet64
                | Self::CreateConsumer
        )
    }

    /// Tells whether it makes a difference how often nats-server syncs.
    pub(crate) fn writes(self) -> bool {
        self.publish(1).is_some()
    }

    /// Runs it once. A server is fresh, or [loaded](Self::reads).
    pub(crate) async fn run(
        self,
        server: &mut Server,
        dir: &Path,
        extent: Extent,
    ) -> Result<Sample> {
        if self == Self::Memory {
            return memory::run(server, extent.loaded.messages).await;
        }
        let (addr, pid, dir) = (server.addr(), server.pid(), dir.to_owned());
        let run = tokio::task::spawn_blocking(move || {
            let watched = Watched {
                server: pid,
                dir: &dir,
            };
            self.run_blocking(addr, watched, extent)
        });
        run.await?
    }

    fn run_blocking(
        self,
        addr: SocketAddr,
        watched: Watched<'_>,
        extent: Extent,
    ) -> Result<Sample> {
        let Extent {
            duration,
            loaded,
            subjects,
        } = extent;
        if let Some(publish) = self.publish(subjects) {
            return publish.run(addr, watched, duration);
        }
        if let Some(direct_get) = self.direct_get() {
            return direct_get.run(addr, watched, (loaded, duration));
        }
        match self {
            Self::Core => core_publish::run(addr, watched, duration),
            Self::Consume => consume::run(addr, watched, (loaded, duration)),
            Self::Replay => replay::everything(addr, watched, loaded),
            Self::LastPerSubject => replay::last_per_subject(addr, watched, loaded),
            Self::CreateConsumer => create_consumer::run(addr),
            _ => unreachable!("{self:?} runs elsewhere"),
        }
    }

    fn publish(self, subjects: usize) -> Option<Publish> {
        let publish = |connections, in_flight| Publish {
            connections,
            in_flight,
            payload_bytes: 128,
            subjects,
            conditional: false,
        };
        let conditional = |connections, in_flight| Publish {
            conditional: true,
            ..publish(connections, in_flight)
        };
        match self {
            Self::Publish1 => Some(publish(1, 1)),
            Self::Publish64 => Some(publish(1, 64)),
            Self::Publish2000 => Some(publish(1, 2_000)),
            Self::Publish2000Kibibyte => Some(Publish {
                payload_bytes: 1024,
                ..publish(1, 2_000)
            }),
            Self::Publishers64 => Some(publish(64, 1)),
            Self::Conditional64 => Some(conditional(64, 1)),
            Self::ConditionalMux => Some(conditional(1, 64)),
            _ => None,
        }
    }

    fn direct_get(self) -> Option<DirectGet> {
        let last = |connections, in_flight| DirectGet::Last {
            connections,
            in_flight,
        };
        match self {
            Self::Aggregate => Some(DirectGet::Aggregate),
            Self::DirectGet => Some(last(1, 64)),
            Self::DirectGet64 => Some(last(64, 1)),
            _ => None,
        }
    }
}
