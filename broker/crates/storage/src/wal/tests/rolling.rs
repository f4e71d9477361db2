//! What goes wrong when the log needs its next file.
//!
//! Until the next file has its real name nothing has happened: the log goes on. From then on a frame in the
//! file before would be behind the place where the next start stops to read it.

use hitherto_platform::{Fault, FaultOn};

use super::*;

/// Appends until the next entry of this size needs a new file; returns what was appended.
fn fill_first_file(wal: &mut Wal) -> Vec<Appended> {
    let mut acked = Vec::new();
    while wal.position().offset + 1024 <= FILE_BYTES {
        let entry = (1, acked.len() as u64 + 1, vec![7; 900]);
        append(wal, std::slice::from_ref(&entry)).unwrap();
        acked.push(entry);
    }
    assert_eq!(wal.position().file, 1);
    acked
}

#[test]
fn a_next_file_that_cannot_be_made_yet_refuses_the_entries_and_nothing_else() {
    let (spare, emfile) = ("spare-", Fault::TOO_MANY_OPEN_FILES);
    for (name, faults) in [
        ("open", vec![Fault::once(FaultOn::OpenWrite, spare, emfile)]),
        (
            "second open",
            vec![Fault {
                after: 1,
                ..Fault::once(FaultOn::OpenWrite, "", emfile)
            }],
        ),
        (
            "write",
            vec![Fault::once(FaultOn::Write, spare, Fault::IO_ERROR)],
        ),
        (
            "every open but that of the log's files",
            vec![
                Fault::times(3, FaultOn::OpenDir, "", emfile),
                Fault::times(3, FaultOn::OpenRead, "", emfile),
            ],
        ),
    ] {
        let disk = FaultyDisk::new();
        let (mut wal, _) = open(&disk, 1);
        let mut acked = fill_first_file(&mut wal);
        let refuses = name != "every open but that of the log's files";
        faults.into_iter().for_each(|fault| disk.arm(fault));
        let next = (1, 100, vec![8; 900]);
        match append(&mut wal, std::slice::from_ref(&next)) {
            Ok(_) => {
                assert!(!refuses, "{name}");
                acked.push(next);
            }
            Err(error) => {
                assert!(refuses, "{name}: {error}");
                assert!(matches!(error, Error::NoNextFile { .. }), "{name}: {error}");
            }
        }
        disk.disarm();
        for index in 101..=140 {
            let entry = (1, index, vec![9; 900]);
            append(&mut wal, std::slice::from_ref(&entry)).unwrap_or_else(|error| {
                panic!("{name}: {error}");
            });
            acked.push(entry);
        }
        assert!(wal.position().file > 2, "{name}");
        disk.crash();
        assert_eq!(open(&disk, 2).1, acked, "{name}");
    }
}

#[test]
fn a_failed_sync_of_a_new_name_poisons_whatever_the_error_is() {
    for errno in [Fault::NO_SPACE, Fault::IO_ERROR] {
        let disk = FaultyDisk::new();
        let (mut wal, _) = open(&disk, 1);
        let acked = fill_first_file(&mut wal);
        disk.arm(Fault::once(FaultOn::SyncDir, DIR, errno));
        append(&mut wal, &[(1, 100, vec![8; 900])]).unwrap_err();
        // It fits into the first file, of which the next start reads nothing any more from here on.
        let small = append(&mut wal, &[(1, 100, vec![8; 10])]);
        assert!(matches!(small, Err(Error::Poisoned { .. })), "{small:?}");
        disk.kill();
        assert_eq!(open(&disk, 2).1, acked);
    }
}

/// A log as an earlier build left it: frames behind the place where the next file says that its own begin.
#[test]
fn an_intact_frame_behind_the_end_of_a_file_is_damage() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk, 1);
    fill_first_file(&mut wal);
    let header = FileHeader {
        number: 2,
        first: Link {
            generation: 77,
            ..wal.next
        },
        layout: Layout::Kinds,
    };
    let file = disk.open(&wal_path(Path::new(DIR), 2), OpenMode::Create);
    file.unwrap().write_at(&header.encode(), 0).unwrap();
    append(&mut wal, &[(1, 100, vec![8; 10])]).unwrap();
    drop(wal);
    let read = WalSummary::read(&disk, Path::new(DIR), None, &mut |_| true).unwrap();
    assert_eq!(read.findings.len(), 1, "{:?}", read.findings);
    let error = try_open(&disk, options(2)).unwrap_err();
    let Error::Damaged { file, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*file, wal_path(Path::new(DIR), 1));
}
