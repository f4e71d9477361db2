//! What the disk itself does: append 4 KiB and sync, over and over. No server that syncs each
//! message alone can be faster than this.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::measure::Latencies;

const BLOCK_BYTES: usize = 4096;

/// The result of [`disk`].
#[derive(Debug)]
pub(crate) struct Disk {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "append {BLOCK_BYTES} bytes + fdatasync: {:.0}/s, p50 {:.0} us, p99 {:.0} us",
            self.per_second, self.p50_us, self.p99_us
        )
    }
}

/// Appends and syncs in a new file of `dir` for `duration`.
#[allow(
    clippy::cast_precision_loss,
    reason = "a count of syncs is far below 2^52"
)]
pub(crate) fn disk(dir: &Path, duration: Duration) -> Result<Disk> {
    let path = dir.join("probe");
    let mut file = File::create_new(&path)?;
    let block = [0x5a; BLOCK_BYTES];
    let mut latencies = Latencies::new()?;
    let started = Instant::now();
    while started.elapsed() < duration {
        let before = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        latencies.add(before.elapsed());
    }
    let seconds = started.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(Disk {
        per_second: latencies.count() as f64 / seconds,
        p50_us: latencies.quantile_us(0.5),
        p99_us: latencies.quantile_us(0.99),
    })
}
