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
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// What was measured, the main figure first.
    pub(crate) figures: Vec<Figure>,
    /// What it cost; `None` where no stretch of time was watched.
    pub(crate) cost: Option<Cost>,
    /// How the client did it, where servers offer different ways.
    pub(crate) way: Option<&'static str>,
}

/// One number of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    /// Unique within the sample.
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Micros,
    Millis,
    Mebibytes,
}

/// What the processes and the disk did, per second or per byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Processor time per second of the server and of this client.
    pub(crate) server_cores: f64,
    pub(crate) client_cores: f64,
    /// Bytes written to the disk's device for each byte of payload, other writers included; `None`
    /// where the device keeps no count or nothing is written.
    pub(crate) device_factor: Option<f64>,
    /// Bytes the server caused to be written for each byte of payload (`/proc/<pid>/io`). The kernel
    /// counts whole folios of the page cache, so a small write may count as much more.
    pub(crate) process_factor: Option<f64>,
}

impl Unit {
    /// Says a value with its unit.
    pub(crate) fn say(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{}/s", grouped(value)),
            Self::Micros => format!("{} us", grouped(value)),
            Self::Millis => format!("{value:.1} ms"),
            Self::Mebibytes => format!("{value:.0} MiB"),
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, figure) in self.figures.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(
                f,
                "{comma}{} {}",
                figure.name,
                figure.unit.say(figure.value)
            )?;
        }
        if let Some(cost) = &self.cost {
            write!(
                f,
                ", cores {:.2} server {:.2} client",
                cost.server_cores, cost.client_cores
            )?;
        }
        self.way.map_or(Ok(()), |way| write!(f, " ({way})"))
    }
}

impl Sample {
    /// A sample of figures alone.
    pub(crate) fn of(figures: impl Into<Vec<Figure>>) -> Self {
        Self {
            figures: figures.into(),
            cost: None,
            way: None,
        }
    }

    /// The figure of this name.
    pub(crate) fn figure(&self, name: &str) -> Option<Figure> {
        self.figures
            .iter()
            .find(|figure| figure.name == name)
            .copied()
    }
}

impl Figure {
    pub(crate) fn rate(count: u64, time: Duration) -> Self {
        Self {
            name: "rate",
            value: float(count) / time.as_secs_f64(),
            unit: Unit::PerSecond,
        }
    }

    pub(crate) fn millis(name: &'static str, time: Duration) -> Self {
        Self {
            name,
            value: time.as_secs_f64() * 1e3,
            unit: Unit::Millis,
        }
    }

    pub(crate) fn mebibytes(name: &'static str, bytes: u64) -> Self {
        Self {
            name,
            value: float(bytes) / 1024.0 / 1024.0,
            unit: Unit::Mebibytes,
        }
    }
}

/// A whole number with a comma at each thousand.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[allow(
    clippy::cast_precision_loss,
    reason = "counts and bytes of one run are far below 2^52"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
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

    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        float(self.0.value_at_quantile(quantile))
    }

    /// The median and what 99 of 100 stay below.
    pub(crate) fn figures(&self) -> [Figure; 2] {
        let figure = |name, quantile| Figure {
            name,
            value: self.quantile_us(quantile),
            unit: Unit::Micros,
        };
        [figure("p50", 0.5), figure("p99", 0.99)]
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
    device_bytes: Option<f64>,
    process_bytes: Option<f64>,
}

impl Usage {
    pub(crate) fn of(watched: Watched<'_>) -> Result<Self> {
        let server = watched.server.to_string();
        Ok(Self {
            at: Instant::now(),
            server_seconds: processor_seconds(&server)?,
            client_seconds: processor_seconds("self")?,
            device_bytes: device_bytes(watched.dir)?,
            process_bytes: proc_field(&server, "io", "write_bytes:"),
        })
    }

    /// How long ago it was.
    pub(crate) fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// What happened from `self` to `end`; `payload_bytes` were stored in that time, 0 for none.
    pub(crate) fn until(&self, end: &Self, payload_bytes: u64) -> Cost {
        let seconds = end.at.duration_since(self.at).as_secs_f64();
        let factor = |start: Option<f64>, end: Option<f64>| {
            let (start, end) = start.zip(end)?;
            (payload_bytes > 0).then(|| (end - start) / float(payload_bytes))
        };
        Cost {
            server_cores: (end.server_seconds - self.server_seconds) / seconds,
            client_cores: (end.client_seconds - self.client_seconds) / seconds,
            device_factor: factor(self.device_bytes, end.device_bytes),
            process_factor: factor(self.process_bytes, end.process_bytes),
        }
    }
}

/// Memory of a process that lies in RAM.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    let kibibytes: u64 = kibibytes.context("reading /proc")?.parse()?;
    Ok(kibibytes * 1024)
}

/// A number of a file of `/proc/<pid>`; `None` where it may not be read.
fn proc_field(pid: &str, file: &str, field: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().parse().ok()
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
/// sectors of 512 bytes). A process's own `write_bytes` is not enough: it counts whole large folios of
/// the page cache, 1 MiB for a write of one block.
fn device_bytes(dir: &Path) -> Result<Option<f64>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [
            (0.4, "0"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
