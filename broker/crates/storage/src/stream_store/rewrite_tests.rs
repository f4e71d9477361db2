//! Rewrites against a map, with a crash at every operation; erased bytes are nowhere on the disk.

use std::collections::BTreeMap;

use bytes::Bytes;
use hitherto_platform::{Fault, FaultOn, FaultyDisk};
use hitherto_protocol::{Subject, Timestamp};

use super::super::{BlockCache, Manifest, StreamStoreOptions};
use super::*;

const DIR: &str = "/store/streams/1";

type Model = BTreeMap<u64, StoredMessage>;

fn options() -> StreamStoreOptions {
    StreamStoreOptions {
        segment_bytes: 4096,
        block_bytes: 700,
        compression: false,
        cache: BlockCache::new(10_000),
    }
}

fn open(disk: &FaultyDisk, manifest: Option<&Manifest>) -> StreamStore {
    let disk = Arc::new(disk.clone());
    let dir = Path::new(DIR);
    match manifest {
        None => StreamStore::create(disk, dir, options()).unwrap(),
        Some(manifest) => StreamStore::open(disk, dir, options(), manifest.clone()).unwrap(),
    }
}

fn message(seq: u64) -> StoredMessage {
    StoredMessage {
        seq: StreamSeq(seq),
        at: Timestamp::from_unix_nanos(1),
        subject: Subject::new(format!("s.{seq}")).unwrap(),
        headers: None,
        payload: Bytes::from(format!("secret-{seq:06}-{}", "x".repeat(40))),
    }
}

fn fill(store: &mut StreamStore, seqs: RangeInclusive<u64>) -> Model {
    let model: Model = seqs.map(|seq| (seq, message(seq))).collect();
    for message in model.values() {
        store.append(message.clone());
    }
    model
}

fn save(store: &mut StreamStore) -> Result<Manifest, Error> {
    let manifest = store.prepare_checkpoint()?.sync()?;
    store.checkpoint_saved(&manifest)?;
    Ok(manifest)
}

/// Rewrites everything worth it and saves a checkpoint.
fn rewrite_all(store: &mut StreamStore) -> Result<usize, Error> {
    let mut done = 0;
    while let Some(rewrite) = store.begin_rewrite() {
        let rewritten = rewrite.run(&mut |_| true)?;
        assert!(store.finish_rewrite(&rewrite, Ok(rewritten)));
        done += 1;
    }
    Ok(done)
}

fn check(store: &StreamStore, model: &Model, context: &str) {
    for seq in 0..=store.last_seq().0 + 1 {
        let found = store.get(StreamSeq(seq)).unwrap();
        assert_eq!(found.as_ref(), model.get(&seq), "{context}: {seq}");
    }
    let metas: Vec<_> = store.metas().map(|meta| meta.unwrap().seq.0).collect();
    let expected: Vec<_> = model.keys().copied().collect();
    assert_eq!(metas, expected, "{context}");
}

/// Where a file holds these bytes.
fn place_of(disk: &FaultyDisk, path: &Path, text: &str) -> u64 {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut content = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut content, 0).unwrap();
    let found = content
        .windows(text.len())
        .position(|window| window == text.as_bytes());
    found.unwrap() as u64
}

/// Whether any file of the store holds these bytes.
fn is_on_disk(disk: &FaultyDisk, text: &str) -> bool {
    files::list(disk, Path::new(DIR))
        .unwrap()
        .iter()
        .any(|name| {
            let file = disk
                .open(&Path::new(DIR).join(name), OpenMode::Read)
                .unwrap();
            let mut content = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
            file.read_exact_at(&mut content, 0).unwrap();
            content
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        })
}

#[test]
fn mostly_dead_segments_are_rewritten_and_give_their_room_back() {
    let disk = FaultyDisk::new();
    let mut store = open(&disk, None);
    let mut model = fill(&mut store, 1..=400);
    let before = save(&mut store).unwrap();
    assert!(store.begin_rewrite().is_none(), "nothing is dead");
    for seq in 1..=400 {
        if seq % 4 != 0 {
            store.remove(StreamSeq(seq));
            model.remove(&seq);
        }
    }
    let done = rewrite_all(&mut store).unwrap();
    assert!(done >= 5, "{done}");
    assert!(store.begin_rewrite().is_none(), "once is enough");
    check(&store, &model, "rewritten");
    let after = save(&mut store).unwrap();
    assert!(after.stored_bytes() * 2 < before.stored_bytes());
    assert!(
        disk.used_bytes() * 2 < before.stored_bytes(),
        "old files are gone"
    );
    disk.crash();
    let store = open(&disk, Some(&after));
    check(&store, &model, "opened again");
    for file in after.segment_files(Path::new(DIR)) {
        assert_eq!(file.verify(&disk, &mut |_| true), []);
    }
}

#[test]
fn a_segment_may_be_rewritten_again_and_die() {
    let disk = FaultyDisk::new();
    let mut store = open(&disk, None);
    let mut model = fill(&mut store, 1..=200);
    for step in [2, 3, 5] {
        for seq in 1..=200 {
            if seq % step != 0 {
                store.remove(StreamSeq(seq));
                model.remove(&seq);
            }
        }
        save(&mut store).unwrap();
        rewrite_all(&mut store).unwrap();
        let manifest = save(&mut store).unwrap();
        check(&store, &model, "in use");
        check(&open(&disk, Some(&manifest)), &model, "opened");
    }
    store.remove_through(StreamSeq(200));
    let manifest = save(&mut store).unwrap();
    assert!(manifest.segments() <= 1, "{manifest:?}");
}

#[test]
fn erased_messages_are_nowhere_on_the_disk() {
    let disk = FaultyDisk::new();
    let mut store = open(&disk, None);
    let mut model = fill(&mut store, 1..=100);
    // In a complete segment, in the open one, and in memory.
    let manifest = save(&mut store).unwrap();
    assert!(manifest.segments() >= 2);
    model.append(&mut fill(&mut store, 101..=103));
    for seq in [2, 3, 92, 102] {
        store.erase(StreamSeq(seq));
        model.remove(&seq);
    }
    check(&store, &model, "erased");
    let saved = save(&mut store).unwrap();
    assert!(is_on_disk(&disk, "secret-000002"), "not yet");
    assert!(!is_on_disk(&disk, "secret-000102"), "was only in memory");
    // It is not forgotten by a crash.
    disk.crash();
    let mut store = open(&disk, Some(&saved));
    assert_eq!(rewrite_all(&mut store).unwrap(), 2);
    let saved = save(&mut store).unwrap();
    // Nor is the old file, once nobody names it.
    disk.crash();
    let mut store = open(&disk, Some(&saved));
    store.checkpoint_saved(&saved).unwrap();
    let shreds = store.take_shreds();
    assert_eq!(shreds.len(), 2);
    for shred in shreds {
        shred.run().unwrap();
        shred.run().unwrap();
    }
    for seq in [2, 3, 92, 102] {
        assert!(!is_on_disk(&disk, &format!("secret-{seq:06}")), "{seq}");
    }
    assert!(is_on_disk(&disk, "secret-000004"));
    check(&store, &model, "in the end");
}

fn shred_all(store: &mut StreamStore) -> usize {
    let shreds = store.take_shreds();
    shreds.iter().for_each(|shred| shred.run().unwrap());
    shreds.len()
}

#[test]
fn messages_erased_while_their_segment_is_rewritten_are_gone_in_the_end() {
    for erased_before in [true, false] {
        let disk = FaultyDisk::new();
        let mut store = open(&disk, None);
        let mut model = fill(&mut store, 1..=100);
        save(&mut store).unwrap();
        // Worth it for an erased message, or for the room alone.
        match erased_before {
            true => store.erase(StreamSeq(2)),
            false => (11..=40).for_each(|seq| store.remove(StreamSeq(seq))),
        }
        model.retain(|seq, _| match erased_before {
            true => *seq != 2,
            false => !(11..=40).contains(seq),
        });
        let rewrite = store.begin_rewrite().unwrap();
        assert!(rewrite.sequences().contains(&5));
        store.erase(StreamSeq(5));
        model.remove(&5);
        let rewritten = rewrite.run(&mut |_| true).unwrap();
        assert!(store.finish_rewrite(&rewrite, Ok(rewritten)));
        rewrite_all(&mut store).unwrap();
        save(&mut store).unwrap();
        assert!(shred_all(&mut store) >= 2);
        for seq in [2, 5] {
            let is_erased = erased_before || seq == 5;
            let is_there = is_on_disk(&disk, &format!("secret-{seq:06}"));
            assert_eq!(is_there, !is_erased, "{seq}, {erased_before}");
        }
        check(&store, &model, "in the end");
        save(&mut store).unwrap();
        assert_eq!(shred_all(&mut store), 0, "nothing is left to do");
    }
}

#[test]
fn the_file_of_a_dropped_segment_with_erased_messages_is_overwritten_after_a_restart_too() {
    let disk = FaultyDisk::new();
    let mut store = open(&disk, None);
    let mut model = fill(&mut store, 1..=100);
    let manifest = save(&mut store).unwrap();
    let last = manifest.segment_files(Path::new(DIR))[0].sequences();
    let last = *last.end();
    store.erase(StreamSeq(2));
    (1..=last).for_each(|seq| store.remove(StreamSeq(seq)));
    model.retain(|seq, _| *seq > last);
    let saved = store.prepare_checkpoint().unwrap().sync().unwrap();
    disk.kill();
    let mut store = open(&disk, Some(&saved));
    assert!(is_on_disk(&disk, "secret-000002"));
    let saved = save(&mut store).unwrap();
    // Whoever should overwrite it fails, and the node starts once more.
    let shreds = store.take_shreds();
    assert_eq!(shreds.len(), 1);
    store.return_shreds(shreds);
    assert_eq!(store.take_shreds().len(), 1);
    disk.kill();
    let mut store = open(&disk, Some(&saved));
    save(&mut store).unwrap();
    assert!(is_on_disk(&disk, "secret-000002"), "not removed without it");
    assert_eq!(shred_all(&mut store), 1);
    assert!(!is_on_disk(&disk, "secret-000002"));
    save(&mut store).unwrap();
    assert!(save(&mut store).unwrap().dropped_erased.is_empty());
    check(&store, &model, "in the end");
}

#[test]
fn a_rewrite_that_failed_for_want_of_a_descriptor_is_tried_again() {
    let disk = FaultyDisk::new();
    let mut store = open(&disk, None);
    fill(&mut store, 1..=100);
    save(&mut store).unwrap();
    store.erase(StreamSeq(2));
    let rewrite = store.begin_rewrite().unwrap();
    disk.arm(Fault::once(
        FaultOn::OpenRead,
        "seg-",
        Fault::TOO_MANY_OPEN_FILES,
    ));
    let failed = rewrite.run(&mut |_| true);
    assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
    assert!(!store.finish_rewrite(&rewrite, failed));
    assert_eq!(rewrite_all(&mut store).unwrap(), 1);
}

#[test]
fn a_crash_at_any_operation_of_a_rewrite_keeps_every_message() {
    for seed in 0..2_u64 {
        for cut in 0.. {
            let disk = FaultyDisk::new();
            let mut store = open(&disk, None);
            let mut model = fill(&mut store, 1..=120);
            let mut saved = save(&mut store).unwrap();
            for seq in (1..=120).filter(|seq| seq % 3 != 0) {
                store.erase(StreamSeq(seq));
                model.remove(&seq);
            }
            saved = save(&mut store).unwrap_or(saved);
            disk.cut_power_after(cut);
            let done = rewrite_all(&mut store).and_then(|_| {
                // Saved means durable: then this is what the store is opened with.
                let manifest = store.prepare_checkpoint()?.sync()?;
                saved = manifest.clone();
                store.checkpoint_saved(&manifest)?;
                store.take_shreds().iter().try_for_each(Shred::run)
            });
            match seed {
                0 => disk.crash(),
                seed => disk.crash_torn(seed * 7919 + cut),
            }
            let context = format!("cut {cut} seed {seed}");
            let mut store = open(&disk, Some(&saved));
            check(&store, &model, &context);
            rewrite_all(&mut store).unwrap();
            save(&mut store).unwrap();
            check(&store, &model, &context);
            if done.is_ok() {
                assert!(cut > 10, "the rewrite has that many steps");
                break;
            }
        }
    }
}

#[test]
fn a_damaged_segment_is_not_rewritten_and_a_full_disk_leaves_the_old_one() {
    let disk = FaultyDisk::new();
    let mut store = open(&disk, None);
    let mut model = fill(&mut store, 1..=100);
    save(&mut store).unwrap();
    for seq in (1..=40).filter(|seq| seq % 3 != 0) {
        store.remove(StreamSeq(seq));
        model.remove(&seq);
    }
    disk.set_capacity(Some(disk.used_bytes()));
    let rewrite = store.begin_rewrite().unwrap();
    let failed = rewrite.run(&mut |_| true);
    assert!(matches!(failed, Err(Error::Full { .. })), "{failed:?}");
    assert!(!store.finish_rewrite(&rewrite, failed));
    disk.set_capacity(None);
    check(&store, &model, "full");

    let first = super::super::segment_path(Path::new(DIR), StreamSeq(1));
    let in_a_message = place_of(&disk, &first, "secret-000010");
    disk.flip_bit(&first, in_a_message, 1).unwrap();
    let rewrite = store.begin_rewrite().unwrap();
    let failed = rewrite.run(&mut |_| true);
    assert!(matches!(failed, Err(Error::Damaged { .. })), "{failed:?}");
    assert!(!store.finish_rewrite(&rewrite, failed));
    assert!(store.begin_rewrite().is_none());
    disk.flip_bit(&first, in_a_message, 1).unwrap();
    check(&store, &model, "as it was");
}

#[test]
fn a_checkpoint_saved_meanwhile_does_not_take_the_new_file() {
    let disk = FaultyDisk::new();
    let mut store = open(&disk, None);
    let mut model = fill(&mut store, 1..=100);
    for seq in (1..=100).filter(|seq| seq % 3 != 0) {
        store.remove(StreamSeq(seq));
        model.remove(&seq);
    }
    let pending = store.prepare_checkpoint().unwrap();
    let rewrite = store.begin_rewrite().unwrap();
    assert!(store.begin_rewrite().is_none(), "one at a time");
    let rewritten = rewrite.run(&mut |_| true);
    let manifest = pending.sync().unwrap();
    store.checkpoint_saved(&manifest).unwrap();
    assert!(store.finish_rewrite(&rewrite, rewritten));
    check(&store, &model, "in use");
    // The manifest saved last names the old file, which must be there still.
    check(
        &open(&disk, Some(&manifest)),
        &model,
        "opened with the old manifest",
    );
    let manifest = save(&mut store).unwrap();
    check(
        &open(&disk, Some(&manifest)),
        &model,
        "opened with the new one",
    );
}

#[test]
fn a_segment_dropped_meanwhile_does_not_come_back() {
    let disk = FaultyDisk::new();
    let mut store = open(&disk, None);
    fill(&mut store, 1..=100);
    for seq in (1..=100).filter(|seq| seq % 3 != 0) {
        store.remove(StreamSeq(seq));
    }
    save(&mut store).unwrap();
    let rewrite = store.begin_rewrite().unwrap();
    let rewritten = rewrite.run(&mut |_| true);
    store.remove_through(StreamSeq(100));
    save(&mut store).unwrap();
    assert!(!store.finish_rewrite(&rewrite, rewritten));
    save(&mut store).unwrap();
    check(&store, &Model::new(), "empty");
    assert!(!is_on_disk(&disk, "secret-000003"));
}
