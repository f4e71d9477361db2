//! Checkpoints: what lets the log be forgotten and the next start be quick. A thread of its own, so that
//! its syncs hold up nobody.
//!
//! A cycle reads the log's position first and then sends an order through the queue of every shard. What
//! lies before that position was in those queues already, so each group's answer contains it: the
//! position is where the replay of every group begins, also of those that were idle.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hitherto_cluster::Log;
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_platform::Disk;
use hitherto_storage::{Checkpoint, Checkpoints, Error, Manifest, PendingCheckpoint, WalPosition};

use super::commits::shard_of;
use super::input::{Input, ShardQueue};
use super::receipt::Receipt;
use super::state_record::StateSnapshot;
use super::stream_dirs;

/// Bytes committed since the last checkpoint that bring the next one: 64 MiB.
pub(crate) const CHECKPOINT_BYTES: usize = 64 * 1024 * 1024;

/// Time after the first commit since the last checkpoint that brings the next one: 30 s.
pub(crate) const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// Time after which a checkpoint is made that something waits for: 1 s, so that many share it.
const HASTE_DELAY: Duration = Duration::from_secs(1);

/// A request to a shard to describe its groups. It is sent to every shard; a shard that ends drops it.
pub(crate) struct CheckpointOrder {
    pub(crate) answer: SyncSender<Vec<GroupCheckpoint>>,
}

/// One group, described at one moment by the thread that owns it.
pub(crate) struct GroupCheckpoint {
    pub(crate) group: GroupId,
    pub(crate) applied: LogIndex,
    pub(crate) state: StateSnapshot,
    /// The bodies; `None` for the meta group.
    pub(crate) bodies: Option<PendingCheckpoint>,
}

/// What has happened since the last checkpoint.
pub(crate) struct Activity {
    state: Mutex<ActivityState>,
    wake: Condvar,
}

#[derive(Default)]
struct ActivityState {
    bytes: usize,
    /// When the next checkpoint is due; `None` while nothing happened.
    due: Option<Instant>,
    /// Groups whose deletion is committed and whose files are still there.
    deleted: Vec<GroupId>,
    stopping: bool,
}

/// The thread, and what it needs.
pub(crate) struct Checkpointer {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) streams_dir: PathBuf,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) log: Arc<dyn Log<Receipt>>,
    pub(crate) shards: Vec<Arc<ShardQueue>>,
    pub(crate) activity: Arc<Activity>,
    /// The position of the last checkpoint this run has saved.
    pub(crate) saved: Option<WalPosition>,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    /// So many bytes were committed.
    pub(crate) fn add(&self, bytes: usize) {
        let mut state = self.lock();
        let before = state.bytes;
        state.bytes += bytes;
        let is_first = state.due.is_none();
        if is_first {
            state.due = Some(Instant::now() + CHECKPOINT_INTERVAL);
        }
        let has_grown = before < CHECKPOINT_BYTES && state.bytes >= CHECKPOINT_BYTES;
        drop(state);
        if is_first || has_grown {
            self.wake.notify_one();
        }
    }

    /// The stream of this group is deleted, and its owner has let go of it.
    pub(crate) fn add_deleted(&self, group: GroupId) {
        self.lock().deleted.push(group);
        self.hasten();
    }

    /// A checkpoint is wanted soon.
    pub(crate) fn hasten(&self) {
        let mut state = self.lock();
        let soon = Instant::now() + HASTE_DELAY;
        state.due = Some(state.due.map_or(soon, |due| due.min(soon)));
        drop(state);
        self.wake.notify_one();
    }

    /// Streams were deleted since the list was last taken.
    fn has_deleted(&self) -> bool {
        !self.lock().deleted.is_empty()
    }

    fn stop(&self) {
        self.lock().stopping = true;
        self.wake.notify_one();
    }

    /// Waits until a checkpoint is due and begins the next count; `None` when it is time to stop.
    fn wait(&self) -> Option<Vec<GroupId>> {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return None;
            }
            let now = Instant::now();
            let due = state.due;
            if state.bytes >= CHECKPOINT_BYTES || due.is_some_and(|due| due <= now) {
                return Some(state.reset());
            }
            state = match due {
                None => self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    self.wake
                        .wait_timeout(state, due - now)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, ActivityState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ActivityState {
    fn reset(&mut self) -> Vec<GroupId> {
        self.bytes = 0;
        self.due = None;
        std::mem::take(&mut self.deleted)
    }
}

/// A running checkpointer.
pub(crate) struct CheckpointerThread {
    activity: Arc<Activity>,
    thread: Option<JoinHandle<Checkpointer>>,
}

impl CheckpointerThread {
    pub(crate) fn start(checkpointer: Checkpointer) -> io::Result<Self> {
        let activity = Arc::clone(&checkpointer.activity);
        let thread = thread::Builder::new()
            .name("hitherto-checkpointer".to_owned())
            .spawn(move || checkpointer.run())?;
        Ok(Self {
            activity,
            thread: Some(thread),
        })
    }

    /// Ends the thread and returns what it had, for a last checkpoint; `None` the second time.
    ///
    /// # Panics
    /// When the thread panicked.
    pub(crate) fn stop(&mut self) -> Option<Checkpointer> {
        self.activity.stop();
        let thread = self.thread.take()?;
        Some(thread.join().expect("the checkpointer must not panic"))
    }
}

impl Checkpointer {
    fn run(mut self) -> Self {
        while let Some(deleted) = self.activity.wait() {
            let done = self.checkpoint(&deleted).unwrap_or_else(|error| {
                tracing::error!(%error, "cannot write a checkpoint");
                false
            });
            if !done {
                // The log keeps what the checkpoint would have let go; the next one tries again.
                for group in deleted {
                    self.activity.add_deleted(group);
                }
            }
        }
        self
    }

    /// The last checkpoint, when the log has ended and the shards still run.
    pub(crate) fn last_checkpoint(&mut self) -> Result<(), Error> {
        let deleted = self.activity.lock().reset();
        self.checkpoint(&deleted).map(drop)
    }

    /// Makes a checkpoint of every group, forgets the deleted ones, and releases the log nobody needs;
    /// `false` when a group could not be described.
    fn checkpoint(&mut self, deleted: &[GroupId]) -> Result<bool, Error> {
        let wal = self.log.position();
        let Some(described) = self.describe() else {
            return Ok(false);
        };
        // A stream deleted meanwhile was not described, and the meta group's description may still have
        // it: its last checkpoint stays in use until the next cycle, and needs the log from there.
        let needed = match self.activity.has_deleted() {
            true => self.saved,
            false => Some(wal),
        };
        let mut saved = Vec::with_capacity(described.len());
        for group in described {
            saved.push(to_record(group, wal)?);
        }
        let records: Vec<_> = saved
            .iter()
            .map(|(group, record)| (*group, record))
            .collect();
        self.checkpoints.save_all(&records)?;
        self.saved = Some(wal);
        for (group, record) in saved {
            if let Some(manifest) = record.manifest {
                let saved = Input::CheckpointSaved(group, Box::new(manifest));
                shard_of(&self.shards, group).push(saved);
            }
        }
        // The meta group's state without them is saved: now they may go.
        for group in deleted {
            self.checkpoints.remove(*group)?;
            stream_dirs::remove(&*self.disk, &self.streams_dir, *group)?;
        }
        if let Some(needed) = needed {
            self.log.release(needed);
        }
        Ok(true)
    }

    /// Asks every shard; `None` when one of them has ended or could not describe a group.
    fn describe(&self) -> Option<Vec<GroupCheckpoint>> {
        let (answer, answers) = sync_channel(self.shards.len());
        for shard in &self.shards {
            let answer = answer.clone();
            shard.push(Input::Checkpoint(CheckpointOrder { answer }));
        }
        drop(answer);
        let mut groups = Vec::new();
        for _ in &self.shards {
            groups.append(&mut answers.recv().ok()?);
        }
        Some(groups)
    }
}

fn to_record(group: GroupCheckpoint, wal: WalPosition) -> Result<(GroupId, Checkpoint), Error> {
    let manifest: Option<Manifest> = group.bodies.map(PendingCheckpoint::sync).transpose()?;
    let record = Checkpoint {
        applied: group.applied,
        wal,
        state: group.state.encode(),
        manifest,
    };
    Ok((group.group, record))
}

impl fmt::Debug for CheckpointerThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckpointerThread")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hitherto_cluster::{Encode, Refusal, Refused};
    use hitherto_jetstream::{Limits, Meta};
    use hitherto_platform::{FaultyDisk, SeededEntropy};

    use super::*;

    /// A log that only has a position, and notes what it may forget.
    #[derive(Default)]
    struct Position {
        file: Mutex<u64>,
        released: Mutex<Option<u64>>,
    }

    impl Log<Receipt> for Position {
        fn propose(&self, _: GroupId, _: &dyn Encode, _: Receipt) -> Result<(), Refused<Receipt>> {
            unreachable!("a checkpoint proposes nothing")
        }

        fn open_group(&self, _: GroupId, _: LogIndex) {}

        fn close_group(&self, _: GroupId) {}

        fn release(&self, before: WalPosition) {
            *self.released.lock().unwrap() = Some(before.file);
        }

        fn position(&self) -> WalPosition {
            let file = *self.file.lock().unwrap();
            WalPosition { file, offset: 512 }
        }

        fn pressure(&self) -> bool {
            false
        }

        fn ended(&self) -> Option<Refusal> {
            None
        }
    }

    /// Answers one order; before that a stream is deleted, if one is named.
    fn answer(queue: &ShardQueue, activity: &Activity, deleted: Option<GroupId>) {
        let mut inputs = Vec::new();
        queue.take(&mut inputs, None);
        let Some(Input::Checkpoint(order)) = inputs.pop() else {
            panic!("an order was expected");
        };
        if let Some(group) = deleted {
            activity.add_deleted(group);
        }
        let meta = Meta::new(Limits::default());
        let described = GroupCheckpoint {
            group: GroupId::META,
            applied: meta.applied(),
            state: StateSnapshot::Meta(meta.snapshot()),
            bodies: None,
        };
        assert!(order.answer.send(vec![described]).is_ok());
    }

    #[test]
    fn what_the_last_checkpoint_of_a_stream_deleted_meanwhile_needs_is_not_released() {
        let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new());
        let file = Path::new("/state.redb");
        let (log, queue) = (Arc::new(Position::default()), Arc::new(ShardQueue::new()));
        let mut checkpointer = Checkpointer {
            checkpoints: Checkpoints::open(&disk, file, &SeededEntropy::new(1)).unwrap(),
            disk,
            streams_dir: PathBuf::from("/streams"),
            log: Arc::<Position>::clone(&log),
            shards: vec![Arc::clone(&queue)],
            activity: Arc::new(Activity::new()),
            saved: None,
        };
        let activity = Arc::clone(&checkpointer.activity);
        let mut released_by_cycle_at = |file, deleted_meanwhile| {
            *log.file.lock().unwrap() = file;
            let deleted = activity.lock().reset();
            thread::scope(|scope| {
                scope.spawn(|| answer(&queue, &activity, deleted_meanwhile));
                assert!(checkpointer.checkpoint(&deleted).unwrap());
            });
            *log.released.lock().unwrap()
        };
        assert_eq!(released_by_cycle_at(1, Some(GroupId(1))), None);
        assert_eq!(released_by_cycle_at(2, None), Some(2));
        assert_eq!(released_by_cycle_at(3, None), Some(3));
        assert_eq!(released_by_cycle_at(4, Some(GroupId(2))), Some(3));
        assert_eq!(released_by_cycle_at(5, Some(GroupId(3))), Some(4));
        assert_eq!(released_by_cycle_at(6, None), Some(6));
    }
}
