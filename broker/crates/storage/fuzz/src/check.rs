//! What must hold for whatever becomes of the bytes of files; shared by the fuzz targets and by
//! `tests/decoders.rs`.
//!
//! An input is a list of changes of five bytes: where, in two bytes, and what, in two or three. They are
//! made to files that were written in order. Whatever they are, nothing may panic, and what is read is
//! what was written, or an error.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hitherto_jetstream::{GroupId, LogIndex, StoredMessage, StreamSeq};
use hitherto_platform::{Disk, FaultyDisk, OpenMode, SeededEntropy};
use hitherto_protocol::{Headers, Subject, Timestamp};
use hitherto_storage::{
    BlockCache, Manifest, StreamStore, StreamStoreOptions, Wal, WalEntry, WalOptions, WalSummary,
};

/// Changes that one input may make.
const CHANGES_MAX: usize = 32;

const LOG_DIR: &str = "/wal";
const STREAM_DIR: &str = "/stream";

/// Frames start at multiples of this.
const SECTOR: usize = 512;

/// One change of the bytes of a file.
enum Change {
    Set(usize, u8),
    Cut(usize),
    /// Two bytes as a number, little endian, where lengths stand.
    Number(usize, u16),
    /// A sector takes the place of another one.
    Copy(usize, usize),
}

fn changes(input: &[u8]) -> impl Iterator<Item = Change> {
    input.chunks_exact(5).take(CHANGES_MAX).map(|bytes| {
        let at = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        let number = u16::from_le_bytes([bytes[3], bytes[4]]);
        match bytes[2] % 8 {
            0..4 => Change::Set(at, bytes[3]),
            4 => Change::Cut(at),
            5 | 6 => Change::Number(at, number),
            _ => Change::Copy(at, usize::from(number)),
        }
    })
}

fn changed(mut bytes: Vec<u8>, input: &[u8]) -> Vec<u8> {
    for change in changes(input) {
        if bytes.is_empty() {
            return bytes;
        }
        let len = bytes.len();
        match change {
            Change::Set(at, byte) => bytes[at % len] = byte,
            Change::Cut(at) => bytes.truncate(at % len),
            Change::Number(at, number) => {
                let at = at % len;
                let end = (at + 2).min(len);
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            }
            Change::Copy(from, to) => {
                let from = from % len / SECTOR * SECTOR;
                let to = to % len / SECTOR * SECTOR;
                let count = SECTOR.min(len - from).min(len - to);
                bytes.copy_within(from..from + count, to);
            }
        }
    }
    bytes
}

fn read(disk: &FaultyDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).expect("the file is there");
    let len = file.len().expect("a disk without faults");
    let mut bytes = vec![0; usize::try_from(len).expect("a small file")];
    file.read_exact_at(&mut bytes, 0)
        .expect("a disk without faults");
    bytes
}

fn write(disk: &FaultyDisk, path: &Path, bytes: &[u8]) {
    let file = disk
        .open(path, OpenMode::ReadWrite)
        .expect("the file is there");
    file.set_len(0).expect("a disk without faults");
    file.write_at(bytes, 0).expect("a disk without faults");
    file.sync_data().expect("a disk without faults");
}

fn files(disk: &FaultyDisk, dir: &str, prefix: &str) -> Vec<PathBuf> {
    let names = disk.list(Path::new(dir)).expect("the directory is there");
    let names = names.into_iter().map(|entry| entry.name);
    let names = names.filter(|name| name.to_string_lossy().starts_with(prefix));
    names.map(|name| Path::new(dir).join(name)).collect()
}

/// Entries as they were appended.
type Entries = Vec<(u32, u64, Vec<u8>)>;

fn log_options(seed: u64) -> WalOptions {
    WalOptions {
        file_bytes: 8 * 1024,
        grow_bytes: 2 * 1024,
        spare_files: 1,
        entropy: Arc::new(SeededEntropy::new(seed)),
        checkpointed: None,
        replay_from: None,
    }
}

/// A log of some files, and what was appended to it.
fn intact_log() -> &'static (FaultyDisk, Entries) {
    static LOG: OnceLock<(FaultyDisk, Entries)> = OnceLock::new();
    LOG.get_or_init(|| {
        let disk = FaultyDisk::new();
        let shared = Arc::new(disk.clone());
        let opened = Wal::open(shared, Path::new(LOG_DIR), log_options(1));
        let (mut wal, _) = opened.expect("a new log");
        let mut entries = Entries::new();
        for index in 1..=24_u64 {
            let len = usize::try_from(index * 61 % 900).expect("a short body");
            let entry = (3, index, vec![index.to_le_bytes()[0]; len]);
            let frame = [
                WalEntry::plain(GroupId(entry.0), LogIndex(index), &entry.2),
                WalEntry::plain(GroupId(9), LogIndex(index), b""),
            ];
            wal.append(&frame).expect("a disk without faults");
            entries.push(entry);
            entries.push((9, index, Vec::new()));
        }
        drop(wal);
        (disk, entries)
    })
}

/// The first byte says which file is changed, and whether the checksums of its frames are made right
/// again. Panics when a rule is broken.
pub(crate) fn log(input: &[u8]) {
    let Some((first, input)) = input.split_first() else {
        return;
    };
    let (intact, appended) = intact_log();
    let disk = intact.snapshot();
    let files = files(&disk, LOG_DIR, "wal-");
    let path = &files[usize::from(first / 2) % files.len()];
    let mut bytes = changed(read(&disk, path), input);
    let sealed = first % 2 == 1;
    if sealed {
        seal_frames(&mut bytes);
    }
    write(&disk, path, &bytes);

    let shared = || Arc::new(disk.clone());
    let summary = WalSummary::read(&disk, Path::new(LOG_DIR), None, &mut |_| true);
    summary.expect("damage is no error of the disk");
    let Ok((wal, replay)) = Wal::open(shared(), Path::new(LOG_DIR), log_options(2)) else {
        return;
    };
    let mut found = Entries::new();
    for entry in replay {
        match entry {
            Ok(entry) => found.push((entry.group.0, entry.index.0, entry.body.to_vec())),
            Err(_) => break,
        }
    }
    // Right checksums are an attack, no damage: then only sense is asked for, not truth.
    assert!(
        sealed || appended.starts_with(&found),
        "something else than what was appended came back"
    );
    drop(wal);
}

/// Makes the checksums of whatever looks like a frame right, so that what lies behind them is reached.
fn seal_frames(bytes: &mut [u8]) {
    const HEADER: usize = 40;
    let mut at = SECTOR;
    while at + HEADER + 4 <= bytes.len() {
        let frame = &mut bytes[at..];
        if frame.starts_with(b"HWFR") {
            let payload = [frame[24], frame[25], frame[26], frame[27]];
            let payload = usize::try_from(u32::from_le_bytes(payload)).unwrap_or(usize::MAX);
            let crc = crc32c::crc32c(&frame[..36]);
            frame[36..40].copy_from_slice(&crc.to_le_bytes());
            let end = payload.saturating_add(HEADER);
            if end.saturating_add(4) <= frame.len() {
                let crc = crc32c::crc32c(&frame[..end]);
                frame[end..end + 4].copy_from_slice(&crc.to_le_bytes());
            }
        }
        at += SECTOR;
    }
}

struct Segments {
    disk: FaultyDisk,
    manifest: Manifest,
    messages: Vec<StoredMessage>,
}

fn segment_options() -> StreamStoreOptions {
    StreamStoreOptions {
        segment_bytes: 6 * 1024,
        block_bytes: 1024,
        compression: false,
        cache: BlockCache::default(),
    }
}

/// A store of some segments, the first of them packed, the last without its end.
fn intact_segments() -> &'static Segments {
    static SEGMENTS: OnceLock<Segments> = OnceLock::new();
    SEGMENTS.get_or_init(|| {
        let disk = FaultyDisk::new();
        let shared = Arc::new(disk.clone());
        let created = StreamStore::create(shared, Path::new(STREAM_DIR), segment_options());
        let mut store = created.expect("a new store");
        let mut messages = Vec::new();
        for number in 1..=120_u64 {
            store.set_compression(number < 60);
            let headers = (number % 3 == 0).then(|| "NATS/1.0\r\nNats-TTL: 7s\r\n\r\n".into());
            let headers = headers.map(|block: String| Headers::parse(block.into()));
            let len = usize::try_from(number * 37 % 300).expect("a short payload");
            let message = StoredMessage {
                // Some were removed before they came here.
                seq: StreamSeq(number + number / 10),
                at: Timestamp::from_unix_nanos(number.cast_signed() * 1_000_000_007),
                subject: Subject::new(format!("a.{}.{number}", number % 4)).expect("a subject"),
                headers: headers.transpose().expect("a header block"),
                payload: Bytes::from(vec![number.to_le_bytes()[0]; len]),
            };
            store.append(message.clone());
            messages.push(message);
        }
        let pending = store.prepare_checkpoint().expect("a disk without faults");
        let manifest = pending.sync().expect("a disk without faults");
        Segments {
            disk,
            manifest,
            messages,
        }
    })
}

/// The first byte says which segment is changed. Panics when a rule is broken.
pub(crate) fn segment(input: &[u8]) {
    let Some((first, input)) = input.split_first() else {
        return;
    };
    let Segments {
        disk,
        manifest,
        messages,
    } = intact_segments();
    let disk = disk.snapshot();
    let files = files(&disk, STREAM_DIR, "seg-");
    let path = &files[usize::from(*first) % files.len()];
    let intact = read(&disk, path);
    let bytes = changed(intact.clone(), input);
    let is_intact = bytes == intact;
    write(&disk, path, &bytes);

    let dir = Path::new(STREAM_DIR);
    for segment in manifest.segment_files(dir) {
        let findings = segment.verify(&disk, &mut |_| true);
        assert!(
            !is_intact || findings.is_empty(),
            "an intact file is damaged"
        );
    }
    let shared = Arc::new(disk);
    let Ok(store) = StreamStore::open(shared, dir, segment_options(), manifest.clone()) else {
        assert!(!is_intact, "an intact store is refused");
        return;
    };
    for message in messages {
        match store.get(message.seq) {
            Ok(Some(found)) => assert_eq!(found, *message),
            Ok(None) => panic!("message {} is gone without a word", message.seq),
            Err(_) => assert!(!is_intact, "an intact message is refused"),
        }
    }
    let metas = store.metas().map_while(Result::ok);
    let told = metas
        .zip(messages)
        .all(|(meta, message)| meta == message.meta());
    assert!(told, "the index is told something else");
}

/// Panics when a rule is broken.
pub(crate) fn checkpoint(input: &[u8]) {
    let manifest = &intact_segments().manifest;
    let intact = rmp_serde::to_vec_named(manifest).expect("a manifest is written");
    let bytes = changed(intact, input);
    let Ok(read) = rmp_serde::from_slice::<Manifest>(&bytes) else {
        return;
    };
    let again = rmp_serde::to_vec_named(&read).expect("a manifest is written");
    let again: Manifest = rmp_serde::from_slice(&again).expect("what was written is read again");
    assert_eq!(again, read);
}
