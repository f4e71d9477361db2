//! The three parts together on the real file system: a node that checkpoints, stops in the middle
//! of its work, and recovers from the checkpoint and the log behind it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hitherto_jetstream::{GroupId, LogIndex, StoredMessage, StreamSeq};
use hitherto_platform::{Disk, RealDisk, SystemEntropy};
use hitherto_protocol::{Subject, Timestamp};
use hitherto_storage::{
    Checkpoint, Checkpoints, Error, Manifest, StreamStore, StreamStoreOptions, Wal, WalEntry,
    WalOptions, WalPosition, WalRange,
};

const GROUP: GroupId = GroupId(1);

/// A state machine as small as can be: every log entry is one message.
struct Node {
    wal: Wal,
    store: StreamStore,
    checkpoints: Checkpoints,
    applied: u64,
    position: WalPosition,
}

fn message(index: u64) -> StoredMessage {
    StoredMessage {
        seq: StreamSeq(index),
        at: Timestamp::UNIX_EPOCH,
        subject: Subject::new(format!("orders.{index}")).unwrap(),
        headers: None,
        payload: Bytes::from(vec![index.to_le_bytes()[0]; 700]),
    }
}

impl Node {
    fn start(dir: &Path) -> Result<Self, Error> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
        let path = dir.join("state.redb");
        let checkpoints = Checkpoints::open(&disk, &path, &SystemEntropy::new())?;
        let saved = checkpoints
            .load_all()?
            .into_iter()
            .next()
            .map(|(_, checkpoint)| checkpoint);
        let options = WalOptions {
            file_bytes: 256 * 1024,
            checkpointed: WalRange::covering(saved.iter().map(|checkpoint| checkpoint.wal)),
            ..WalOptions::default()
        };
        let (wal, replay) = Wal::open(disk.clone(), &dir.join("wal"), options)?;
        let store_options = StreamStoreOptions {
            segment_bytes: 100_000,
            ..Default::default()
        };
        let bodies = dir.join("streams/1");
        let (mut applied, manifest) = match saved {
            Some(checkpoint) => (checkpoint.applied.0, checkpoint.manifest),
            None => (0, None),
        };
        let mut store = match manifest {
            Some(manifest) => StreamStore::open(disk, &bodies, store_options, manifest)?,
            None => StreamStore::create(disk, &bodies, store_options)?,
        };
        let mut position = wal.position();
        for entry in replay {
            let entry = entry?;
            if entry.index.0 > applied {
                assert_eq!(entry.body, message(entry.index.0).payload);
                store.append(message(entry.index.0));
                applied = entry.index.0;
            }
            position = entry.position;
        }
        Ok(Self {
            wal,
            store,
            checkpoints,
            applied,
            position,
        })
    }

    fn run(&mut self, entries: u64) {
        for _ in 0..entries {
            let message = message(self.applied + 1);
            let entry = WalEntry::plain(GROUP, LogIndex(message.seq.0), &message.payload);
            self.position = self.wal.append(&[entry]).unwrap();
            self.store.append(message);
            self.applied += 1;
        }
    }

    fn checkpoint(&mut self) {
        let pending = self.store.prepare_checkpoint().unwrap();
        let manifest: Manifest = std::thread::spawn(move || pending.sync())
            .join()
            .unwrap()
            .unwrap();
        let checkpoint = Checkpoint {
            applied: LogIndex(self.applied),
            wal: self.position,
            state: b"state".to_vec(),
            manifest: Some(manifest.clone()),
        };
        self.checkpoints.save(GROUP, &checkpoint).unwrap();
        self.store.checkpoint_saved(&manifest).unwrap();
        self.wal.release(self.position).unwrap();
    }

    fn check(&self, applied: u64) {
        assert_eq!(self.applied, applied);
        assert_eq!(
            self.store.metas().map(Result::unwrap).count() as u64,
            applied
        );
        for index in (1..=applied).step_by(13) {
            assert_eq!(
                self.store.get(StreamSeq(index)).unwrap(),
                Some(message(index))
            );
        }
    }
}

#[test]
fn a_node_recovers_from_its_checkpoint_and_the_log_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut applied = 0;
    for round in 0..4 {
        let mut node = Node::start(dir.path()).unwrap();
        node.check(applied);
        node.run(150);
        if round != 1 {
            node.checkpoint();
        }
        node.run(60);
        applied += 210;
        node.check(applied);
        if round == 2 {
            node.wal.mark().unwrap();
        }
    }
    Node::start(dir.path()).unwrap().check(applied);
    let logs = std::fs::read_dir(dir.path().join("wal")).unwrap().count();
    assert!(logs <= 5, "released files are recycled: {logs}");
}

#[test]
fn a_store_without_its_log_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path()).unwrap();
    node.run(20);
    node.checkpoint();
    drop(node);
    std::fs::remove_dir_all(dir.path().join("wal")).unwrap();
    assert!(matches!(
        Node::start(dir.path()),
        Err(Error::Damaged { .. })
    ));
}

#[test]
fn a_store_in_use_does_not_start_twice() {
    let dir = tempfile::tempdir().unwrap();
    let _node = Node::start(dir.path()).unwrap();
    assert!(matches!(Node::start(dir.path()), Err(Error::Locked { .. })));
}
