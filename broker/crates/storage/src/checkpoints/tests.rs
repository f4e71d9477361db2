//! Checkpoints survive a crash at any operation, old or new, never half.

use std::collections::BTreeMap;

use hitherto_platform::{DiskFile, FaultyDisk, SeededEntropy};

use super::*;

const PATH: &str = "/store/state.redb";

type Saved = BTreeMap<u32, Checkpoint>;

fn open(disk: &FaultyDisk) -> Result<Checkpoints, Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Checkpoints::open(&disk, Path::new(PATH), &SeededEntropy::new(5))
}

fn load(checkpoints: &Checkpoints) -> Saved {
    let all = checkpoints.load_all().unwrap();
    all.into_iter()
        .map(|(group, checkpoint)| (group.0, checkpoint))
        .collect()
}

fn checkpoint(applied: u64, state_bytes: usize) -> Checkpoint {
    Checkpoint {
        applied: LogIndex(applied),
        wal: WalPosition {
            file: 1,
            offset: applied * 512,
        },
        state: vec![u8::try_from(applied).unwrap(); state_bytes],
        manifest: None,
    }
}

/// Saves, replaces and removes; returns what was acknowledged and what the step under way would
/// have made of it.
fn workload(disk: &FaultyDisk) -> (Saved, Option<Saved>) {
    let mut acked = Saved::new();
    let Ok(mut checkpoints) = open(disk) else {
        return (acked, None);
    };
    for round in 1..=8 {
        let mut after = acked.clone();
        let group = u32::try_from(round % 3).unwrap();
        let done = if round == 6 {
            after.remove(&group);
            checkpoints.remove(GroupId(group))
        } else {
            let one = checkpoint(round, 3000 * usize::try_from(round).unwrap());
            let two = checkpoint(round + 100, 10);
            after.insert(group, one.clone());
            after.insert(9, two.clone());
            checkpoints.save_all(&[(GroupId(group), &one), (GroupId(9), &two)])
        };
        if done.is_err() {
            return (acked, Some(after));
        }
        acked = after;
    }
    (acked, None)
}

#[test]
fn saved_checkpoints_are_loaded_in_order_and_the_identity_stays() {
    let disk = FaultyDisk::new();
    let mut checkpoints = open(&disk).unwrap();
    let id = checkpoints.id();
    assert_eq!(load(&checkpoints), Saved::new());
    checkpoints.save(GroupId(2), &checkpoint(1, 0)).unwrap();
    checkpoints
        .save(GroupId(1), &checkpoint(2, 100_000))
        .unwrap();
    checkpoints.remove(GroupId(7)).unwrap();
    drop(checkpoints);
    let checkpoints = open(&disk).unwrap();
    assert_eq!(checkpoints.id(), id);
    let loaded = checkpoints.load_all().unwrap();
    assert_eq!(loaded[0], (GroupId(1), checkpoint(2, 100_000)));
    assert_eq!(loaded[1], (GroupId(2), checkpoint(1, 0)));
}

#[test]
fn a_crash_at_any_operation_keeps_every_saved_checkpoint() {
    for seed in 0..3_u64 {
        // Every operation for the plain crash, every fourth for each torn one.
        for cut in (seed..).step_by(if seed == 0 { 1 } else { 4 }) {
            let disk = FaultyDisk::new();
            disk.cut_power_after(cut);
            let (acked, under_way) = workload(&disk);
            let done = under_way.is_none() && acked.len() == 3;
            if seed == 0 {
                disk.crash()
            } else {
                disk.crash_torn(seed * 7919 + cut)
            }
            let context = format!("power cut after {cut} operations, seed {seed}");
            let mut checkpoints =
                open(&disk).unwrap_or_else(|error| panic!("{context}: {error:?}"));
            let loaded = load(&checkpoints);
            assert!(loaded == acked || Some(loaded) == under_way, "{context}");
            checkpoints.save(GroupId(0), &checkpoint(50, 50)).unwrap();
            if done {
                assert!(cut > 20, "the workload has that many steps");
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_keeps_the_old_checkpoint() {
    let disk = FaultyDisk::new();
    let mut checkpoints = open(&disk).unwrap();
    checkpoints.save(GroupId(1), &checkpoint(1, 100)).unwrap();
    disk.set_capacity(Some(disk.used_bytes()));
    let error = checkpoints
        .save(GroupId(1), &checkpoint(2, 10_000_000))
        .unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    drop(checkpoints);
    disk.crash();
    disk.set_capacity(None);
    let checkpoints = open(&disk).unwrap();
    assert_eq!(load(&checkpoints)[&1], checkpoint(1, 100));
}

#[test]
fn a_second_open_is_refused() {
    let disk = FaultyDisk::new();
    let _held = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(Error::Locked { .. })));
}

#[test]
fn a_newer_format_is_refused() {
    let disk = FaultyDisk::new();
    let checkpoints = open(&disk).unwrap();
    let newer = (FORMAT + 1).to_le_bytes();
    commit(checkpoints.database.as_ref().unwrap(), |transaction| {
        transaction
            .open_table(STORE)?
            .insert("format", newer.as_slice())?;
        Ok(())
    })
    .unwrap();
    drop(checkpoints);
    let error = open(&disk).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NewerFormat {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn an_emptied_database_is_damage_and_not_a_new_store() {
    let disk = FaultyDisk::new();
    drop(open(&disk).unwrap());
    let file: Box<dyn DiskFile> = disk.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
    file.set_len(0).unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
}

#[test]
fn a_flipped_bit_never_yields_a_wrong_checkpoint() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let disk = FaultyDisk::new();
    let (saved, _) = workload(&disk);
    let file = disk.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
    let mut content = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut content, 0).unwrap();
    let mut noticed = 0;
    for _ in 0..200 {
        let (offset, bit) = (rng.usize(0..content.len()), rng.u8(0..8));
        file.write_at(&content, 0).unwrap();
        file.set_len(content.len() as u64).unwrap();
        disk.flip_bit(Path::new(PATH), offset as u64, bit).unwrap();
        match open(&disk).and_then(|checkpoints| checkpoints.load_all()) {
            Ok(loaded) => {
                let loaded: Saved = loaded.into_iter().map(|(group, c)| (group.0, c)).collect();
                assert!(loaded == saved, "seed {seed}, offset {offset}, bit {bit}");
            }
            Err(_) => noticed += 1,
        }
    }
    assert!(noticed < 200, "seed {seed}: most of the file is free pages");
}

/// A full disk may refuse any write of a commit; when there is room again the next one goes through, without
/// a restart.
#[test]
fn after_a_full_disk_the_database_is_opened_anew() {
    for room in (0..400_000).step_by(40_000) {
        let disk = FaultyDisk::new();
        let mut checkpoints = open(&disk).unwrap();
        checkpoints.save(GroupId(1), &checkpoint(1, 100)).unwrap();
        disk.set_capacity(Some(disk.used_bytes() + room));
        let large = checkpoint(2, 1_000_000);
        for _ in 0..3 {
            let error = checkpoints.save(GroupId(1), &large).unwrap_err();
            assert!(
                matches!(error, Error::Full { .. }),
                "room {room}: {error:?}"
            );
        }
        disk.set_capacity(None);
        checkpoints.save(GroupId(2), &checkpoint(3, 100)).unwrap();
        let expected = Saved::from([(1, checkpoint(1, 100)), (2, checkpoint(3, 100))]);
        assert_eq!(load(&checkpoints), expected, "room {room}");
        disk.crash();
        drop(checkpoints);
        assert_eq!(load(&open(&disk).unwrap()), expected, "room {room}");
    }
}

#[test]
fn after_a_failed_sync_it_is_not() {
    let disk = FaultyDisk::new();
    let mut checkpoints = open(&disk).unwrap();
    checkpoints.save(GroupId(1), &checkpoint(1, 100)).unwrap();
    disk.fail_sync(0);
    let error = checkpoints
        .save(GroupId(1), &checkpoint(2, 100))
        .unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    for _ in 0..2 {
        let error = checkpoints
            .save(GroupId(1), &checkpoint(3, 100))
            .unwrap_err();
        assert!(matches!(error, Error::Poisoned { .. }), "{error:?}");
    }
}

/// The process dies of the failed sync and the machine goes on, so that what was not saved still reads back. Nothing
/// may be built on it: it is gone with the next power cut.
#[test]
fn what_a_failed_sync_left_in_memory_is_no_ground_for_later_checkpoints() {
    for syncs in 0..6 {
        let disk = FaultyDisk::new();
        let mut checkpoints = open(&disk).unwrap();
        checkpoints.save(GroupId(1), &checkpoint(1, 9_000)).unwrap();
        disk.fail_sync(syncs);
        let mut acked = 1;
        while checkpoints
            .save(GroupId(1), &checkpoint(acked + 1, 9_000))
            .is_ok()
        {
            acked += 1;
        }
        disk.kill();
        drop(checkpoints);
        let mut checkpoints = open(&disk).unwrap();
        let mut expected = load(&checkpoints);
        let applied = expected[&1].applied.0;
        assert!(applied == acked || applied == acked + 1, "sync {syncs}");
        checkpoints.save(GroupId(2), &checkpoint(7, 100)).unwrap();
        expected.insert(2, checkpoint(7, 100));
        disk.crash();
        drop(checkpoints);
        let checkpoints = open(&disk).unwrap_or_else(|error| panic!("sync {syncs}: {error}"));
        assert_eq!(load(&checkpoints), expected, "sync {syncs}");
    }
}
