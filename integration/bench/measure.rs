//! What one measurement yields, and the figures the kernel keeps of a process.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

/// The kernel counts processor time in this many ticks per second (`USER_HZ`, fixed on Linux).
const TICKS_PER_SECOND: f64 = 100.0;

/// The longest latency that is told from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// One scenario against one server, once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Acknowledged messages per second.
    pub(crate) rate: f64,
    /// From handing the message to the socket until its ack was read: median and 99 of 100.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Processor time per second of the server and of this client.
    pub(crate) server_cores: f64,
    pub(crate) client_cores: f64,
    /// Bytes the server sent to the disk for each byte of payload.
    pub(crate) write_factor: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} msg/s, p50 {:.0} us, p99 {:.0} us, cores {:.2} server {:.2} client",
            self.rate, self.p50_us, self.p99_us, self.server_cores, self.client_cores
        )
    }
}

/// Latencies of the messages of one measurement.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self> {
        let highest = u64::try_from(LATENCY_MAX.as_micros())?;
        Ok(Self(Histogram::new_with_bounds(1, highest, 3)?))
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "microseconds below a minute are exact"
    )]
    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64
    }
}

/// What two processes had used at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    at: Instant,
    server_seconds: f64,
    client_seconds: f64,
    server_written: f64,
}

impl Usage {
    pub(crate) fn of(server: u32) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            server_seconds: processor_seconds(&server.to_string())?,
            client_seconds: processor_seconds("self")?,
            server_written: written_bytes(server)?,
        })
    }

    /// The sample of the time from `self` to `end`.
    #[allow(
        clippy::cast_precision_loss,
        reason = "counts of one run are far below 2^52"
    )]
    pub(crate) fn until(&self, end: &Self, latencies: &Latencies, payload_bytes: usize) -> Sample {
        let seconds = end.at.duration_since(self.at).as_secs_f64();
        let count = latencies.count() as f64;
        Sample {
            rate: count / seconds,
            p50_us: latencies.quantile_us(0.5),
            p99_us: latencies.quantile_us(0.99),
            server_cores: (end.server_seconds - self.server_seconds) / seconds,
            client_cores: (end.client_seconds - self.client_seconds) / seconds,
            write_factor: (end.server_written - self.server_written)
                / (count * payload_bytes as f64),
        }
    }
}

/// User and system time from `/proc/<pid>/stat` (proc(5)); they are fields 14 and 15, and the
/// second field, in brackets, may contain spaces.
fn processor_seconds(pid: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = text.rsplit_once(')').context("reading /proc")?.1;
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
}

/// Bytes a process caused to be written to the disk, from `/proc/<pid>/io`.
fn written_bytes(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.context("reading /proc")?.parse()?)
}
