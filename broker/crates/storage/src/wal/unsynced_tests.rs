//! Appends that are not synced, on a disk that loses and tears them.

use std::path::Path;
use std::sync::Arc;

use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_platform::{FaultyDisk, SeededEntropy};

use super::file::wal_path;
use super::*;

const DIR: &str = "/store/wal";

fn options() -> WalOptions {
    WalOptions {
        file_bytes: 16 * 1024,
        grow_bytes: 2048,
        spare_files: 1,
        entropy: Arc::new(SeededEntropy::new(1)),
        checkpointed: None,
        replay_from: None,
    }
}

fn try_open(disk: &FaultyDisk) -> Result<(Wal, Vec<u64>), Error> {
    let (wal, replay) = Wal::open(Arc::new(disk.clone()), Path::new(DIR), options())?;
    let entries: Result<Vec<_>, _> = replay.collect();
    let indexes = entries?.into_iter().map(|entry| entry.index.0).collect();
    Ok((wal, indexes))
}

fn open(disk: &FaultyDisk) -> (Wal, Vec<u64>) {
    try_open(disk).unwrap()
}

/// Appends one entry, whose size varies with its index up to a few sectors.
fn append(wal: &mut Wal, index: u64, is_synced: bool) -> Result<WalPosition, Error> {
    let body = vec![7; usize::try_from(index * 37 % 1500).unwrap()];
    let entry = WalEntry::plain(GroupId(1), LogIndex(index), &body);
    match is_synced {
        true => wal.append(&[entry]),
        false => wal.append_unsynced(&[entry]),
    }
}

#[test]
fn unsynced_appends_share_one_sync() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk);
    let before = disk.counters();
    let start = wal.position();
    for index in 1..=5 {
        append(&mut wal, index, false).unwrap();
    }
    let after = disk.counters();
    assert_eq!(
        (after.writes, after.syncs),
        (before.writes + 5, before.syncs)
    );
    assert_eq!(wal.replay_position(), start);
    assert!(wal.unsynced_bytes() >= 5 * 512);
    append(&mut wal, 6, true).unwrap();
    let last = disk.counters();
    assert_eq!(
        (last.writes, last.syncs),
        (after.writes + 1, after.syncs + 1)
    );
    assert_eq!(
        (wal.replay_position(), wal.unsynced_bytes()),
        (wal.position(), 0)
    );
    wal.sync().unwrap();
    assert_eq!(disk.counters(), last, "there is nothing to sync");
    disk.crash();
    assert_eq!(open(&disk).1, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn no_more_than_the_bound_is_left_unsynced() {
    let disk = FaultyDisk::new();
    let options = WalOptions {
        file_bytes: 64 * 1024 * 1024,
        ..options()
    };
    let (mut wal, _) = Wal::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
    let syncs = disk.counters().syncs;
    let body = vec![1; 100 * 1024];
    for index in 1..=40 {
        let entry = WalEntry::plain(GroupId(1), LogIndex(index), &body);
        wal.append_unsynced(&[entry]).unwrap();
        assert!(wal.unsynced_bytes() <= UNSYNCED_BYTES_MAX);
    }
    assert_eq!(
        disk.counters().syncs,
        syncs + 3,
        "every eleventh frame syncs"
    );
}

/// Lives one after the other, each with appends of both sorts, a power cut in the middle, and a look: what is
/// there is the beginning of what was appended, with everything that was synced.
#[test]
fn a_power_cut_takes_an_end_of_the_unsynced_and_nothing_else() {
    let seed = fastrand::u64(..);
    for world in 0..60 {
        let seed = seed.wrapping_add(world);
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = FaultyDisk::new();
        // What is there for certain, and what may be there behind it.
        let (mut safe, mut loose): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
        let mut next = 1;
        for life in 0..8 {
            let context = format!("seed {seed}, life {life}");
            let (mut wal, found) = match try_open(&disk) {
                Ok(opened) => opened,
                Err(error) => panic!("{context}: {error}"),
            };
            let all = [safe.as_slice(), &loose].concat();
            assert!(all.starts_with(&found), "{context}: {found:?} of {all:?}");
            assert!(
                found.starts_with(&safe),
                "{context}: {found:?} without {safe:?}"
            );
            (safe, loose) = (found, Vec::new());
            if random.bool() {
                disk.cut_power_after(random.u64(..40));
            }
            for _ in 0..random.usize(..30) {
                let is_synced = random.u8(..5) == 0;
                let appended = append(&mut wal, next, is_synced);
                loose.push(next);
                next += 1;
                if appended.is_err() {
                    break;
                }
                if wal.unsynced_bytes() == 0 || random.u8(..9) == 0 && wal.sync().is_ok() {
                    safe.append(&mut loose);
                }
            }
            match random.u8(..3) {
                // The process ends and the machine goes on: everything written is there, and synced by
                // whoever opens it.
                0 => {
                    disk.kill();
                    drop(wal);
                }
                1 => {
                    drop(wal);
                    disk.crash();
                }
                _ => {
                    drop(wal);
                    disk.crash_torn(random.u64(..));
                }
            }
        }
    }
}

#[test]
fn what_a_killed_process_left_is_made_durable_before_it_is_read() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk);
    append(&mut wal, 1, true).unwrap();
    for index in 2..=5 {
        append(&mut wal, index, false).unwrap();
    }
    disk.kill();
    drop(wal);
    let (wal, found) = open(&disk);
    assert_eq!(found, [1, 2, 3, 4, 5]);
    disk.crash();
    drop(wal);
    assert_eq!(open(&disk).1, found);
}

#[test]
fn damage_is_told_from_what_a_power_cut_took() {
    for (last_is_synced, is_damage) in [(false, [true, false, false]), (true, [true, true, true])] {
        let disk = FaultyDisk::new();
        let (mut wal, _) = open(&disk);
        let mut positions = vec![append(&mut wal, 1, true).unwrap()];
        for index in [2, 3, 4] {
            positions.push(append(&mut wal, index, false).unwrap());
        }
        if last_is_synced {
            wal.mark().unwrap();
        }
        drop(wal);
        for (position, is_damage) in positions.iter().zip(is_damage) {
            let copy = disk.snapshot();
            let offset = position.offset + 50;
            copy.flip_bit(&wal_path(Path::new(DIR), position.file), offset, 3)
                .unwrap();
            match try_open(&copy) {
                Ok((_, found)) => {
                    assert!(!is_damage, "{position}");
                    assert!([1, 2, 3, 4].starts_with(&found) && found.len() < 4);
                }
                Err(error) => {
                    assert!(matches!(error, Error::Damaged { .. }), "{error}");
                    assert!(is_damage, "{position}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_failed_sync_of_unsynced_appends_poisons() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk);
    append(&mut wal, 1, false).unwrap();
    disk.fail_sync(0);
    assert!(matches!(wal.sync(), Err(Error::Io { .. })));
    assert!(matches!(
        append(&mut wal, 2, false),
        Err(Error::Poisoned { .. })
    ));
    assert!(matches!(wal.sync(), Err(Error::Poisoned { .. })));
}
