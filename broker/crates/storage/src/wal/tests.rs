//! The log against a list, on a disk that crashes, tears, fills up, fails and rots.

use hitherto_platform::{FaultyDisk, OpenMode, SeededEntropy};

use super::writer::GROWING_FRAME_BYTES;
use super::*;

mod kinds;
mod needless;
mod refused;
mod rolling;

const DIR: &str = "/store/wal";
const FILE_BYTES: u64 = 16 * 1024;

/// What was appended, as the tests compare it.
type Appended = (u32, u64, Vec<u8>);

fn options(seed: u64) -> WalOptions {
    WalOptions {
        file_bytes: FILE_BYTES,
        grow_bytes: 2048,
        spare_files: 1,
        entropy: Arc::new(SeededEntropy::new(seed)),
        checkpointed: None,
        replay_from: None,
    }
}

fn try_open(disk: &FaultyDisk, options: WalOptions) -> Result<(Wal, Vec<Appended>), Error> {
    let (wal, replay) = Wal::open(Arc::new(disk.clone()), Path::new(DIR), options)?;
    let entries: Result<Vec<_>, _> = replay.collect();
    let appended = |entry: Entry| (entry.group.0, entry.index.0, entry.body.to_vec());
    Ok((wal, entries?.into_iter().map(appended).collect()))
}

fn open(disk: &FaultyDisk, seed: u64) -> (Wal, Vec<Appended>) {
    try_open(disk, options(seed)).unwrap()
}

/// Entry number `index`; its body tells it apart and varies in size, up to a few sectors.
fn appended(index: u64) -> Appended {
    let len = usize::try_from(index * 37 % 1500).unwrap();
    let body = index.to_le_bytes().into_iter().cycle().take(len).collect();
    (u32::try_from(index % 3).unwrap(), index, body)
}

fn append(wal: &mut Wal, entries: &[Appended]) -> Result<WalPosition, Error> {
    wal.append(&wal_entries(entries))
}

pub(super) fn wal_entries(entries: &[Appended]) -> Vec<WalEntry<'_>> {
    let entries = entries
        .iter()
        .map(|(group, index, body)| WalEntry::plain(GroupId(*group), LogIndex(*index), body));
    entries.collect()
}

fn logs(disk: &FaultyDisk) -> Vec<u64> {
    recovery::list(disk, Path::new(DIR)).unwrap().logs
}

#[test]
fn one_append_is_one_write_and_one_sync() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk, 1);
    for count in [1, 3, 20] {
        let before = disk.counters();
        let entries: Vec<_> = (1..=count).map(|index| (1, index, vec![7; 100])).collect();
        append(&mut wal, &entries).unwrap();
        let after = disk.counters();
        assert_eq!(
            (after.writes, after.syncs),
            (before.writes + 1, before.syncs + 1)
        );
    }
    let before = disk.counters();
    append(&mut wal, &[]).unwrap();
    assert_eq!(disk.counters(), before, "no entries touch nothing");
}

#[test]
fn a_new_log_writes_little_and_grows_in_steps() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk, 1);
    assert_eq!(disk.used_bytes(), 2048);
    append(&mut wal, &[(1, 1, vec![1; 1600])]).unwrap();
    assert_eq!(
        disk.used_bytes(),
        4096,
        "a frame over the end brings zeros with it"
    );
}

#[test]
fn large_frames_are_written_once_and_survive_a_crash_at_any_point() {
    let large = |index: u64| (1, index, vec![index.to_le_bytes()[0]; GROWING_FRAME_BYTES]);
    let options = |seed| WalOptions {
        file_bytes: 1024 * 1024,
        grow_bytes: 256 * 1024,
        ..options(seed)
    };
    let disk = FaultyDisk::new();
    let (mut wal, _) = try_open(&disk, options(1)).unwrap();
    append(&mut wal, &[large(1)]).unwrap();
    let before = disk.counters().bytes_written;
    for index in 2..=5 {
        append(&mut wal, &[large(index)]).unwrap();
    }
    let written = disk.counters().bytes_written - before;
    let frame = GROWING_FRAME_BYTES as u64 + 512;
    assert_eq!(written, 4 * frame, "nothing but the frames");

    for cut in 0..40 {
        let disk = FaultyDisk::new();
        let (mut wal, _) = try_open(&disk, options(1)).unwrap();
        disk.cut_power_after(cut);
        let (mut acked, mut under_way) = (Vec::new(), Vec::new());
        for index in 1..=10 {
            // Small ones between the large ones, which bring zeros.
            let entry = if index % 3 == 0 {
                appended(index)
            } else {
                large(index)
            };
            match append(&mut wal, std::slice::from_ref(&entry)) {
                Ok(_) => acked.push(entry),
                Err(_) => {
                    under_way.push(entry);
                    break;
                }
            }
        }
        disk.crash_torn(cut);
        drop(wal);
        let recovered = try_open(&disk, options(2)).unwrap().1;
        check(&recovered, &acked, &under_way, &format!("cut {cut}"));
        assert!(recovered.len() >= acked.len(), "cut {cut}");
    }
}

#[test]
fn a_frame_larger_than_a_file_gets_one_for_itself() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk, 1);
    let large = (1, 2, vec![9; 3 * usize::try_from(FILE_BYTES).unwrap()]);
    let entries = [(1, 1, vec![1]), large, (1, 3, vec![3])];
    for entry in &entries {
        append(&mut wal, std::slice::from_ref(entry)).unwrap();
    }
    assert_eq!(logs(&disk), [1, 2, 3]);
    disk.crash();
    assert_eq!(open(&disk, 2).1, entries);
}

#[test]
fn a_second_open_is_refused() {
    let disk = FaultyDisk::new();
    let held = open(&disk, 1);
    assert!(matches!(
        try_open(&disk, options(2)),
        Err(Error::Locked { .. })
    ));
    drop(held);
    open(&disk, 3);
}

#[test]
fn a_newer_format_is_refused() {
    let disk = FaultyDisk::new();
    drop(open(&disk, 1));
    let path = wal_path(Path::new(DIR), 1);
    let file = disk.open(&path, OpenMode::ReadWrite).unwrap();
    let mut sector = [0; 48];
    file.read_exact_at(&mut sector, 0).unwrap();
    sector[8] += 1;
    let crc = crc32c::crc32c(&sector[..44]);
    sector[44..48].copy_from_slice(&crc.to_le_bytes());
    file.write_at(&sector, 0).unwrap();
    let error = try_open(&disk, options(2)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NewerFormat {
                found: 3,
                supported: 2,
                ..
            }
        ),
        "{error}"
    );
}

/// Appends 40 batches over several files and releases some; returns what was acknowledged and
/// the batch that was under way when the disk failed.
fn workload(disk: &FaultyDisk) -> (Vec<Appended>, Vec<Appended>) {
    let mut acked = Vec::new();
    let Ok((mut wal, recovered)) = try_open(disk, options(11)) else {
        return (acked, Vec::new());
    };
    assert_eq!(recovered, []);
    let mut positions = Vec::new();
    for batch in 0..40 {
        let entries: Vec<_> = (0..=batch % 3)
            .map(|n| appended(3 * batch + n + 1))
            .collect();
        match append(&mut wal, &entries) {
            Ok(position) => positions.push(position),
            Err(_) => return (acked, entries),
        }
        acked.extend(entries);
        if batch % 10 == 9 && wal.release(positions[positions.len() / 2]).is_err() {
            return (acked, Vec::new());
        }
    }
    (acked, Vec::new())
}

/// Everything acknowledged is there, in order and once, but for released files at the front; the
/// batch under way is there whole or not at all.
fn check(recovered: &[Appended], acked: &[Appended], under_way: &[Appended], context: &str) {
    let with_rest = [acked, under_way].concat();
    let whole = recovered.ends_with(under_way) && with_rest.ends_with(recovered);
    assert!(
        acked.ends_with(recovered) || whole,
        "{context}: something else came back"
    );
    let must_have = acked.len() - acked.len() * 6 / 10;
    assert!(
        recovered.len() >= must_have.min(acked.len()),
        "{context}: acknowledged entries lost"
    );
}

#[test]
fn a_crash_at_any_point_loses_nothing_acknowledged() {
    for seed in 0..3_u64 {
        for cut in 0.. {
            let disk = FaultyDisk::new();
            disk.cut_power_after(cut);
            let (acked, under_way) = workload(&disk);
            let done = acked.len() == 79 && under_way.is_empty();
            if seed == 0 {
                disk.crash()
            } else {
                disk.crash_torn(seed * 1000 + cut)
            }
            let context = format!("power cut after {cut} operations, seed {seed}");
            let (mut wal, recovered) = open(&disk, 12);
            check(&recovered, &acked, &under_way, &context);

            // The log goes on, and a second crash finds both halves.
            append(&mut wal, &[appended(500)]).unwrap();
            disk.crash();
            let expected = [recovered, vec![appended(500)]].concat();
            assert_eq!(open(&disk, 13).1, expected, "{context}");
            if done {
                assert!(cut > 100, "the workload has that many steps");
                break;
            }
        }
    }
}

#[test]
fn recovery_interrupted_at_any_point_recovers() {
    for cut in 0..12 {
        let disk = FaultyDisk::new();
        let (acked, _) = workload(&disk);
        disk.crash();
        disk.cut_power_after(cut);
        drop(try_open(&disk, options(20)));
        disk.crash_torn(cut);
        check(&open(&disk, 21).1, &acked, &[], &format!("cut {cut}"));
    }
}

#[test]
fn a_failed_sync_poisons_for_good_and_loses_nothing_acknowledged() {
    for after in 0..60 {
        for crash in [true, false] {
            let disk = FaultyDisk::new();
            let (mut wal, _) = open(&disk, 1);
            disk.fail_sync(after);
            let (mut acked, mut failed, mut refused) = (Vec::new(), None, 0);
            for index in 1..=80 {
                match append(&mut wal, &[appended(index)]) {
                    Ok(_) => acked.push(appended(index)),
                    Err(Error::Io { .. }) => failed = Some(appended(index)),
                    Err(Error::NoNextFile { .. }) => refused += 1,
                    Err(error) => assert!(matches!(error, Error::Poisoned { .. }), "{error}"),
                }
            }
            if refused > 0 {
                // It was the sync of a file that was none of the log yet: only what needed it is refused.
                assert_eq!(
                    (refused, &failed, acked.len()),
                    (1, &None, 79),
                    "sync {after}"
                );
                disk.crash();
                assert_eq!(open(&disk, 2).1, acked, "sync {after}");
                continue;
            }
            let failed = failed.unwrap();
            assert!(matches!(
                wal.release(wal.position()),
                Err(Error::Poisoned { .. })
            ));
            drop(wal);
            if crash {
                disk.crash();
                assert_eq!(open(&disk, 2).1, acked, "sync {after}");
                continue;
            }
            // Only the process restarts: the page cache shows a frame the drive never got. What
            // replay hands out must be made durable first.
            let (wal, recovered) = open(&disk, 2);
            check(&recovered, &acked, &[failed], &format!("sync {after}"));
            disk.crash();
            drop(wal);
            assert_eq!(open(&disk, 3).1, recovered, "sync {after}");
        }
    }
}

#[test]
fn a_failed_write_poisons() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk, 1);
    append(&mut wal, &[appended(1)]).unwrap();
    disk.fail_write(0);
    assert!(matches!(
        append(&mut wal, &[appended(30)]),
        Err(Error::Io { .. })
    ));
    assert!(matches!(
        append(&mut wal, &[appended(2)]),
        Err(Error::Poisoned { .. })
    ));
    drop(wal);
    check(
        &open(&disk, 2).1,
        &[appended(1)],
        &[appended(30)],
        "failed write",
    );
}

#[test]
fn a_full_disk_refuses_and_space_lets_the_log_go_on() {
    for capacity in (2048..40_000).step_by(700) {
        let disk = FaultyDisk::new();
        let (mut wal, _) = open(&disk, 1);
        disk.set_capacity(Some(capacity));
        let (mut acked, mut refused) = (Vec::new(), 0);
        for index in 1..=60 {
            match append(&mut wal, &[appended(index)]) {
                Ok(_) => acked.push(appended(index)),
                Err(Error::Full { .. }) => refused += 1,
                Err(error) => panic!("capacity {capacity}: {error}"),
            }
        }
        assert!(refused > 0, "capacity {capacity}");
        // Opening must work on a full disk, and finds exactly what was acknowledged.
        disk.crash_torn(capacity);
        drop(wal);
        let (mut wal, recovered) = open(&disk, 2);
        assert_eq!(recovered, acked, "capacity {capacity}");
        disk.set_capacity(None);
        append(&mut wal, &[appended(100)]).unwrap();
        acked.push(appended(100));
        disk.crash();
        assert_eq!(open(&disk, 3).1, acked, "capacity {capacity}");
    }
}

/// Appends ten frames and returns where each starts.
fn ten_frames(disk: &FaultyDisk) -> (Wal, Vec<WalPosition>) {
    let (mut wal, _) = open(disk, 1);
    let positions = (1..=10)
        .map(|n| append(&mut wal, &[(1, n, vec![3; 600])]).unwrap())
        .collect();
    (wal, positions)
}

#[test]
fn a_flipped_bit_before_the_last_frame_is_damage_and_nothing_is_cut() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..60 {
        let disk = FaultyDisk::new();
        let (wal, positions) = ten_frames(&disk);
        drop(wal);
        let frame = rng.usize(0..9);
        let offset = positions[frame].offset + rng.u64(0..40 + 616 + 4);
        let path = wal_path(Path::new(DIR), 1);
        let bit = rng.u8(0..8);
        disk.flip_bit(&path, offset, bit).unwrap();
        for _ in 0..2 {
            match try_open(&disk, options(2)) {
                Err(Error::Damaged { file, offset, .. }) => {
                    assert_eq!(
                        (file, offset),
                        (path.clone(), positions[frame].offset),
                        "seed {seed}"
                    );
                }
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        disk.flip_bit(&path, offset, bit).unwrap();
        assert_eq!(
            open(&disk, 3).1.len(),
            10,
            "seed {seed}: the frames behind were kept"
        );
    }
}

#[test]
fn a_flipped_bit_in_an_older_file_is_damage() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk, 1);
    let mut last_of_first = None;
    for index in 1..=40 {
        let position = append(&mut wal, &[(1, index, vec![1; 900])]).unwrap();
        last_of_first = if position.file == 1 {
            Some(position)
        } else {
            last_of_first
        };
    }
    drop(wal);
    let path = wal_path(Path::new(DIR), 1);
    for offset in [700, last_of_first.unwrap().offset + 50, 20] {
        disk.flip_bit(&path, offset, 1).unwrap();
        let error = try_open(&disk, options(2)).unwrap_err();
        assert!(
            matches!(&error, Error::Damaged { file, .. } if *file == path),
            "{error}"
        );
        disk.flip_bit(&path, offset, 1).unwrap();
    }
    assert_eq!(open(&disk, 3).1.len(), 40);
}

#[test]
fn the_last_frame_is_cut_when_torn_and_damage_when_a_mark_stands_behind_it() {
    for marked in [false, true] {
        let disk = FaultyDisk::new();
        let (mut wal, positions) = ten_frames(&disk);
        if marked {
            wal.mark().unwrap();
            let end = wal.position();
            wal.mark().unwrap();
            assert_eq!(wal.position(), end, "one mark is enough");
        }
        drop(wal);
        disk.flip_bit(&wal_path(Path::new(DIR), 1), positions[9].offset + 100, 0)
            .unwrap();
        match try_open(&disk, options(2)) {
            Ok((_, recovered)) => {
                assert!(!marked);
                assert_eq!(recovered.len(), 9);
            }
            Err(error) => {
                assert!(marked);
                assert!(matches!(error, Error::Damaged { .. }), "{error}");
            }
        }
    }
}

#[test]
fn a_log_shorter_than_the_checkpoints_know_is_damage() {
    let disk = FaultyDisk::new();
    let (wal, positions) = ten_frames(&disk);
    let end = wal.position();
    drop(wal);
    let checkpointed = |to| WalOptions {
        checkpointed: WalRange::covering([positions[2], to]),
        ..options(2)
    };
    drop(try_open(&disk, checkpointed(end)).unwrap());

    let path = wal_path(Path::new(DIR), 1);
    let file = disk.open(&path, OpenMode::ReadWrite).unwrap();
    file.set_len(positions[8].offset).unwrap();
    assert!(matches!(
        try_open(&disk, checkpointed(end)),
        Err(Error::Damaged { .. })
    ));
    drop(try_open(&disk, checkpointed(positions[8])).unwrap());
    disk.remove_file(&path).unwrap();
    assert!(matches!(
        try_open(&disk, checkpointed(positions[8])),
        Err(Error::Damaged { .. })
    ));
}

#[test]
fn a_missing_file_is_damage() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk, 1);
    for index in 1..=60 {
        append(&mut wal, &[(1, index, vec![1; 900])]).unwrap();
    }
    drop(wal);
    assert_eq!(logs(&disk), [1, 2, 3, 4]);
    disk.remove_file(&wal_path(Path::new(DIR), 2)).unwrap();
    let error = try_open(&disk, options(2)).unwrap_err();
    assert!(error.to_string().contains("wal-0000000002.log"), "{error}");
}

#[test]
fn a_recycled_file_never_resurrects_old_frames() {
    for torn in 0..40 {
        let disk = FaultyDisk::new();
        let (mut wal, _) = open(&disk, torn);
        let mut index = 0;
        // Same-sized frames, so that old ones lie exactly where new ones go.
        while wal.position().file < 3 {
            index += 1;
            append(&mut wal, &[(1, index, vec![1; 900])]).unwrap();
        }
        let generation = |file| {
            let reader = file::FrameReader::open(&disk, Path::new(DIR), file).unwrap();
            reader.header().first.generation
        };
        let old = [generation(1), generation(2)];
        wal.release(wal.position()).unwrap();
        assert_eq!(logs(&disk), [3]);
        while wal.position().file < 4 {
            index += 1;
            append(&mut wal, &[(1, index, vec![2; 900])]).unwrap();
        }
        let spares = recovery::list(&disk, Path::new(DIR)).unwrap().spares;
        assert!(spares.is_empty(), "it was reused");
        assert!(
            !old.contains(&generation(4)),
            "with a generation of its own"
        );
        let first = open_after_crash(&disk, torn, wal);
        assert_eq!(first.last().unwrap().1, index, "seed {torn}");
        let contiguous = first.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1);
        assert!(contiguous, "seed {torn}: an old frame came back");
    }
}

fn open_after_crash(disk: &FaultyDisk, seed: u64, wal: Wal) -> Vec<Appended> {
    disk.crash_torn(seed);
    drop(wal);
    open(disk, seed + 1).1
}

#[test]
fn reading_a_log_finds_every_flipped_bit_that_matters_and_changes_nothing() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = Wal::open(Arc::new(disk.clone()), Path::new(DIR), options(1)).unwrap();
    for index in 1..=40 {
        let body = vec![7; 300];
        let entry = WalEntry::plain(GroupId(1), LogIndex(index), &body);
        wal.append(&[entry]).unwrap();
    }
    wal.mark().unwrap();
    let operations = disk.counters().operations;
    let read = || WalSummary::read(&disk, Path::new(DIR), None, &mut |_| true).unwrap();
    let intact = read();
    assert_eq!(intact.findings, []);
    assert_eq!(
        intact.files.iter().map(|file| file.entries).sum::<u64>(),
        40
    );
    assert!(intact.files.len() > 1);
    for file in &intact.files {
        let path = wal_path(Path::new(DIR), file.number);
        for offset in (0..file.used_bytes).step_by(7) {
            disk.flip_bit(&path, offset, 3).unwrap();
            let flipped = read();
            // Padding means nothing; the frame of the last mark cannot be told from a torn one.
            let same = flipped.files == intact.files;
            let is_last = file.number == intact.files.last().unwrap().number;
            let in_last_frame = is_last && offset + 512 >= file.used_bytes;
            assert!(
                !flipped.findings.is_empty() || same || in_last_frame,
                "file {} offset {offset}",
                file.number
            );
            disk.flip_bit(&path, offset, 3).unwrap();
        }
    }
    assert_eq!(read(), intact);
    assert_eq!(disk.counters().operations, operations);
}
