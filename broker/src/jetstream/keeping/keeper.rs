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
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hitherto_jetstream::GroupId;
use hitherto_platform::Disk;
use hitherto_storage::{
    Error, Finding, MergeTables, MergedFile, Rewrite, Rewritten, SegmentFile, Shred,
};

use super::checkpointer::Activity;
use crate::jetstream::files::Reserve;
use crate::jetstream::orders::{Input, ShardQueue};
use crate::jetstream::taking::shard_of;

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

/// A request to a shard for what there is to do.
pub(crate) enum KeepOrder {
    /// Name the complete segments of your streams.
    Scrub(SyncSender<Vec<(GroupId, SegmentFile)>>),
    /// Name at most one segment of each stream to write anew, and the files to overwrite.
    Rewrite(SyncSender<Vec<KeepWork>>),
}

/// Work on the files of one stream. What is left of it when it is dropped, for example because the keeper has
/// not waited for the answer, goes back to the owner: its store begins nothing new before that.
pub(crate) struct KeepWork {
    pub(crate) group: GroupId,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) shreds: Vec<Shred>,
    pub(crate) merge: Option<MergeTables>,
    /// The queue of the owner.
    pub(crate) owner: Arc<ShardQueue>,
}

impl Drop for KeepWork {
    fn drop(&mut self) {
        if let Some(merge) = self.merge.take() {
            let kept = Box::new(Kept::Merged(merge, Ok(None)));
            self.owner.push(Input::Kept(self.group, kept));
        }
        let (rewrite, shreds) = (self.rewrite.take(), mem::take(&mut self.shreds));
        if rewrite.is_some() || !shreds.is_empty() {
            let kept = Box::new(Kept::LeftUndone(rewrite, shreds));
            self.owner.push(Input::Kept(self.group, kept));
        }
    }
}

/// What became of it, for the owner of the stream.
pub(crate) enum Kept {
    /// A segment was read and is damaged.
    Damaged(SegmentFile, Vec<Finding>),
    /// A segment was written anew, or not.
    Rewritten(Rewrite, Result<Option<Rewritten>, Error>),
    /// Nobody came to it.
    LeftUndone(Option<Rewrite>, Vec<Shred>),
    /// Tables of the index were merged, or not.
    Merged(MergeTables, Result<Option<MergedFile>, Error>),
}

/// The thread, and what it needs.
pub(crate) struct Keeper {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) shards: Vec<Arc<ShardQueue>>,
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

/// What wakes the keeper before its time.
#[derive(Default)]
pub(crate) struct KeeperBell {
    state: Mutex<BellState>,
    wake: Condvar,
}

#[derive(Default)]
struct BellState {
    stopping: bool,
    /// There may be tables to merge.
    rung: bool,
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
        self.bell.lock().stopping = true;
        self.bell.wake.notify_one();
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

impl KeeperBell {
    /// There may be tables to merge: the keeper looks soon.
    pub(crate) fn ring(&self) {
        let was_rung = mem::replace(&mut self.lock().rung, true);
        if !was_rung {
            self.wake.notify_one();
        }
    }

    /// Waits; `true` when it is time to stop.
    fn wait(&self, wait: Duration) -> bool {
        let state = self.lock();
        let waited = self
            .wake
            .wait_timeout_while(state, wait, |state| !state.stopping);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    /// As [`KeeperBell::wait`], but not beyond a ring, which it takes.
    fn wait_for_ring(&self, wait: Duration) -> (bool, bool) {
        let state = self.lock();
        let waited = self
            .wake
            .wait_timeout_while(state, wait, |state| !state.stopping && !state.rung);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        (state.stopping, mem::take(&mut state.rung))
    }

    fn lock(&self) -> MutexGuard<'_, BellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        for shard in &self.shards {
            shard.push(Input::Keep(order(answer.clone())));
        }
        drop(answer);
        let (mut all, until) = (Vec::new(), Instant::now() + ANSWER_WAIT);
        for _ in &self.shards {
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
        shard_of(&self.shards, group).push(Input::Kept(group, Box::new(kept)));
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;
    use hitherto_jetstream::{StoredMessage, StreamSeq};
    use hitherto_platform::FaultyDisk;
    use hitherto_protocol::{Subject, Timestamp};
    use hitherto_storage::{BlockCache, StreamStore, StreamStoreOptions};

    use super::*;

    /// A store whose first segment is worth rewriting, with a file to overwrite.
    fn store_with_work() -> StreamStore {
        let options = StreamStoreOptions {
            segment_bytes: 4096,
            block_bytes: 700,
            compression: false,
            cache: BlockCache::new(10_000),
        };
        let disk = Arc::new(FaultyDisk::new());
        let mut store = StreamStore::create(disk, Path::new("/s"), options).unwrap();
        for seq in 1..=200 {
            store.append(StoredMessage {
                seq: StreamSeq(seq),
                at: Timestamp::from_unix_nanos(1),
                subject: Subject::new("s").unwrap(),
                headers: None,
                payload: Bytes::from(vec![7; 50]),
            });
        }
        let save = |store: &mut StreamStore| {
            let manifest = store.prepare_checkpoint().unwrap().sync().unwrap();
            store.checkpoint_saved(&manifest).unwrap();
        };
        save(&mut store);
        store.erase(StreamSeq(3));
        let rewrite = store.begin_rewrite().unwrap();
        let rewritten = rewrite.run(&mut |_| true);
        assert!(store.finish_rewrite(&rewrite, rewritten));
        save(&mut store);
        store.erase(StreamSeq(4));
        store
    }

    #[test]
    fn work_nobody_waited_for_goes_back_to_the_owner() {
        let (queue, group) = (Arc::new(ShardQueue::new()), GroupId(1));
        let mut store = store_with_work();
        for _ in 0..2 {
            let work = KeepWork {
                merge: None,
                group,
                rewrite: store.begin_rewrite(),
                shreds: store.take_shreds(),
                owner: Arc::clone(&queue),
            };
            assert!(work.rewrite.is_some() && work.shreds.len() == 1);
            let (answer, answers) = sync_channel(1);
            drop(answers);
            assert!(answer.send(vec![work]).is_err());
            let mut inputs = Vec::new();
            queue.take(&mut inputs, Some(Duration::ZERO));
            let Some(Input::Kept(GroupId(1), kept)) = inputs.pop() else {
                panic!("the work is lost");
            };
            let Kept::LeftUndone(rewrite, shreds) = *kept else {
                panic!("it is not done");
            };
            store.finish_rewrite(&rewrite.unwrap(), Ok(None));
            store.return_shreds(shreds);
        }
    }
}
