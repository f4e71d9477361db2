//! The faults behave as the module says; storage's tests stand on these.

use super::*;

fn disk_with_dir() -> FaultyDisk {
    let disk = FaultyDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn create(disk: &FaultyDisk, path: &str) -> Box<dyn DiskFile> {
    disk.open(Path::new(path), OpenMode::Create).unwrap()
}

fn content(disk: &FaultyDisk, path: &str) -> Vec<u8> {
    let file = disk.open(Path::new(path), OpenMode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn crash_keeps_only_synced_bytes() {
    let disk = disk_with_dir();
    let file = create(&disk, "/d/a");
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_at(b"synced", 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(b"SYN", 0).unwrap();
    file.write_at(b" and more", 6).unwrap();
    disk.crash();
    assert_eq!(content(&disk, "/d/a"), b"synced");
    assert!(
        file.write_at(b"x", 0).is_err(),
        "the handle died with the crash"
    );
}

#[test]
fn crash_takes_back_an_unsynced_cut() {
    let disk = disk_with_dir();
    let file = create(&disk, "/d/a");
    disk.sync_dir(Path::new("/d")).unwrap();
    let bytes: Vec<u8> = (0..2000_u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    file.write_at(&bytes, 0).unwrap();
    file.sync_data().unwrap();
    file.set_len(100).unwrap();
    file.write_at(b"tail", 700).unwrap();
    disk.crash();
    assert_eq!(content(&disk, "/d/a"), bytes);
}

#[test]
fn crash_keeps_only_synced_names() {
    let disk = disk_with_dir();
    create(&disk, "/d/kept").sync_data().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    create(&disk, "/d/unsynced").sync_data().unwrap();
    disk.rename(Path::new("/d/kept"), Path::new("/d/renamed"))
        .unwrap();
    disk.create_dir_all(Path::new("/d/sub")).unwrap();
    create(&disk, "/d/sub/file");
    disk.sync_dir(Path::new("/d/sub")).unwrap();
    disk.crash();
    let names: Vec<_> = disk.list(Path::new("/d")).unwrap();
    assert_eq!(
        names,
        [DirEntry {
            name: "kept".into(),
            is_dir: false
        }]
    );
}

#[test]
fn torn_crash_keeps_whole_sectors_of_the_unsynced_write() {
    let mut partly = 0;
    for seed in 0..64 {
        let disk = disk_with_dir();
        let file = create(&disk, "/d/a");
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(&[1; 4 * SECTOR_BYTES], 0).unwrap();
        file.sync_data().unwrap();
        file.write_at(&[2; 4 * SECTOR_BYTES], 0).unwrap();
        disk.crash_torn(seed);
        let bytes = content(&disk, "/d/a");
        for sector in bytes.chunks(SECTOR_BYTES) {
            assert!(
                sector.iter().all(|byte| *byte == sector[0]),
                "seed {seed}: sector is torn"
            );
        }
        partly += usize::from(bytes.contains(&1) && bytes.contains(&2));
    }
    assert!(partly > 0, "no seed tears the write");
}

#[test]
fn failed_sync_loses_the_bytes_for_good_though_a_later_one_succeeds() {
    let disk = disk_with_dir();
    let file = create(&disk, "/d/a");
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_at(&[1; 1024], 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(&[2; 1024], 0).unwrap();
    disk.fail_sync(0);
    assert!(file.sync_data().is_err());
    assert_eq!(
        content(&disk, "/d/a"),
        [2; 1024],
        "the page cache still shows the bytes"
    );
    file.write_at(&[3; 512], 512).unwrap();
    file.sync_data().unwrap();
    disk.crash();
    assert_eq!(content(&disk, "/d/a"), [[1; 512], [3; 512]].concat());
}

#[test]
fn what_a_failed_sync_lost_is_seen_when_the_cache_is_forgotten() {
    let disk = disk_with_dir();
    let file = create(&disk, "/d/a");
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_at(&[1; 1536], 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(&[2; 1024], 0).unwrap();
    disk.fail_sync(0);
    assert!(file.sync_data().is_err());
    file.write_at(&[3; 1024], 512).unwrap();
    file.forget_cached().unwrap();
    let seen = [[1; 512], [3; 512], [3; 512]].concat();
    assert_eq!(content(&disk, "/d/a"), seen);
    file.sync_data().unwrap();
    disk.crash();
    assert_eq!(content(&disk, "/d/a"), seen);
}

#[test]
fn full_disk_keeps_the_part_that_fits() {
    let disk = disk_with_dir();
    let file = create(&disk, "/d/a");
    disk.set_capacity(Some(10));
    let error = file.write_at(&[1; 16], 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(content(&disk, "/d/a"), [1; 10]);
    file.write_at(&[2; 10], 0).unwrap();
    assert_eq!(
        file.set_len(11).unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    disk.set_capacity(None);
    file.write_at(&[1; 16], 0).unwrap();
}

#[test]
fn power_cut_stops_everything_until_the_crash() {
    let disk = disk_with_dir();
    let file = create(&disk, "/d/a");
    disk.cut_power_after(1);
    file.write_at(b"a", 0).unwrap();
    assert!(file.sync_data().is_err());
    assert!(file.len().is_err());
    assert!(disk.list(Path::new("/d")).is_err());
    disk.crash();
    assert_eq!(disk.list(Path::new("/d")).unwrap(), []);
}

#[test]
fn crash_releases_locks_and_a_stale_guard_does_not() {
    let disk = disk_with_dir();
    let path = Path::new("/d/lock");
    let held = disk.lock(path).unwrap();
    assert_eq!(
        disk.lock(path).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    disk.crash();
    let again = disk.lock(path).unwrap();
    drop(held);
    assert_eq!(
        disk.lock(path).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    drop(again);
    disk.lock(path).unwrap();
}

#[test]
fn flipped_bit_is_seen_and_survives() {
    let disk = disk_with_dir();
    let file = create(&disk, "/d/a");
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_at(&[0; 4], 0).unwrap();
    file.sync_data().unwrap();
    disk.flip_bit(Path::new("/d/a"), 2, 3).unwrap();
    disk.crash();
    assert_eq!(content(&disk, "/d/a"), [0, 0, 8, 0]);
    assert!(disk.flip_bit(Path::new("/d/a"), 4, 0).is_err());
}

#[test]
fn killed_process_leaves_what_it_wrote_to_a_later_crash() {
    let disk = disk_with_dir();
    let file = create(&disk, "/d/a");
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_at(b"safe", 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(b"SAFE", 0).unwrap();
    let lock = disk.lock(Path::new("/d/lock")).unwrap();
    disk.kill();
    assert!(
        file.sync_data().is_err(),
        "the handle died with its process"
    );
    assert!(disk.lock(Path::new("/d/lock")).is_ok(), "so did the lock");
    assert_eq!(content(&disk, "/d/a"), b"SAFE");
    disk.crash();
    assert_eq!(content(&disk, "/d/a"), b"safe");
    drop(lock);
}

#[test]
fn snapshot_goes_its_own_way() {
    let disk = disk_with_dir();
    create(&disk, "/d/a").write_at(b"one", 0).unwrap();
    let copy = disk.snapshot();
    create(&disk, "/d/a").write_at(b"two", 0).unwrap();
    assert_eq!(content(&copy, "/d/a"), b"one");
    copy.remove_file(Path::new("/d/a")).unwrap();
    assert_eq!(content(&disk, "/d/a"), b"two");
}

#[test]
fn an_armed_fault_strikes_the_chosen_calls_and_only_those() {
    let disk = disk_with_dir();
    create(&disk, "/d/a").write_at(b"bytes", 0).unwrap();
    disk.arm(Fault {
        after: 1,
        ..Fault::times(2, FaultOn::OpenRead, "/d/a", Fault::TOO_MANY_OPEN_FILES)
    });
    let open = |path| disk.open(Path::new(path), OpenMode::Read).map(drop);
    assert!(open("/d/a").is_ok(), "one is let through");
    create(&disk, "/d/b");
    assert!(open("/d/b").is_ok(), "another path");
    for _ in 0..2 {
        let error = open("/d/a").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Fault::TOO_MANY_OPEN_FILES));
    }
    assert!(open("/d/a").is_ok(), "it is over");

    disk.arm(Fault::once(FaultOn::SyncDir, "/d", Fault::NO_SPACE));
    let dir = disk.open_dir(Path::new("/d")).unwrap();
    assert_eq!(dir.sync().unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.crash();
    assert!(
        !disk.exists(Path::new("/d/a")).unwrap(),
        "it was not synced"
    );
    assert!(dir.sync().is_err(), "the handle died with the crash");
}

#[test]
fn a_write_that_an_armed_fault_refuses_is_there_all_the_same() {
    let disk = disk_with_dir();
    let file = create(&disk, "/d/a");
    disk.arm(Fault::once(FaultOn::Write, "/d/a", Fault::QUOTA));
    let error = file.write_at(b"refused", 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    assert_eq!(content(&disk, "/d/a"), b"refused");
}
