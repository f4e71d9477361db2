//! openraft's own tests of a storage, on the node's log on a disk in memory.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_platform::FaultyDisk;
use hitherto_storage::{Wal, WalOptions};
use openraft::storage::RaftStateMachine as _;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{EntryPayload, StorageError};

use super::group_log::{Entries, GroupLog};
use super::log_store::LogStore;
use super::machine::{Gate, Machine, Progress};
use super::snapshot::{RaftSnapshot, SnapshotFile, Snapshots};
use super::tail::Tail;
use super::types::{Entry, Records, TypeConfig, log_id};
use crate::budget::Budget;
use crate::commits::SharedCommits;
use crate::{Commits, Committed, LogError, SoloLog, SoloOptions};

/// Bytes that may be handed on and not applied.
const BUDGET: usize = 100;

struct Nobody;

impl Commits<()> for Nobody {
    fn committed(&mut self, _: Committed<()>) {}

    fn failed(&mut self, _: GroupId, _: Vec<()>, _: &LogError) {}

    fn round_complete(&mut self) {}
}

/// Snapshots of what was applied last, without files.
struct WithoutFiles(Arc<Progress>);

impl Snapshots for WithoutFiles {
    fn take(&self, _: GroupId) -> io::Result<RaftSnapshot> {
        Ok(RaftSnapshot {
            index: LogIndex(self.0.applied().map_or(0, |applied| applied.index)),
            state: Bytes::new(),
            files: Vec::new(),
        })
    }

    fn read(&self, _: GroupId, _: &SnapshotFile, _: u64, _: usize) -> io::Result<Bytes> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn received(&self, _: GroupId, _: &SnapshotFile) -> io::Result<u64> {
        Ok(0)
    }

    fn receive(&self, _: GroupId, _: &SnapshotFile, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn install(&self, _: GroupId, _: RaftSnapshot) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps so many bytes of entries in memory.
struct Builder(usize);

impl StoreBuilder<TypeConfig, LogStore, Machine<()>, SoloLog<()>> for Builder {
    async fn build(
        &self,
    ) -> Result<(SoloLog<()>, LogStore, Machine<()>), StorageError<TypeConfig>> {
        let disk = Arc::new(FaultyDisk::new());
        let options = WalOptions {
            grow_bytes: 4096,
            ..WalOptions::default()
        };
        let (wal, _) = Wal::open(disk, Path::new("wal"), options).unwrap();
        let reader = wal.reader();
        let solo = SoloLog::start(wal, Nobody, SoloOptions::default()).unwrap();
        let tail = Arc::new(Tail::new(self.0));
        let group = GroupId(7);
        let log = GroupLog::new(group, Entries::default(), (solo.lane(), reader, tail));
        let progress = Arc::new(Progress::default());
        let machine = Machine {
            group,
            log: Arc::clone(&log),
            snapshots: Arc::new(WithoutFiles(Arc::clone(&progress))),
            progress,
            commits: SharedCommits::new(Nobody),
            budget: Budget::new(BUDGET),
            gate: Gate::open(),
        };
        Ok((solo, LogStore(log), machine))
    }
}

#[tokio::test]
async fn entries_are_handed_on_once_and_without_gaps() {
    let (solo, store, mut machine) = Builder(0).build().await.unwrap();
    let blank = |index| Entry {
        log_id: log_id(1, index),
        payload: EntryPayload::Blank,
    };
    let appended = store.0.append((0..6).map(blank), Box::new(drop));
    appended.unwrap();
    let mut apply = async |indexes: std::ops::Range<u64>| {
        let entries = indexes.map(|index| Ok((blank(index), None)));
        let applied = machine.apply(stream::iter(entries)).await;
        (applied.is_ok(), machine.progress.applied())
    };
    assert_eq!(apply(0..4).await, (true, Some(log_id(1, 3))));
    assert_eq!(apply(3..6).await, (false, Some(log_id(1, 3))));
    assert_eq!(apply(5..6).await, (false, Some(log_id(1, 3))));
    assert_eq!(apply(4..6).await, (true, Some(log_id(1, 5))));
    solo.shutdown();
}

/// Applies nothing until it is told to.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Vec<Committed<()>>>>);

impl Commits<()> for Slow {
    fn committed(&mut self, entry: Committed<()>) {
        self.0.lock().unwrap().push(entry);
    }

    fn failed(&mut self, _: GroupId, _: Vec<()>, _: &LogError) {}

    fn round_complete(&mut self) {}
}

#[tokio::test]
async fn a_state_machine_that_lags_is_waited_for_but_not_by_a_core_that_ends() {
    let (solo, _, mut machine) = Builder(0).build().await.unwrap();
    let slow = Slow::default();
    machine.commits = SharedCommits::new(slow.clone());
    let (gate, progress) = (machine.gate.clone(), Arc::clone(&machine.progress));
    let entries = (1..=10).map(|index| {
        let payload = EntryPayload::Normal(Records(Bytes::from(vec![7; BUDGET / 2])));
        let log_id = log_id(1, index);
        Ok((Entry { log_id, payload }, None))
    });
    let mut applying = Box::pin(machine.apply(stream::iter(entries)));
    for handed_on in [2, 4, 6] {
        assert!(futures_util::poll!(&mut applying).is_pending());
        assert_eq!(progress.applied(), Some(log_id(1, handed_on)));
        let applied = std::mem::take(&mut *slow.0.lock().unwrap());
        assert_eq!(applied.len(), 2);
    }
    assert!(futures_util::poll!(&mut applying).is_pending());
    let (applied, ()) = tokio::join!(applying, gate.close());
    applied.unwrap_err();
    assert_eq!(progress.applied(), Some(log_id(1, 8)));
    solo.shutdown();
}

#[test]
fn the_suite_of_openraft_passes() {
    for tail_bytes in [usize::MAX, 0] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let suite = Suite::test_all(Builder(tail_bytes));
        runtime.unwrap().block_on(suite).unwrap();
    }
}
