//! Frames that a full disk refused and kept all the same, as file systems that write copies, and quotas, may do.

use hitherto_platform::{Fault, FaultOn};

use super::*;

/// Writes a frame that is told to be refused so many times, and starts the node anew.
fn refuse(times: u64, errno: i32) -> (Error, Vec<Appended>, Vec<Appended>) {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk, 1);
    append(&mut wal, &[appended(1)]).unwrap();
    disk.arm(Fault::times(times, FaultOn::Write, "/wal/", errno));
    // Crosses a step: with zeros behind it, and then without.
    let error = append(&mut wal, &[(1, 2, vec![2; 1900])]).unwrap_err();
    disk.disarm();
    drop(wal);
    let copy = disk.snapshot();
    let killed = open(&copy, 2).1;
    disk.kill();
    let (mut wal, _) = open(&disk, 2);
    append(&mut wal, &[appended(3)]).unwrap();
    disk.crash();
    (error, killed, open(&disk, 3).1)
}

#[test]
fn a_refused_frame_that_is_there_all_the_same_does_not_come_back() {
    for errno in [Fault::NO_SPACE, Fault::QUOTA] {
        let (error, killed, in_the_end) = refuse(2, errno);
        assert!(matches!(error, Error::Full { .. }), "{error}");
        assert_eq!(killed, [appended(1)]);
        assert_eq!(in_the_end, [appended(1), appended(3)]);
    }
}

#[test]
fn a_refused_frame_that_cannot_be_wiped_is_unknown_and_poisons() {
    let (error, killed, _) = refuse(3, Fault::NO_SPACE);
    assert!(matches!(error, Error::Io { .. }), "{error}");
    // The wipe is there too, although nobody could know.
    assert_eq!(killed, [appended(1)]);
}

#[test]
fn a_used_up_quota_refuses_and_the_log_goes_on() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk, 1);
    disk.arm(Fault::times(2, FaultOn::Write, "/wal/", Fault::QUOTA));
    let error = append(&mut wal, &[(1, 1, vec![2; 1900])]).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    append(&mut wal, &[appended(2)]).unwrap();
    disk.crash();
    assert_eq!(open(&disk, 2).1, [appended(2)]);
}

#[test]
fn a_directory_whose_maker_was_killed_before_its_sync_survives_a_crash() {
    let disk = FaultyDisk::new();
    disk.create_dir_all(Path::new("/store")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk.kill();
    let (mut wal, _) = open(&disk, 1);
    append(&mut wal, &[appended(1)]).unwrap();
    disk.crash();
    assert_eq!(open(&disk, 2).1, [appended(1)]);
}
