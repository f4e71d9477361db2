//! How much is read for a message, and that no damage is served or larger than it is, whichever way the
//! message is read.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hitherto_platform::{Fault, FaultOn, FaultyDisk};
use hitherto_protocol::{HeadersBuilder, Subject, Timestamp};

use super::super::{BlockCache, Manifest, StreamStoreOptions, record};
use super::*;

const DIR: &str = "/store/streams/1";
const MESSAGES: u64 = 300;

/// Twelve messages fill a block, ten blocks a segment.
fn options(cache_bytes: usize) -> StreamStoreOptions {
    StreamStoreOptions {
        segment_bytes: 20_000,
        block_bytes: 2_000,
        compression: false,
        cache: BlockCache::new(cache_bytes),
    }
}

fn message(seq: u64) -> StoredMessage {
    let headers = seq.is_multiple_of(3).then(|| {
        let mut headers = HeadersBuilder::new();
        headers.insert("Nats-Msg-Id", &seq.to_string()).unwrap();
        headers.build()
    });
    StoredMessage {
        seq: StreamSeq(seq),
        at: Timestamp::from_unix_nanos(7_000 + seq.cast_signed()),
        subject: Subject::new(format!("orders.{seq:03}.placed")).unwrap(),
        headers,
        payload: Bytes::from(format!("{seq:03}{}", "x".repeat(117))),
    }
}

/// A disk with a store of [`MESSAGES`] messages, those in `missing` deleted and rewritten away.
fn filled(missing: &[u64]) -> (FaultyDisk, Manifest) {
    let disk = FaultyDisk::new();
    let shared = Arc::new(disk.clone());
    let mut store = StreamStore::create(shared, Path::new(DIR), options(100_000)).unwrap();
    for seq in (1..=MESSAGES).filter(|seq| !missing.contains(seq)) {
        store.append(message(seq));
    }
    let manifest = store.prepare_checkpoint().unwrap().sync().unwrap();
    (disk, manifest)
}

fn open(disk: &FaultyDisk, manifest: &Manifest, cache_bytes: usize) -> StreamStore {
    let disk = Arc::new(disk.clone());
    StreamStore::open(disk, Path::new(DIR), options(cache_bytes), manifest.clone()).unwrap()
}

fn get(store: &StreamStore, seq: u64) -> StoredMessage {
    store.get(StreamSeq(seq)).unwrap().unwrap()
}

/// Reads and bytes that `read` costs.
fn cost(disk: &FaultyDisk, read: impl FnOnce()) -> (u64, u64) {
    let before = disk.counters();
    read();
    let after = disk.counters();
    (
        after.reads - before.reads,
        after.bytes_read - before.bytes_read,
    )
}

/// Bytes of the records of these messages.
fn len(seqs: Range<u64>) -> u64 {
    seqs.map(|seq| record::len(&message(seq)) as u64).sum()
}

/// The first complete segment, and where its blocks begin and end.
fn first_segment(store: &StreamStore) -> (PathBuf, Vec<BlockRef>) {
    let segment = &store.segments[0];
    assert!(segment.record.sealed);
    let index = segment.index(&*store.shared.disk).unwrap();
    (segment.path().to_owned(), index.to_vec())
}

#[test]
fn a_message_far_from_the_one_before_is_read_alone() {
    let (disk, manifest) = filled(&[]);
    let store = open(&disk, &manifest, 100_000);
    let (_, index) = first_segment(&store);
    for block in [4, 1, 7] {
        // Where the records lie, then the record.
        let (at, seq) = (index[block], index[block].first_seq.0 + 5);
        let head_and_record = u64::from(at.head_len) + len(seq..seq + 1);
        let cost = cost(&disk, || assert_eq!(get(&store, seq), message(seq)));
        assert_eq!(cost, (2, head_and_record));
    }
    for (block, record) in [(7, 2), (1, 8), (4, 4)] {
        let seq = index[block].first_seq.0 + record;
        let cost = cost(&disk, || assert_eq!(get(&store, seq), message(seq)));
        assert_eq!(cost, (1, len(seq..seq + 1)), "{seq}");
    }
}

#[test]
fn who_reads_in_order_reads_whole_blocks() {
    let (disk, manifest) = filled(&[]);
    let store = open(&disk, &manifest, 100_000);
    let blocks: usize = store
        .segments
        .iter()
        .map(|segment| segment.index(&*store.shared.disk).unwrap().len())
        .sum();
    let (reads, bytes) = cost(&disk, || {
        for seq in 1..=MESSAGES {
            assert_eq!(get(&store, seq), message(seq));
        }
    });
    // The first message does not know yet.
    assert_eq!(reads, blocks as u64 + 2);
    assert!(bytes < manifest.stored_bytes() * 11 / 10);
}

#[test]
fn a_block_asked_for_often_is_read_as_a_whole_if_it_would_have_stayed() {
    let (disk, manifest) = filled(&[]);
    let store = open(&disk, &manifest, 100_000);
    let often = |store: &StreamStore| {
        for round in 0..6 {
            for seq in [100, 103 + round % 2] {
                assert_eq!(get(store, seq), message(seq));
            }
        }
    };
    often(&store);
    assert_eq!(cost(&disk, || often(&store)), (0, 0));

    // With others in between that would have pushed it out, it is not.
    let small = open(&disk, &manifest, 6_000);
    for _ in 0..20 {
        for seq in [100, 1, 30, 60, 130, 160, 190] {
            assert_eq!(get(&small, seq), message(seq));
        }
    }
    let (reads, bytes) = cost(&disk, || drop(get(&small, 100)));
    assert_eq!(reads, 1);
    assert!(bytes < 200, "{bytes}");
}

#[test]
fn messages_are_found_where_some_are_missing() {
    let missing = [2, 3, 50, 51, 52, 53, 54, 90];
    let (disk, manifest) = filled(&missing);
    let store = open(&disk, &manifest, 100_000);
    for seq in (1..=MESSAGES).rev() {
        let found = store.get(StreamSeq(seq)).unwrap();
        let expected = (!missing.contains(&seq)).then(|| message(seq));
        assert_eq!(found, expected, "{seq}");
    }
}

/// Reads every message and returns those that cannot be read; what can is right.
fn unreadable(store: &StreamStore, order: impl Iterator<Item = u64>, context: &str) -> Vec<u64> {
    let mut unreadable = Vec::new();
    for seq in order {
        match store.get(StreamSeq(seq)) {
            Ok(found) => assert_eq!(found, Some(message(seq)), "{context}"),
            Err(Error::Damaged { .. }) => unreadable.push(seq),
            Err(error) => panic!("{context}: {error}"),
        }
    }
    unreadable
}

#[test]
fn a_flipped_bit_makes_one_message_unreadable_at_most_and_is_never_served() {
    let (disk, manifest) = filled(&[]);
    let (path, index) = first_segment(&open(&disk, &manifest, 0));
    let (at, end) = (index[1], index[2].first_seq.0);
    let mut lost = 0;
    for offset in at.offset..at.offset + u64::from(at.len) {
        disk.flip_bit(&path, offset, u8::try_from(offset % 8).unwrap())
            .unwrap();
        let context = format!("offset {offset}");
        // With a cache whole blocks are kept of the second walk, without one nothing is.
        let store = open(
            &disk,
            &manifest,
            [0, 100_000][usize::from(offset.is_multiple_of(2))],
        );
        let backwards = unreadable(&store, (at.first_seq.0..end).rev(), &context);
        let in_order = unreadable(&store, at.first_seq.0..end, &context);
        assert_eq!(backwards, in_order, "{context}");
        assert!(backwards.len() <= 1, "{context}: {backwards:?}");
        for seq in &backwards {
            assert_eq!(store.unreadable_with(StreamSeq(*seq)), *seq..=*seq);
        }
        lost += backwards.len() as u64;
        let metas = store.metas().map(|meta| meta.unwrap().seq.0);
        assert!(metas.eq(1..=MESSAGES), "{context}");
        disk.flip_bit(&path, offset, u8::try_from(offset % 8).unwrap())
            .unwrap();
    }
    assert_eq!(lost, u64::from(at.len) - u64::from(at.head_len));
}

#[test]
fn neighbours_that_are_damaged_together_are_reported_together() {
    let (disk, manifest) = filled(&[]);
    let (path, index) = first_segment(&open(&disk, &manifest, 0));
    let (at, first) = (index[1], index[1].first_seq.0);
    for record in [2, 3, 4, 7] {
        let in_block = u64::from(at.head_len) + len(first..first + record) + 20;
        disk.flip_bit(&path, at.offset + in_block, 0).unwrap();
    }
    let store = open(&disk, &manifest, 0);
    assert_eq!(
        store.unreadable_with(StreamSeq(first + 3)),
        first + 2..=first + 4
    );
    assert_eq!(
        store.unreadable_with(StreamSeq(first + 7)),
        first + 7..=first + 7
    );
}

/// Of a message that is damaged no other is said to be lost with it because the file could not be read just then.
#[test]
fn an_error_that_passes_makes_no_other_message_unreadable() {
    let (disk, manifest) = filled(&[]);
    for on in [FaultOn::OpenRead, FaultOn::Read] {
        for after in 0..3 {
            let store = open(&disk, &manifest, 0);
            disk.arm(Fault {
                after,
                ..Fault::once(on, "seg-", Fault::TOO_MANY_OPEN_FILES)
            });
            let lost = store.unreadable_with(StreamSeq(20));
            disk.disarm();
            assert_eq!(lost, 20..=20, "{on:?} after {after}");
        }
    }
}

#[test]
fn behind_a_damaged_record_nothing_is_believed_without_the_summary() {
    let (disk, manifest) = filled(&[]);
    let (path, index) = first_segment(&open(&disk, &manifest, 0));
    let (at, first, end) = (index[1], index[1].first_seq.0, index[2].first_seq.0);
    disk.flip_bit(&path, at.offset + u64::from(at.head_len) - 1, 3)
        .unwrap();
    let in_fourth = u64::from(at.head_len) + len(first..first + 3) + 40;
    disk.flip_bit(&path, at.offset + in_fourth, 3).unwrap();
    let store = open(&disk, &manifest, 100_000);
    let lost = unreadable(&store, (first..end).rev(), "both");
    assert!(lost.iter().rev().copied().eq(first + 3..end), "{lost:?}");
    assert_eq!(
        store.unreadable_with(StreamSeq(end - 1)),
        first + 3..=end - 1
    );
}
