//! Scenario: memory for a stream of which each message has a subject of its own, and the restart after
//! the process was killed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hitherto_integration::Server;
use hitherto_integration::raw::RawClient;

use crate::api;
use crate::loaded::fill;
use crate::measure::{Figure, Sample, resident_bytes};

const STREAM: &str = "SUBJECTS";

/// How long a restarted server may take until it knows the stream.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures `server`, which is fresh.
pub(crate) async fn run(server: &mut Server, messages: usize) -> Result<Sample> {
    let idle = resident_bytes(server.pid())?;
    let addr = server.addr();
    let started = Instant::now();
    tokio::task::spawn_blocking(move || fill(addr, STREAM, "subject", messages, messages))
        .await??;
    let filling = started.elapsed();
    let loaded = resident_bytes(server.pid())?;
    server.kill()?;
    let started = Instant::now();
    server.restart().await?;
    wait_for(server, u64::try_from(messages)?)?;
    let restart = started.elapsed();
    Ok(Sample::of([
        Figure::mebibytes("resident", loaded),
        Figure::millis("restart", restart),
        Figure::mebibytes("resident, restarted", resident_bytes(server.pid())?),
        Figure::mebibytes("resident, empty", idle),
        Figure::rate(u64::try_from(messages)?, filling),
    ]))
}

/// Waits until the stream is there. A server may greet before it has recovered everything.
fn wait_for(server: &Server, messages: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut client = RawClient::connect(server.addr())?;
    loop {
        let found = api::messages(&mut client, STREAM);
        if let Ok(found) = found {
            ensure!(found == messages, "{found} of {messages} messages are left");
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "no stream came back: {found:?}");
    }
}
