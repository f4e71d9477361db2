//! Every flipped bit of a complete segment is found, and never more messages are given up than the one it
//! lies in, or those of its block where that is compressed.

use std::sync::Arc;

use bytes::Bytes;
use hitherto_jetstream::StoredMessage;
use hitherto_platform::{Fault, FaultOn, FaultyDisk, OpenMode};
use hitherto_protocol::{Subject, Timestamp};

use super::super::{BlockCache, StreamStoreOptions};
use super::*;

const DIR: &str = "/store/streams/1";

fn filled(disk: &FaultyDisk, compression: bool) -> (StreamStore, Manifest) {
    let options = StreamStoreOptions {
        segment_bytes: 2048,
        block_bytes: 500,
        compression,
        cache: BlockCache::new(0),
    };
    let disk = Arc::new(disk.clone());
    let mut store = StreamStore::create(disk, Path::new(DIR), options).unwrap();
    for seq in 1..=120 {
        store.append(StoredMessage {
            seq: StreamSeq(seq),
            at: Timestamp::from_unix_nanos(1),
            subject: Subject::new(format!("s.{seq}")).unwrap(),
            headers: None,
            payload: Bytes::from(vec![b'x'; 40]),
        });
    }
    let manifest = store.prepare_checkpoint().unwrap().sync().unwrap();
    (store, manifest)
}

fn verify(file: &SegmentFile, disk: &FaultyDisk) -> Vec<Finding> {
    file.verify(disk, &mut |_| true)
}

#[test]
fn every_flipped_bit_of_a_segment_is_found_and_loses_one_message_at_most() {
    every_flipped_bit_is_found(false, 1);
}

#[test]
fn every_flipped_bit_of_a_compressed_segment_is_found_and_loses_one_block_at_most() {
    every_flipped_bit_is_found(true, 10);
}

fn every_flipped_bit_is_found(compression: bool, lost_max: u64) {
    let disk = FaultyDisk::new();
    let (store, manifest) = filled(&disk, compression);
    let files = manifest.segment_files(Path::new(DIR));
    assert!(files.len() > 1 && files[0].is_sealed());
    assert_eq!(
        store.sealed_segments()[..],
        files[..store.sealed_segments().len()]
    );
    for file in &files {
        assert_eq!(verify(file, &disk), [], "{file:?}");
    }
    let (file, mut losses) = (&files[0], 0);
    for offset in 0..file.bytes() {
        let bit = u8::try_from(offset % 8).unwrap();
        disk.flip_bit(&file.path(), offset, bit).unwrap();
        let findings = verify(file, &disk);
        assert!(!findings.is_empty(), "offset {offset}");
        for finding in findings {
            assert_eq!(finding.file, file.path());
            if let Some(lost) = finding.sequences {
                let within = file.sequences();
                assert!(within.contains(lost.start()) && within.contains(lost.end()));
                let count = lost.end() - lost.start() + 1;
                assert!(count <= lost_max, "offset {offset} loses {lost:?}");
                losses += 1;
            }
        }
        disk.flip_bit(&file.path(), offset, bit).unwrap();
    }
    assert!(losses > 0);
    assert_eq!(verify(file, &disk), []);
}

#[test]
fn a_cut_or_missing_segment_is_lost_as_a_whole() {
    let disk = FaultyDisk::new();
    let (_, manifest) = filled(&disk, false);
    let files = manifest.segment_files(Path::new(DIR));
    let open = disk.open(&files[0].path(), OpenMode::ReadWrite).unwrap();
    open.set_len(files[0].bytes() - 1).unwrap();
    disk.remove_file(&files[1].path()).unwrap();
    for file in &files[..2] {
        let findings = verify(file, &disk);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].sequences, Some(file.sequences()));
    }
    assert_eq!(verify(&files[2], &disk), []);
}

#[test]
fn a_segment_of_an_earlier_format_says_so_and_nothing_else() {
    let disk = FaultyDisk::new();
    let (_, manifest) = filled(&disk, false);
    let file = &manifest.segment_files(Path::new(DIR))[0];
    let open = disk.open(&file.path(), OpenMode::ReadWrite).unwrap();
    let mut head = [0; 28];
    open.read_exact_at(&mut head, 0).unwrap();
    head[8] -= 1;
    let crc = crc32c::crc32c(&head[..24]);
    head[24..].copy_from_slice(&crc.to_le_bytes());
    open.write_at(&head, 0).unwrap();
    let findings = verify(file, &disk);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let problem = &findings[0].problem;
    assert!(
        problem.contains("has format 1, this release reads 2"),
        "{problem}"
    );
}

#[test]
fn a_verification_ends_when_it_is_told_to() {
    let disk = FaultyDisk::new();
    let (_, manifest) = filled(&disk, false);
    let file = &manifest.segment_files(Path::new(DIR))[0];
    let mut blocks = 0;
    let findings = file.verify(&disk, &mut |_| {
        blocks += 1;
        blocks < 2
    });
    assert_eq!((findings.len(), blocks), (0, 2));
}

#[test]
fn an_error_that_passes_loses_no_messages() {
    for on in [FaultOn::OpenRead, FaultOn::Read] {
        let disk = FaultyDisk::new();
        let (_, manifest) = filled(&disk, false);
        let file = &manifest.segment_files(Path::new(DIR))[0];
        let mut found = 0;
        for after in 0..20 {
            disk.arm(Fault {
                after,
                ..Fault::once(on, "seg-", Fault::TOO_MANY_OPEN_FILES)
            });
            let findings = file.verify(&disk, &mut |_| true);
            disk.disarm();
            found += findings.len();
            for finding in findings {
                assert_eq!(finding.sequences, None, "{finding:?}");
                assert!(finding.problem.contains("os error 24"), "{finding:?}");
            }
        }
        assert!(found > 0, "{on:?}");
        assert_eq!(file.verify(&disk, &mut |_| true), []);
    }
}
