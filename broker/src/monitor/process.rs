//! Memory and processor time of this process, as Linux tells them under `/proc`. Elsewhere they are 0.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The unit of processor times under `/proc`: 10 ms on every architecture Linux has today (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Processor use is a mean over at least so long: 1 s, as in nats-server.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The process this code runs in.
#[derive(Debug)]
pub(super) struct Process {
    cores: usize,
    last: Mutex<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    /// Processor time since the start of the process.
    used: Duration,
    /// Use between the sample before and this one, in percent of one core.
    percent: f64,
}

impl Process {
    pub(super) fn new() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            last: Mutex::new(Sample {
                at: Instant::now(),
                used: processor_time().unwrap_or_default(),
                percent: 0.0,
            }),
        }
    }

    /// Cores the process may use.
    pub(super) fn cores(&self) -> usize {
        self.cores
    }

    /// Bytes in physical memory.
    pub(super) fn memory(&self) -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        resident_bytes(&status).unwrap_or_default()
    }

    /// Processor use since somebody last asked, a second ago at least, in percent of one core.
    pub(super) fn cpu(&self) -> f64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = last.at.elapsed();
        if elapsed >= SAMPLE_INTERVAL {
            let used = processor_time().unwrap_or_default();
            let share = used.saturating_sub(last.used).as_secs_f64() / elapsed.as_secs_f64();
            *last = Sample {
                at: Instant::now(),
                used,
                // Two digits say all there is to say about a mean of ticks.
                percent: (share * 10_000.0).round() / 100.0,
            };
        }
        last.percent
    }
}

fn processor_time() -> Option<Duration> {
    used_time(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// The line `VmRSS:   17184 kB` of `/proc/self/status`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Fields 14 and 15 of `/proc/self/stat`, behind the name of the program, which stands in parentheses and
/// may hold anything.
fn used_time(stat: &str) -> Option<Duration> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user + TICK * system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_forms_linux_writes() {
        let status = "Name:\thitherto\nVmPeak:\t  20 kB\nVmRSS:\t   17184 kB\nThreads:\t9\n";
        assert_eq!(resident_bytes(status), Some(17_184 * 1024));
        let stat = "7 (a )( b) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 9 0 5";
        assert_eq!(used_time(stat), Some(Duration::from_secs(2)));
        assert_eq!((resident_bytes(""), used_time("")), (None, None));
    }
}
