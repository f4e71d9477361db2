//! Damage of what every checkpoint is already behind: nothing is lost by it, and the node starts.

use super::*;

/// Options of a node that has checkpoints of everything before `from`.
fn options_from(from: WalPosition) -> WalOptions {
    WalOptions {
        checkpointed: WalRange::covering([from]),
        replay_from: Some(from),
        ..options(2)
    }
}

#[test]
fn damage_before_the_place_where_the_replay_begins_does_not_matter() {
    for frame in 0..10 {
        for byte in [3, 20, 50, 400] {
            let disk = FaultyDisk::new();
            let (wal, positions) = ten_frames(&disk);
            drop(wal);
            let path = wal_path(Path::new(DIR), 1);
            let at = positions[frame].offset + byte;
            disk.flip_bit(&path, at, 1).unwrap();
            let opened = try_open(&disk, options_from(positions[5]));
            let context = format!("frame {frame} byte {byte}");
            if (5..9).contains(&frame) {
                let error = opened.unwrap_err();
                assert!(matches!(error, Error::Damaged { .. }), "{context}: {error}");
                continue;
            }
            // Of the last one nobody knows whether it was under way.
            let last = if frame == 9 { 9 } else { 10 };
            let (mut wal, recovered) = opened.unwrap();
            let indexes: Vec<_> = recovered.iter().map(|entry| entry.1).collect();
            assert_eq!(indexes, (6..=last).collect::<Vec<_>>(), "{context}");
            append(&mut wal, &[appended(50)]).unwrap();
            drop(wal);
            disk.crash();
            let again = try_open(&disk, options_from(positions[5])).unwrap().1;
            assert_eq!(again[..recovered.len()], recovered, "{context}");
            assert_eq!(again[recovered.len()..], [appended(50)], "{context}");
        }
    }
}

#[test]
fn after_a_clean_end_nothing_but_the_last_mark_is_needed() {
    let disk = FaultyDisk::new();
    let (mut wal, positions) = ten_frames(&disk);
    wal.mark().unwrap();
    let from = wal.replay_position();
    assert!(from < wal.position(), "the mark is still to be read");
    drop(wal);
    let path = wal_path(Path::new(DIR), 1);
    for position in &positions {
        disk.flip_bit(&path, position.offset + 70, 0).unwrap();
    }
    let (mut wal, recovered) = try_open(&disk, options_from(from)).unwrap();
    assert_eq!(recovered, []);
    append(&mut wal, &[appended(50)]).unwrap();
    drop(wal);
    disk.crash();
    let recovered = try_open(&disk, options_from(from)).unwrap().1;
    assert_eq!(recovered, [appended(50)]);
    // Without checkpoints all of it is needed.
    let error = try_open(&disk, options(3)).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn files_nobody_needs_are_not_read_and_are_released_like_others() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk, 1);
    let mut positions = Vec::new();
    for index in 1..=40 {
        positions.push(append(&mut wal, &[(1, index, vec![1; 900])]).unwrap());
    }
    drop(wal);
    assert_eq!(logs(&disk), [1, 2, 3]);
    let from = *positions.iter().rfind(|at| at.file == 2).unwrap();
    for (file, offset) in [(1, 9), (1, 700), (2, 600)] {
        disk.flip_bit(&wal_path(Path::new(DIR), file), offset, 1)
            .unwrap();
    }
    let (mut wal, recovered) = try_open(&disk, options_from(from)).unwrap();
    let needed = positions.iter().filter(|at| **at >= from).count();
    assert_eq!(recovered.len(), needed);
    wal.release(from).unwrap();
    assert_eq!(logs(&disk), [2, 3]);
}
