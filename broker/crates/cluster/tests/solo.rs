//! The solo log on a disk that fails on command: order, acknowledgement after the sync, full disk, failed
//! sync, and an end that loses nothing.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use hitherto_cluster::{
    Commits, Committed, Durability, ENTRY_RECORDS_MAX, Encode, Log, LogError, RELAXED_SYNC_WITHIN,
    Refusal, SoloLog, SoloOptions,
};
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_platform::{Disk, FaultyDisk};
use hitherto_storage::{Wal, WalOptions};

const WAIT_MAX: Duration = Duration::from_secs(10);

struct Text(&'static str);

impl Encode for Text {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_slice(self.0.as_bytes());
    }
}

#[derive(Debug)]
enum Told {
    Committed(Committed<u32>),
    Failed(GroupId, Vec<u32>, LogError),
}

/// Hands what it is told to the test, and waits until the test has room for it.
struct ToTest(SyncSender<Told>);

impl Commits<u32> for ToTest {
    fn committed(&mut self, entry: Committed<u32>) {
        self.0.send(Told::Committed(entry)).ok();
    }

    fn failed(&mut self, group: GroupId, receipts: Vec<u32>, error: &LogError) {
        let told = Told::Failed(group, receipts, error.clone());
        self.0.send(told).ok();
    }

    fn round_complete(&mut self) {}
}

fn wal_options() -> WalOptions {
    WalOptions {
        file_bytes: 256 * 1024,
        grow_bytes: 64 * 1024,
        ..WalOptions::default()
    }
}

fn start_with(
    disk: &FaultyDisk,
    queue: usize,
    options: SoloOptions,
) -> (SoloLog<u32>, Receiver<Told>) {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (wal, replay) = Wal::open(shared, Path::new("wal"), wal_options()).unwrap();
    drop(replay);
    let (told, receiver) = sync_channel(queue);
    let log = SoloLog::start(wal, ToTest(told), options).unwrap();
    (log, receiver)
}

fn start(disk: &FaultyDisk) -> (SoloLog<u32>, Receiver<Told>) {
    start_with(disk, 100_000, SoloOptions::default())
}

fn committed(told: &Receiver<Told>) -> Committed<u32> {
    match told.recv_timeout(WAIT_MAX).unwrap() {
        Told::Committed(entry) => entry,
        Told::Failed(group, receipts, error) => panic!("{group} {receipts:?}: {error}"),
    }
}

fn failed(told: &Receiver<Told>) -> (GroupId, Vec<u32>, LogError) {
    match told.recv_timeout(WAIT_MAX).unwrap() {
        Told::Committed(entry) => panic!("{entry:?}"),
        Told::Failed(group, receipts, error) => (group, receipts, error),
    }
}

fn on_disk(disk: &FaultyDisk) -> Vec<(GroupId, LogIndex, String)> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (_wal, replay) = Wal::open(shared, Path::new("wal"), wal_options()).unwrap();
    replay
        .map(|entry| {
            let entry = entry.unwrap();
            let body = String::from_utf8(entry.body.to_vec()).unwrap();
            (entry.group, entry.index, body)
        })
        .collect()
}

#[test]
fn records_of_a_group_keep_their_order_and_every_receipt_comes_back_once() {
    let disk = FaultyDisk::new();
    let (log, told) = start(&disk);
    for group in 0..3 {
        log.open_group(GroupId(group), LogIndex(10));
    }
    std::thread::scope(|scope| {
        for group in 0..3 {
            let log = &log;
            scope.spawn(move || {
                for receipt in 0..5_000 {
                    log.propose(GroupId(group), &Text("x"), receipt).unwrap();
                }
            });
        }
    });
    log.shutdown();
    drop(log);

    let mut next = [0; 3];
    let mut last = [LogIndex(10); 3];
    while let Ok(told) = told.try_recv() {
        let Told::Committed(entry) = told else {
            panic!("{told:?}");
        };
        let group = usize::try_from(entry.group.0).unwrap();
        assert_eq!(entry.index, LogIndex(last[group].0 + 1), "no gaps");
        last[group] = entry.index;
        assert!(entry.receipts.len() <= ENTRY_RECORDS_MAX);
        assert_eq!(entry.body.len(), entry.receipts.len());
        for receipt in entry.receipts {
            assert_eq!(receipt, next[group]);
            next[group] += 1;
        }
    }
    assert_eq!(next, [5_000; 3]);
    let records: usize = on_disk(&disk).iter().map(|(.., body)| body.len()).sum();
    assert_eq!(records, 15_000);
}

#[test]
fn what_was_told_survives_a_crash() {
    let disk = FaultyDisk::new();
    let (log, told) = start(&disk);
    log.open_group(GroupId(1), LogIndex(0));
    for text in ["a", "b", "c"] {
        log.propose(GroupId(1), &Text(text), 0).unwrap();
        let entry = committed(&told);
        assert_eq!(entry.body, text.as_bytes());
    }
    // The disk of before the end: nothing but what was synced.
    disk.crash();
    drop(log);
    let bodies: String = on_disk(&disk).into_iter().map(|(.., body)| body).collect();
    assert_eq!(bodies, "abc");
}

/// Says when a round ends, and lets the lane wait there until the test has heard it.
struct Rounds(SyncSender<Option<Committed<u32>>>);

impl Commits<u32> for Rounds {
    fn committed(&mut self, entry: Committed<u32>) {
        self.0.send(Some(entry)).ok();
    }

    fn failed(&mut self, _group: GroupId, receipts: Vec<u32>, error: &LogError) {
        panic!("{receipts:?}: {error}");
    }

    fn round_complete(&mut self) {
        self.0.send(None).ok();
    }
}

#[test]
fn what_arrives_during_a_round_is_one_entry_of_the_next() {
    let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new());
    let (wal, _) = Wal::open(disk, Path::new("wal"), wal_options()).unwrap();
    let (sender, told) = sync_channel(0);
    let log = SoloLog::start(wal, Rounds(sender), SoloOptions::default()).unwrap();
    log.open_group(GroupId(1), LogIndex(0));
    log.propose(GroupId(1), &Text("first"), 1).unwrap();
    let first = told.recv_timeout(WAIT_MAX).unwrap().unwrap();
    assert_eq!(first.receipts, [1]);

    for receipt in 2..5 {
        log.propose(GroupId(1), &Text("x"), receipt).unwrap();
    }
    assert!(told.recv_timeout(WAIT_MAX).unwrap().is_none());
    let second = told.recv_timeout(WAIT_MAX).unwrap().unwrap();
    assert_eq!(second.receipts, [2, 3, 4]);
    assert_eq!(second.index, LogIndex(2));
    assert!(told.recv_timeout(WAIT_MAX).unwrap().is_none());
    log.shutdown();
}

#[test]
fn full_disk_fails_the_records_of_the_round_and_the_log_goes_on() {
    let disk = FaultyDisk::new();
    let (log, told) = start(&disk);
    log.open_group(GroupId(1), LogIndex(0));
    log.propose(GroupId(1), &Text("before"), 1).unwrap();
    committed(&told);

    disk.set_capacity(Some(disk.used_bytes()));
    // Fills the zeros written ahead, and then the disk.
    let mut refused = None;
    for receipt in 2..10_000 {
        log.propose(GroupId(1), &Text("0123456789abcdef"), receipt)
            .unwrap();
        if let Told::Failed(group, receipts, error) = told.recv_timeout(WAIT_MAX).unwrap() {
            assert_eq!((group, receipts), (GroupId(1), vec![receipt]));
            refused = Some((receipt, error));
            break;
        }
    }
    let (receipt, error) = refused.expect("the disk is full at some time");
    assert!(matches!(error, LogError::NotWritten { .. }), "{error}");
    assert_eq!(log.ended(), None);

    disk.set_capacity(None);
    log.propose(GroupId(1), &Text("after"), 0).unwrap();
    let after = committed(&told);
    assert_eq!(
        after.index,
        LogIndex(u64::from(receipt)),
        "the refused entry left no gap"
    );
    log.shutdown();
    drop(log);
    let stored = on_disk(&disk);
    assert_eq!(stored.last().unwrap().2, "after");
    assert_eq!(stored.len(), usize::try_from(receipt).unwrap());
}

#[test]
fn failed_sync_leaves_the_round_unknown_and_ends_the_log() {
    let disk = FaultyDisk::new();
    let (log, told) = start(&disk);
    log.open_group(GroupId(1), LogIndex(0));
    disk.fail_sync(0);
    log.propose(GroupId(1), &Text("lost?"), 1).unwrap();
    let (group, receipts, error) = failed(&told);
    assert_eq!((group, receipts), (GroupId(1), vec![1]));
    assert!(matches!(error, LogError::Unknown { .. }), "{error}");

    let refused = log.propose(GroupId(1), &Text("late"), 2).unwrap_err();
    assert_eq!((refused.reason, refused.receipt), (Refusal::Failed, 2));
    assert_eq!(log.ended(), Some(Refusal::Failed));
    log.open_group(GroupId(2), LogIndex(0));
    let refused = log.propose(GroupId(2), &Text("late"), 3).unwrap_err();
    assert_eq!(refused.reason, Refusal::Failed);
    log.shutdown();
}

#[test]
fn too_much_under_way_is_refused_until_it_has_been_applied() {
    let disk = FaultyDisk::new();
    let options = SoloOptions {
        pending_bytes_max: 8,
    };
    let (log, told) = start_with(&disk, 10, options);
    log.open_group(GroupId(1), LogIndex(0));
    log.propose(GroupId(1), &Text("12345678"), 1).unwrap();
    let entry = committed(&told);
    assert!(log.pressure());
    let refused = log.propose(GroupId(1), &Text("9"), 2).unwrap_err();
    assert_eq!((refused.reason, refused.receipt), (Refusal::Full, 2));
    drop(entry);
    assert!(!log.pressure());
    log.propose(GroupId(1), &Text("9"), 3).unwrap();
    assert_eq!(committed(&told).receipts, [3]);
}

#[test]
fn unknown_closed_and_ended_groups_refuse() {
    let disk = FaultyDisk::new();
    let (log, told) = start(&disk);
    let refused = log.propose(GroupId(1), &Text("x"), 1).unwrap_err();
    assert_eq!(refused.reason, Refusal::NoGroup);
    log.open_group(GroupId(1), LogIndex(0));
    log.propose(GroupId(1), &Text("x"), 2).unwrap();
    committed(&told);
    log.close_group(GroupId(1));
    let refused = log.propose(GroupId(1), &Text("x"), 3).unwrap_err();
    assert_eq!(refused.reason, Refusal::NoGroup);
    log.open_group(GroupId(2), LogIndex(0));
    log.shutdown();
    log.shutdown();
    let refused = log.propose(GroupId(2), &Text("x"), 4).unwrap_err();
    assert_eq!(refused.reason, Refusal::Closed);
}

#[test]
fn damage_of_the_last_entry_is_found_once_the_log_had_a_pause() {
    let disk = FaultyDisk::new();
    let (log, told) = start(&disk);
    log.open_group(GroupId(1), LogIndex(0));
    log.propose(GroupId(1), &Text("kept"), 1).unwrap();
    let position = committed(&told).position;
    // The lane marks its end by itself: a second frame.
    let (writes, waiting) = (disk.counters().writes, std::time::Instant::now());
    while disk.counters().writes == writes {
        assert!(waiting.elapsed() < WAIT_MAX, "no mark comes");
        std::thread::yield_now();
    }
    disk.kill();
    drop(log);
    let file = Path::new("wal/wal-0000000001.log");
    disk.flip_bit(file, position.offset + 60, 0).unwrap();
    let opened = Wal::open(Arc::new(disk), Path::new("wal"), wal_options());
    let damaged = opened.map(drop).unwrap_err().to_string();
    assert!(damaged.contains("unreadable"), "{damaged}");
}

/// A record that is not reported before it is synced, in any group.
struct Strict;

impl Encode for Strict {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_slice(b"strict");
    }

    fn needs_sync(&self) -> bool {
        true
    }
}

/// A log with a group of each sort: 1 is relaxed, 2 is not.
fn start_relaxed(disk: &FaultyDisk) -> (SoloLog<u32>, Receiver<Told>) {
    let (log, told) = start(disk);
    log.open_group(GroupId(1), LogIndex(0));
    log.open_group(GroupId(2), LogIndex(0));
    log.set_durability(GroupId(1), Durability::Relaxed);
    (log, told)
}

#[test]
fn records_of_a_relaxed_group_are_reported_before_the_sync_that_follows() {
    let disk = FaultyDisk::new();
    let (log, told) = start_relaxed(&disk);
    let (syncs, start) = (disk.counters().syncs, log.position());
    let before = std::time::Instant::now();
    log.propose(GroupId(1), &Text("early"), 1).unwrap();
    committed(&told);
    let seen = (disk.counters().syncs, log.position());
    // Unless this machine stood still for longer than the log waits.
    if before.elapsed() < RELAXED_SYNC_WITHIN / 2 {
        assert_eq!(seen, (syncs, start));
    }
    // Nobody asks for it.
    while log.position() == start {
        assert!(before.elapsed() < WAIT_MAX, "the sync follows by itself");
        std::thread::yield_now();
    }
    assert_eq!(log.sync(), Ok(()));
    disk.crash();
    drop(log);
    assert_eq!(on_disk(&disk).len(), 1);
}

#[test]
fn waiting_for_the_sync_makes_what_was_reported_durable() {
    let disk = FaultyDisk::new();
    let (log, told) = start_relaxed(&disk);
    for receipt in 0..20 {
        log.propose(GroupId(1), &Text("early"), receipt).unwrap();
        committed(&told);
        assert_eq!(log.sync(), Ok(()));
        let there = on_disk(&copy_after_power_cut(&disk));
        assert_eq!(there.len(), usize::try_from(receipt).unwrap() + 1);
    }
}

#[test]
fn what_must_not_wait_is_reported_after_the_sync_and_so_is_what_stands_before_it() {
    let disk = FaultyDisk::new();
    let (log, told) = start_relaxed(&disk);
    for (group, record) in [(2, &Text("durable") as &dyn Encode), (1, &Strict)] {
        for receipt in 0..20 {
            log.propose(GroupId(1), &Text("early"), receipt).unwrap();
            committed(&told);
            log.propose(GroupId(group), record, receipt).unwrap();
            committed(&told);
            let there = on_disk(&copy_after_power_cut(&disk));
            let early = there.iter().filter(|(.., body)| body == "early").count();
            let others = there.len() - early;
            assert_eq!(
                early, others,
                "every other one is there with those before it"
            );
            assert_eq!(others % 20, (usize::try_from(receipt).unwrap() + 1) % 20);
        }
    }
    log.set_durability(GroupId(1), Durability::Synced);
    log.propose(GroupId(1), &Text("late"), 1).unwrap();
    committed(&told);
    let there = on_disk(&copy_after_power_cut(&disk));
    assert_eq!(there.last().unwrap().2, "late");
}

#[test]
fn an_end_syncs_what_was_reported() {
    let disk = FaultyDisk::new();
    let (log, told) = start_relaxed(&disk);
    log.propose(GroupId(1), &Text("early"), 1).unwrap();
    committed(&told);
    log.shutdown();
    assert_eq!(log.sync(), Ok(()));
    disk.crash();
    assert_eq!(on_disk(&disk).len(), 1);
}

#[test]
fn a_failed_sync_of_what_was_reported_is_told_to_who_waits() {
    let disk = FaultyDisk::new();
    let (log, told) = start_relaxed(&disk);
    disk.fail_sync(0);
    log.propose(GroupId(1), &Text("early"), 1).unwrap();
    committed(&told);
    assert_eq!(log.sync(), Err(Refusal::Failed));
    assert_eq!(log.ended(), Some(Refusal::Failed));
}

/// What a power cut right now would leave.
fn copy_after_power_cut(disk: &FaultyDisk) -> FaultyDisk {
    let copy = disk.snapshot();
    copy.crash();
    copy
}
