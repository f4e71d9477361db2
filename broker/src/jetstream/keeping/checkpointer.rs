//! Checkpoints: what lets the log be forgotten and the next start be quick. A thread of its own, so that
//! its syncs hold up nobody.
//!
//! A cycle reads the log's position first and then sends an order through the queue of every shard. What
//! lies before that position was in those queues already, so each group's answer contains it: the
//! position is where the replay of every group begins, also of those that were idle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hitherto_cluster::Log;
use hitherto_jetstream::GroupId;
use hitherto_platform::Disk;
use hitherto_storage::{Checkpoint, Checkpoints, Error, Manifest, PendingCheckpoint, WalPosition};

use crate::jetstream::files::{LOG_START, Reserve, stream_dirs};
use crate::jetstream::orders::{
    Activity, CheckpointOrder, Described, GroupCheckpoint, HASTE_DELAY, Input, ShardQueues,
};
use crate::jetstream::telling::Receipt;

/// Longest pause before a failed checkpoint is tried again: 1 minute. The first is [`HASTE_DELAY`], each next
/// one twice as long.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// The thread, and what it needs.
pub(crate) struct Checkpointer {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) streams_dir: PathBuf,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) log: Arc<dyn Log<Receipt>>,
    pub(crate) shards: ShardQueues,
    pub(crate) activity: Arc<Activity>,
    pub(crate) reserve: Arc<Reserve>,
    /// The position of the last checkpoint this run has saved.
    pub(crate) saved: Option<WalPosition>,
    /// Where the log begins that the last checkpoint of each group needs.
    pub(crate) positions: BTreeMap<GroupId, WalPosition>,
    /// Groups whose last checkpoint is not of the last cycle: offline streams, and those that cannot write
    /// their files. The log is kept for them.
    pub(crate) behind: BTreeSet<GroupId>,
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
        let mut delay = HASTE_DELAY;
        while let Some(deleted) = self.activity.wait() {
            // The log keeps what a failed checkpoint would have let go.
            match self.checkpoint(&deleted) {
                Ok(Done::All) => {
                    delay = HASTE_DELAY;
                    continue;
                }
                Ok(Done::Part) => self.activity.retry(Vec::new(), delay),
                Ok(Done::Nothing) => self.activity.retry(deleted, delay),
                Err(error) => {
                    if matches!(error, Error::Full { .. }) {
                        self.reserve.give_up();
                    }
                    tracing::error!(%error, ?delay, "cannot write a checkpoint; trying again");
                    self.activity.retry(deleted, delay);
                }
            }
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
        self
    }

    /// The last checkpoint, when the log has ended and the shards still run.
    pub(crate) fn last_checkpoint(&mut self) -> Result<(), Error> {
        let deleted = self.activity.begin();
        self.checkpoint(&deleted).map(drop)
    }

    /// Makes a checkpoint of every group, forgets the deleted ones, and releases the log nobody needs.
    fn checkpoint(&mut self, deleted: &[GroupId]) -> Result<Done, Error> {
        let wal = self.log.position();
        let Some(described) = self.describe() else {
            return Ok(Done::Nothing);
        };
        // A stream deleted meanwhile was not described, and the meta group's description may still have
        // it: its last checkpoint stays in use until the next cycle, and needs the log from there.
        let needed = match self.activity.has_deleted() {
            true => self.saved,
            false => Some(wal),
        };
        // What a checkpoint knows the log has for certain.
        self.log.sync().map_err(|_| Error::Poisoned {
            file: self.streams_dir.with_file_name("wal"),
        })?;
        let (saved, done) = self.sync(described, wal);
        let records: Vec<_> = saved
            .iter()
            .map(|(group, record)| (*group, record))
            .collect();
        self.checkpoints.save_all(&records)?;
        self.saved = Some(wal);
        for (group, record) in saved {
            self.positions.insert(group, wal);
            if let Some(manifest) = record.manifest {
                let saved = Input::CheckpointSaved(group, Box::new(manifest));
                self.shards.of(group).push(saved);
            }
        }
        // The meta group's state without them is saved: now they may go.
        for group in deleted {
            self.checkpoints.remove(*group)?;
            stream_dirs::remove(&*self.disk, &self.streams_dir, *group)?;
            self.positions.remove(group);
            self.behind.remove(group);
        }
        self.release(needed);
        Ok(done)
    }

    /// Makes the descriptions true. A stream that cannot write its files does not hold up the others.
    fn sync(
        &mut self,
        described: Described,
        wal: WalPosition,
    ) -> (Vec<(GroupId, Checkpoint)>, Done) {
        let mut saved = Vec::with_capacity(described.groups.len());
        let mut done = match described.failed.is_empty() {
            true => Done::All,
            false => Done::Part,
        };
        self.behind.extend(described.failed);
        self.behind.extend(described.offline);
        for description in described.groups {
            let group = description.group;
            match to_record(description, wal) {
                Ok(record) => {
                    self.behind.remove(&group);
                    saved.push((group, record));
                }
                Err(error) => {
                    if matches!(error, Error::Full { .. }) {
                        self.reserve.give_up();
                    }
                    tracing::error!(%group, %error, "cannot sync the segments of a stream");
                    self.behind.insert(group);
                    done = Done::Part;
                }
            }
        }
        (saved, done)
    }

    /// Releases the log before `needed`, but not what the groups left behind need.
    fn release(&self, needed: Option<WalPosition>) {
        let position = |group| self.positions.get(group).copied().unwrap_or(LOG_START);
        let behind = self.behind.iter().map(position).min();
        if let Some(needed) = needed {
            self.log
                .release(behind.map_or(needed, |behind| behind.min(needed)));
        }
    }

    /// Asks every shard; `None` when one of them has ended.
    fn describe(&self) -> Option<Described> {
        let (answer, answers) = sync_channel(self.shards.len());
        for shard in self.shards.iter() {
            let answer = answer.clone();
            shard.push(Input::Checkpoint(CheckpointOrder { answer }));
        }
        drop(answer);
        let mut all = Described::default();
        for _ in self.shards.iter() {
            let mut described: Described = answers.recv().ok()?;
            all.groups.append(&mut described.groups);
            all.failed.append(&mut described.failed);
            all.offline.append(&mut described.offline);
        }
        Some(all)
    }
}

/// What became of a checkpoint.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    All,
    /// Some groups cannot write their files.
    Part,
    /// A shard has ended.
    Nothing,
}

fn to_record(group: GroupCheckpoint, wal: WalPosition) -> Result<Checkpoint, Error> {
    let manifest: Option<Manifest> = group.bodies.map(PendingCheckpoint::sync).transpose()?;
    Ok(Checkpoint {
        applied: group.applied,
        wal,
        state: group.state.encode(),
        manifest,
    })
}

impl fmt::Debug for CheckpointerThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckpointerThread")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use hitherto_cluster::{Durability, Encode, Refusal, Refused};
    use hitherto_jetstream::{Limits, LogIndex, Meta};
    use hitherto_platform::{FaultyDisk, SeededEntropy};

    use super::*;
    use crate::jetstream::files::StateSnapshot;
    use crate::jetstream::orders::{GroupCheckpoint, ShardQueue};

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

        fn set_durability(&self, _: GroupId, _: Durability) {}

        fn sync(&self) -> Result<(), Refusal> {
            Ok(())
        }

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

        fn end(&self) {}
    }

    /// Answers one order; before that a stream is deleted, if one is named.
    fn answer(
        queue: &ShardQueue,
        activity: &Activity,
        deleted: Option<GroupId>,
        failed: Vec<GroupId>,
    ) {
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
        let described = Described {
            groups: vec![described],
            failed,
            offline: Vec::new(),
        };
        assert!(order.answer.send(described).is_ok());
    }

    fn checkpointer(log: &Arc<Position>, shards: &ShardQueues) -> Checkpointer {
        let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new());
        let file = Path::new("/state.redb");
        Checkpointer {
            reserve: Arc::new(Reserve::new(Arc::clone(&disk), PathBuf::new(), 0)),
            checkpoints: Checkpoints::open(&disk, file, &SeededEntropy::new(1)).unwrap(),
            disk,
            streams_dir: PathBuf::from("/streams"),
            log: Arc::<Position>::clone(log),
            shards: shards.clone(),
            activity: Arc::new(Activity::new()),
            saved: None,
            positions: BTreeMap::new(),
            behind: BTreeSet::new(),
        }
    }

    #[test]
    fn what_the_last_checkpoint_of_a_stream_deleted_meanwhile_needs_is_not_released() {
        let (log, shards) = (Arc::new(Position::default()), ShardQueues::new(1));
        let mut checkpointer = checkpointer(&log, &shards);
        let queue = shards.of(GroupId::META);
        let activity = Arc::clone(&checkpointer.activity);
        let mut released_by_cycle_at = |file, deleted_meanwhile| {
            *log.file.lock().unwrap() = file;
            let deleted = activity.begin();
            thread::scope(|scope| {
                scope.spawn(|| answer(queue, &activity, deleted_meanwhile, Vec::new()));
                assert_eq!(checkpointer.checkpoint(&deleted).unwrap(), Done::All);
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

    #[test]
    fn a_stream_that_cannot_write_its_files_keeps_the_log_and_not_the_checkpoints_of_others() {
        let (log, shards) = (Arc::new(Position::default()), ShardQueues::new(1));
        let mut checkpointer = checkpointer(&log, &shards);
        let queue = shards.of(GroupId::META);
        let stuck = GroupId(7);
        let at = |file| WalPosition { file, offset: 512 };
        checkpointer.positions.insert(stuck, at(2));
        let activity = Arc::clone(&checkpointer.activity);
        for (file, failed, done, released) in [
            (3, vec![stuck], Done::Part, 2),
            (4, vec![stuck], Done::Part, 2),
        ] {
            *log.file.lock().unwrap() = file;
            thread::scope(|scope| {
                scope.spawn(|| answer(queue, &activity, None, failed));
                assert_eq!(checkpointer.checkpoint(&[]).unwrap(), done);
            });
            assert_eq!(*log.released.lock().unwrap(), Some(released));
            assert_eq!(checkpointer.positions[&GroupId::META], at(file));
        }
        // Its deletion lets the log go.
        *log.file.lock().unwrap() = 5;
        thread::scope(|scope| {
            scope.spawn(|| answer(queue, &activity, None, Vec::new()));
            assert_eq!(checkpointer.checkpoint(&[stuck]).unwrap(), Done::All);
        });
        assert_eq!(*log.released.lock().unwrap(), Some(5));
    }

    #[test]
    fn after_a_full_disk_checkpoints_go_on_without_a_restart() {
        let (log, shards) = (Arc::new(Position::default()), ShardQueues::new(1));
        let mut checkpointer = checkpointer(&log, &shards);
        let queue = shards.of(GroupId::META);
        let disk = FaultyDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let file = Path::new("/state.redb");
        let opened = Checkpoints::open(&shared, file, &SeededEntropy::new(1));
        checkpointer.checkpoints = opened.unwrap();
        let activity = Arc::clone(&checkpointer.activity);
        let large = Checkpoint {
            applied: LogIndex(1),
            wal: LOG_START,
            state: vec![1; 10_000_000],
            manifest: None,
        };
        for file in 1..4 {
            *log.file.lock().unwrap() = file;
            thread::scope(|scope| {
                scope.spawn(|| answer(queue, &activity, None, Vec::new()));
                assert_eq!(checkpointer.checkpoint(&[]).unwrap(), Done::All);
            });
            assert_eq!(*log.released.lock().unwrap(), Some(file));
            disk.set_capacity(Some(disk.used_bytes()));
            let refused = checkpointer.checkpoints.save(GroupId(9), &large);
            assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
            disk.set_capacity(None);
        }
    }
}
