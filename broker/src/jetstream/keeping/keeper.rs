//! Keeping the segments in order: a thread of its own that reads all of them now and then to see whether they
//! are what was written, and writes those anew that are mostly dead or hold erased messages.
//!
//! It works at a bounded rate, so that it takes nothing noticeable from those who publish and read. What it
//! does is decided and put in force by the owners of the streams; see [`StreamStore::begin_rewrite`].
//!
//! [`StreamStore::begin_rewrite`]: hitherto_storage::StreamStore::begin_rewrite

use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hitherto_jetstream::GroupId;
use hitherto_platform::Disk;

use crate::jetstream::files::Reserve;
use crate::jetstream::orders::{Activity, Input, KeepOrder, KeeperBell, Kept, ShardQueues};

/// How fast the keeper reads and writes: 16 MiB a second.
pub const KEEPER_BYTES_PER_SECOND: u64 = 16 * 1024 * 1024;

/// From the beginning of one scrub to that of the next, if it has ended by then: 1 day.
pub const SCRUB_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// From the start of a node to its first scrub: 10 minutes.
pub const SCRUB_DELAY: Duration = Duration::from_secs(10 * 60);

/// How often the keeper asks whether segments are worth rewriting: 30 s.
pub const REWRITE_INTERVAL: Duration = Duration::from_secs(30);

/// How long the shards may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The longest pause between two reads: what it may read in so long it reads at once.
const PACE_STEP: Duration = Duration::from_millis(50);

/// How the keeper works: the thread that verifies all complete segments now and then (a scrub), and writes
/// those anew that are mostly dead or hold erased messages.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use hitherto_broker::NodeConfig;
/// use hitherto_broker::config::KeeperOptions;
///
/// let weekly = KeeperOptions {
///     scrub_interval: Duration::from_secs(7 * 24 * 60 * 60),
///     ..KeeperOptions::default()
/// };
/// let config = NodeConfig::in_memory().keeper(weekly);
/// ```
#[derive(Debug, Clone)]
pub struct KeeperOptions {
    /// Bytes read or written per second, by scrubs and rewrites; at least 1.
    pub bytes_per_second: u64,
    /// From the beginning of one scrub to the next; zero for one after the other.
    pub scrub_interval: Duration,
    /// From the start to the first scrub.
    pub scrub_delay: Duration,
    /// How often to look for segments to rewrite.
    pub rewrite_interval: Duration,
}

impl Default for KeeperOptions {
    fn default() -> Self {
        Self {
            bytes_per_second: KEEPER_BYTES_PER_SECOND,
            scrub_interval: SCRUB_INTERVAL,
            scrub_delay: SCRUB_DELAY,
            rewrite_interval: REWRITE_INTERVAL,
        }
    }
}

/// The thread, and what it needs.
pub(crate) struct Keeper {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) shards: ShardQueues,
    pub(crate) activity: Arc<Activity>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) options: KeeperOptions,
    pub(crate) bell: Arc<KeeperBell>,
}

/// A running keeper; dropping it ends the thread.
pub(crate) struct KeeperThread {
    bell: Arc<KeeperBell>,
    thread: Option<JoinHandle<()>>,
}

impl KeeperThread {
    pub(crate) fn start(keeper: Keeper) -> io::Result<Self> {
        let bell = Arc::clone(&keeper.bell);
        let thread = thread::Builder::new()
            .name("hitherto-keeper".to_owned())
            .spawn(move || keeper.run())?;
        Ok(Self {
            bell,
            thread: Some(thread),
        })
    }
}

impl Drop for KeeperThread {
    fn drop(&mut self) {
        self.bell.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the keeper has panicked");
        }
    }
}

impl fmt::Debug for KeeperThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeeperThread")
    }
}

impl Keeper {
    fn run(self) {
        let stop = &*self.bell;
        let now = Instant::now();
        let (mut scrub_at, mut rewrite_at) = (
            now + self.options.scrub_delay,
            now + self.options.rewrite_interval,
        );
        loop {
            let due = scrub_at.min(rewrite_at);
            let (stops, rung) = stop.wait_for_ring(due.saturating_duration_since(Instant::now()));
            if stops {
                return;
            }
            let began = Instant::now();
            let goes_on = if rung || rewrite_at <= began {
                rewrite_at = began + self.options.rewrite_interval;
                self.reserve.keep();
                self.rewrite(stop)
            } else {
                scrub_at = began + self.options.scrub_interval;
                self.scrub(stop)
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Reads every complete segment; `false` when it is time to stop.
    fn scrub(&self, stop: &KeeperBell) -> bool {
        let segments = self.ask(KeepOrder::Scrub);
        let began = Instant::now();
        let (mut pace, mut bytes, mut damaged) = (self.pace(stop), 0, 0);
        for (group, segment) in segments {
            bytes += segment.bytes();
            let findings = segment.verify(&*self.disk, &mut |bytes| pace.take(bytes));
            if pace.stopped {
                return false;
            }
            if !findings.is_empty() {
                damaged += 1;
                self.tell(group, Kept::Damaged(segment, findings));
            }
        }
        let took = began.elapsed();
        tracing::info!(bytes, damaged, ?took, "all complete segments were read");
        true
    }

    /// Rewrites while there is something worth it; `false` when it is time to stop.
    fn rewrite(&self, stop: &KeeperBell) -> bool {
        let mut pace = self.pace(stop);
        loop {
            let work = self.ask(KeepOrder::Rewrite);
            let (mut rewritten, mut merged) = (false, false);
            for mut work in work {
                let group = work.group;
                // Those that fail go back with what is left of the work.
                work.shreds.retain(|shred| match shred.run() {
                    Ok(()) => false,
                    Err(error) => {
                        tracing::error!(%group, %error, "erased messages cannot be overwritten yet");
                        true
                    }
                });
                if let Some(rewrite) = work.rewrite.take() {
                    let outcome = rewrite.run(&mut |bytes| pace.take(bytes));
                    rewritten |= matches!(outcome, Ok(Some(_)));
                    self.tell(group, Kept::Rewritten(rewrite, outcome));
                }
                if let Some(merge) = work.merge.take() {
                    let outcome = merge.run(&mut |bytes| pace.take(bytes));
                    merged |= matches!(outcome, Ok(Some(_)));
                    self.tell(group, Kept::Merged(merge, outcome));
                }
            }
            if pace.stopped {
                return false;
            }
            if !rewritten && !merged {
                return true;
            }
            // The old files go with the checkpoint that names the new ones. Those of tables can wait for the next.
            if rewritten {
                self.activity.hasten();
            }
        }
    }

    fn pace<'a>(&self, stop: &'a KeeperBell) -> Pace<'a> {
        Pace {
            bytes_per_second: self.options.bytes_per_second.max(1),
            stop,
            owed: Duration::ZERO,
            stopped: false,
        }
    }

    /// Asks every shard. One that does not answer within [`ANSWER_WAIT`] has ended, or is so busy that it is
    /// left in peace.
    fn ask<T>(&self, order: fn(SyncSender<Vec<T>>) -> KeepOrder) -> Vec<T> {
        let (answer, answers) = sync_channel(self.shards.len());
        for shard in self.shards.iter() {
            shard.push(Input::Keep(order(answer.clone())));
        }
        drop(answer);
        let (mut all, until) = (Vec::new(), Instant::now() + ANSWER_WAIT);
        for _ in self.shards.iter() {
            // With no time left it takes what is there.
            let left = until.saturating_duration_since(Instant::now());
            match answers.recv_timeout(left) {
                Ok(mut answer) => all.append(&mut answer),
                Err(_) => break,
            }
        }
        all
    }

    fn tell(&self, group: GroupId, kept: Kept) {
        self.shards
            .of(group)
            .push(Input::Kept(group, Box::new(kept)));
    }
}

/// Holds the keeper to its rate.
struct Pace<'a> {
    bytes_per_second: u64,
    stop: &'a KeeperBell,
    owed: Duration,
    stopped: bool,
}

impl Pace<'_> {
    /// Waits as long as so many bytes may take; `false` when it is time to stop.
    fn take(&mut self, bytes: u64) -> bool {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        self.owed += Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        if self.owed >= PACE_STEP {
            self.stopped |= self.stop.wait(mem::take(&mut self.owed));
        }
        !self.stopped
    }
}
