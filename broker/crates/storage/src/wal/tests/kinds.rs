//! Terms and kinds of entries, files begun before there were any, and reading single frames.

use super::*;

const VOTE: EntryKind = EntryKind(5);

/// A log as a build before entries had kinds began it.
fn plain_file(disk: &FaultyDisk) {
    let first = Link {
        generation: 9,
        number: 1,
        previous_crc: 0,
    };
    let header = FileHeader {
        number: 1,
        first,
        layout: Layout::Plain,
    };
    files::create_dir(disk, Path::new(DIR)).unwrap();
    let file = disk.open(&wal_path(Path::new(DIR), 1), OpenMode::Create);
    let file = file.unwrap();
    file.write_at(&header.encode(), 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
}

fn vote(index: u64, term: u64) -> WalEntry<'static> {
    WalEntry {
        term,
        kind: VOTE,
        ..WalEntry::plain(GroupId(2), LogIndex(index), b"vote")
    }
}

fn read(disk: &FaultyDisk, seed: u64) -> (Wal, Vec<(u64, u64, EntryKind, WalPosition)>) {
    let disk = Arc::new(disk.clone());
    let (wal, replay) = Wal::open(disk, Path::new(DIR), options(seed)).unwrap();
    let what = |entry: Entry| (entry.index.0, entry.term, entry.kind, entry.position);
    (wal, replay.map(|entry| what(entry.unwrap())).collect())
}

#[test]
fn a_plain_file_goes_on_as_it_began_until_an_entry_has_a_kind() {
    let disk = FaultyDisk::new();
    plain_file(&disk);
    let plain = EntryKind::default();
    for index in 1..4 {
        let (mut wal, before) = read(&disk, index);
        assert_eq!(before.len() as u64, index - 1);
        append(&mut wal, &[appended(index)]).unwrap();
        assert_eq!(logs(&disk), [1], "plain entries need no other file");
    }
    let (mut wal, _) = read(&disk, 4);
    let at = wal.append(&[vote(4, 7), vote(5, 8)]).unwrap();
    assert_eq!((at.file, logs(&disk)), (2, vec![1, 2]));
    append(&mut wal, &[appended(6)]).unwrap();
    disk.crash();
    let (_wal, found) = read(&disk, 5);
    let found: Vec<_> = found
        .into_iter()
        .map(|(index, term, kind, at)| (index, term, kind, at.file))
        .collect();
    let plain = |index, file| (index, 0, plain, file);
    let expected = [
        plain(1, 1),
        plain(2, 1),
        plain(3, 1),
        (4, 7, VOTE, 2),
        (5, 8, VOTE, 2),
        plain(6, 2),
    ];
    assert_eq!(found, expected);
}

#[test]
fn frames_are_read_by_position_while_the_log_is_written_to() {
    let disk = FaultyDisk::new();
    let (mut wal, _) = open(&disk, 1);
    let reader = wal.reader();
    let mut positions = Vec::new();
    for index in 1..60 {
        positions.push(append(&mut wal, &[appended(index)]).unwrap());
        let at = positions[positions.len() / 2];
        let mut file = reader.open(at.file).unwrap().unwrap();
        for at in [at, positions[positions.len() - 1]] {
            if file.number() == at.file {
                let entries = file.entries_at(at.offset).unwrap();
                let index = positions.iter().position(|it| *it == at).unwrap() as u64 + 1;
                let (_, _, body) = appended(index);
                assert_eq!(
                    (entries[0].index.0, &entries[0].body[..]),
                    (index, &body[..])
                );
            }
        }
    }
    let last = positions[positions.len() - 1];
    wal.release(last).unwrap();
    assert!(reader.open(1).unwrap().is_none(), "released");
    let mut file = reader.open(last.file).unwrap().unwrap();
    let path = wal_path(Path::new(DIR), last.file);
    disk.flip_bit(&path, last.offset + 70, 1).unwrap();
    let damaged = file.entries_at(last.offset).unwrap_err();
    assert!(matches!(damaged, Error::Damaged { .. }), "{damaged}");
    let nowhere = file.entries_at(last.offset + 512 * 10).unwrap_err();
    assert!(matches!(nowhere, Error::Damaged { .. }), "{nowhere}");
}
