//! What one measurement yields, and the figures the kernel keeps of a process.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
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
    /// Bytes written to the disk's device for each byte of payload, other writers included; `None`
    /// where the device keeps no count.
    pub(crate) write_factor: Option<f64>,
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

/// What is watched during a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched<'a> {
    /// The process of the server.
    pub(crate) server: u32,
    /// The folder its store is in.
    pub(crate) dir: &'a Path,
}

/// What the processes and the disk had done at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    at: Instant,
    server_seconds: f64,
    client_seconds: f64,
    written_bytes: Option<f64>,
}

impl Usage {
    pub(crate) fn of(watched: Watched<'_>) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            server_seconds: processor_seconds(&watched.server.to_string())?,
            client_seconds: processor_seconds("self")?,
            written_bytes: written_bytes(watched.dir)?,
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
            write_factor: end
                .written_bytes
                .zip(self.written_bytes)
                .map(|(end, start)| (end - start) / (count * payload_bytes as f64)),
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

/// Bytes ever written to the device that holds `dir`, from `/proc/diskstats` (its tenth column counts
/// sectors of 512 bytes). A process's own `write_bytes` would not do: it counts whole large folios of
/// the page cache, 1 MiB for a write of one block.
fn written_bytes(dir: &Path) -> Result<Option<f64>> {
    const SECTOR_BYTES: f64 = 512.0;
    let device = fs::metadata(dir)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    for line in fs::read_to_string("/proc/diskstats")?.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if columns.len() > 9 && columns[0] == major.to_string() && columns[1] == minor.to_string() {
            return Ok(Some(columns[9].parse::<f64>()? * SECTOR_BYTES));
        }
    }
    Ok(None)
}
