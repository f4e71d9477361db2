//! The store against a map, on a disk that crashes, tears, fills up, fails and rots.
//!
//! The tests play the log's part: what happened since the last saved checkpoint is done again
//! after a crash.

use std::collections::BTreeMap;

use hitherto_platform::{FaultyDisk, OpenMode};
use hitherto_protocol::{HeadersBuilder, Subject, Timestamp};
use proptest::prelude::*;

use super::*;

const DIR: &str = "/store/streams/1";

fn options() -> StreamStoreOptions {
    StreamStoreOptions {
        segment_bytes: 4096,
        block_bytes: 700,
        compression: false,
        cache: BlockCache::new(10_000),
    }
}

fn create(disk: &FaultyDisk) -> StreamStore {
    StreamStore::create(Arc::new(disk.clone()), Path::new(DIR), options()).unwrap()
}

fn open(disk: &FaultyDisk, manifest: &Manifest) -> Result<StreamStore, Error> {
    StreamStore::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        options(),
        manifest.clone(),
    )
}

/// A message whose every part tells its sequence.
fn message(seq: u64, payload_bytes: usize) -> StoredMessage {
    let headers = (seq.is_multiple_of(3)).then(|| {
        let mut headers = HeadersBuilder::new();
        headers.insert("Nats-Msg-Id", &seq.to_string()).unwrap();
        headers.build()
    });
    let payload = seq
        .to_le_bytes()
        .into_iter()
        .cycle()
        .take(payload_bytes)
        .collect::<Vec<_>>();
    StoredMessage {
        seq: StreamSeq(seq),
        at: Timestamp::from_unix_nanos(i64::try_from(seq).unwrap() * 1000),
        subject: Subject::new(format!("orders.{seq}")).unwrap(),
        headers,
        payload: Bytes::from(payload),
    }
}

fn fill(store: &mut StreamStore, seqs: RangeInclusive<u64>) {
    for seq in seqs {
        store.append(message(seq, usize::try_from(seq % 200).unwrap()));
    }
}

/// Every message reads back as it was appended, and nothing else does.
fn check(store: &StreamStore, model: &BTreeMap<u64, StoredMessage>, context: &str) {
    for seq in 0..=store.last_seq().0 + 2 {
        let found = store.get(StreamSeq(seq)).unwrap();
        assert_eq!(found.as_ref(), model.get(&seq), "{context}: message {seq}");
    }
    let metas: Vec<_> = store.metas().map(Result::unwrap).collect();
    let expected: Vec<_> = model.values().map(StoredMessage::meta).collect();
    assert_eq!(metas, expected, "{context}");
    let ahead: Vec<_> = store.walk_metas(StreamSeq(0), |metas| metas.map(Result::unwrap).collect());
    assert_eq!(ahead, expected, "{context}: read ahead");
}

#[test]
fn a_walk_that_is_read_ahead_may_end_early_and_meets_the_same_damage() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=600);
    let manifest = save(&mut store);
    assert_eq!(
        store.walk_metas(StreamSeq(0), |mut metas| metas
            .next()
            .unwrap()
            .unwrap()
            .seq
            .0),
        1
    );
    let third = &manifest.segment_files(Path::new(DIR))[2];
    let file = disk.open(&third.path(), OpenMode::ReadWrite).unwrap();
    file.write_at(&vec![0; usize::try_from(third.bytes()).unwrap()], 0)
        .unwrap();
    let store = open(&disk, &manifest).unwrap();
    let walked: Vec<_> = store.walk_metas(StreamSeq(0), |metas| metas.collect());
    let before: Vec<_> = walked.iter().flatten().map(|meta| meta.seq.0).collect();
    assert!(before.iter().copied().eq(1..*third.sequences().start()));
    assert!(matches!(walked.last(), Some(Err(Error::Damaged { .. }))));
    assert_eq!(
        walked.len(),
        before.len() + 1,
        "nothing comes behind the error"
    );
}

fn model_of(seqs: impl Iterator<Item = u64>) -> BTreeMap<u64, StoredMessage> {
    seqs.map(|seq| (seq, message(seq, usize::try_from(seq % 200).unwrap())))
        .collect()
}

fn save(store: &mut StreamStore) -> Manifest {
    let manifest = store.prepare_checkpoint().unwrap().sync().unwrap();
    store.checkpoint_saved(&manifest).unwrap();
    manifest
}

fn segment_files(disk: &FaultyDisk) -> Vec<u64> {
    let names = files::list(disk, Path::new(DIR)).unwrap();
    names
        .iter()
        .filter_map(|name| files::number_in(name, "seg-", ".dat"))
        .collect()
}

fn content(disk: &FaultyDisk, seq: u64, len: u64) -> Vec<u8> {
    let path = segment_path(Path::new(DIR), StreamSeq(seq));
    let file = disk.open(&path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(len).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_checkpoint_may_be_synced_on_another_thread() {
    fn sendable<T: Send>() {}
    sendable::<PendingCheckpoint>();
    sendable::<StreamStore>();
}

#[test]
fn the_tail_shrinks_to_less_than_a_block_when_flushed() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=300);
    let before = store.tail_bytes();
    store.flush().unwrap();
    assert!(before > 30_000 && store.tail_bytes() < 700);
    assert_eq!(disk.counters().syncs, 0, "a flush syncs nothing");
    check(&store, &model_of(1..=300), "flushed");
}

#[test]
fn segments_do_not_depend_on_when_they_were_flushed() {
    let mut manifests = Vec::new();
    for every in [1, 7, 400] {
        let disk = FaultyDisk::new();
        let mut store = create(&disk);
        for seq in 1..=400 {
            fill(&mut store, seq..=seq);
            if seq % every == 0 {
                store.flush().unwrap();
            }
            if every == 7 && seq % 91 == 0 {
                // Also not on when it was checkpointed and opened again.
                let manifest = save(&mut store);
                disk.crash();
                store = open(&disk, &manifest).unwrap();
            }
        }
        let manifest = save(&mut store);
        let files: Vec<_> = manifest
            .segments
            .iter()
            .map(|segment| content(&disk, segment.first_seq.0, segment.len))
            .collect();
        manifests.push((manifest, files));
    }
    assert!(manifests[0].0.segments() > 5);
    assert_eq!(manifests[0], manifests[1]);
    assert_eq!(manifests[0], manifests[2]);
}

#[test]
fn a_dead_segment_is_removed_only_after_a_saved_checkpoint_does_not_name_it() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=300);
    let old = save(&mut store);
    let files = segment_files(&disk);
    store.remove_through(StreamSeq(150));
    let pending = store.prepare_checkpoint().unwrap();
    assert_eq!(segment_files(&disk), files);
    disk.crash();
    check(
        &open(&disk, &old).unwrap(),
        &model_of(1..=300),
        "the new manifest was not saved",
    );

    let mut store = open(&disk, &old).unwrap();
    drop(pending);
    store.remove_through(StreamSeq(150));
    let new = save(&mut store);
    assert!(segment_files(&disk).len() < files.len());
    disk.crash();
    check(&open(&disk, &new).unwrap(), &model_of(151..=300), "saved");
}

#[test]
fn segments_made_while_a_checkpoint_was_saved_stay() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=100);
    let pending = store.prepare_checkpoint().unwrap();
    fill(&mut store, 101..=300);
    store.flush().unwrap();
    store.checkpoint_saved(&pending.sync().unwrap()).unwrap();
    check(&store, &model_of(1..=300), "saved");
    let manifest = save(&mut store);
    disk.crash();
    check(
        &open(&disk, &manifest).unwrap(),
        &model_of(1..=300),
        "saved again",
    );
}

#[test]
fn a_segment_deleted_message_by_message_dies_too() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=300);
    let manifest = save(&mut store);
    let second = manifest.segments[1];
    for seq in second.first_seq.0..=second.last_seq.0 {
        store.remove(StreamSeq(seq));
    }
    let manifest = save(&mut store);
    assert!(!segment_files(&disk).contains(&second.first_seq.0));
    let mut model = model_of(1..=300);
    model.retain(|seq, _| *seq < second.first_seq.0 || *seq > second.last_seq.0);
    check(&open(&disk, &manifest).unwrap(), &model, "a hole");
}

/// A stream whose consumers want only some subjects gives sequences to messages nobody stores.
#[test]
fn segments_with_gaps_in_their_sequences_die_too() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    let seqs: Vec<u64> = (10..=300_u64).filter(|seq| seq % 7 != 0).collect();
    for seq in &seqs {
        fill(&mut store, *seq..=*seq);
    }
    let manifest = save(&mut store);
    let files = segment_files(&disk);
    assert!(files.len() > 5);
    // Of the middle a single message stays.
    for seq in seqs.iter().filter(|seq| **seq != 150) {
        store.remove(StreamSeq(*seq));
    }
    save(&mut store);
    let manifest = [save(&mut store), manifest][0].clone();
    let kept = manifest.segments.iter().filter(|segment| segment.sealed);
    assert_eq!(kept.count(), 1, "the one with the message: {manifest:?}");
    assert!(segment_files(&disk).len() <= 2);
    disk.crash();
    let mut store = open(&disk, &manifest).unwrap();
    check(&store, &model_of(150..=150), "one message");
    // Nobody wants the next ones, and then the last one goes.
    fill(&mut store, 400..=700);
    store.remove(StreamSeq(150));
    (400..=700).for_each(|seq| store.remove(StreamSeq(seq)));
    save(&mut store);
    let manifest = save(&mut store);
    assert!(manifest.segments.iter().all(|segment| !segment.sealed));
    assert!(segment_files(&disk).len() <= 1, "only the open one");
}

#[test]
fn a_gap_as_large_as_sequences_go_takes_no_memory() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 5..=5);
    let far = 1 << 50;
    store.append(message(far, 10));
    store.remove(StreamSeq(5));
    let mut model = BTreeMap::from([(far, message(far, 10))]);
    assert_eq!(store.get(StreamSeq(far)).unwrap(), model.remove(&far));
    store.remove(StreamSeq(far));
    store.append(message(2 * far, 10));
    let manifest = save(&mut store);
    assert!(rmp_serde::to_vec(&manifest).unwrap().len() < 10_000);
}

#[test]
fn what_a_manifest_does_not_name_is_not_there_after_opening() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=100);
    let manifest = save(&mut store);
    fill(&mut store, 101..=300);
    store.flush().unwrap();
    let mut store = open(&disk, &manifest).unwrap();
    check(&store, &model_of(1..=100), "opened");
    // The replay may bring other messages than those that lie behind the manifest's lengths.
    let mut model = model_of(1..=100);
    for seq in 101..=150 {
        store.append(message(seq, 333));
        model.insert(seq, message(seq, 333));
    }
    let manifest = save(&mut store);
    assert_eq!(
        segment_files(&disk).len(),
        manifest.segments(),
        "leftovers were swept"
    );
    for segment in &manifest.segments {
        let path = segment_path(Path::new(DIR), segment.first_seq);
        let len = disk.open(&path, OpenMode::Read).unwrap().len().unwrap();
        assert_eq!(
            len, segment.len,
            "nothing of the earlier life is left behind the segment"
        );
    }
    disk.crash();
    check(&open(&disk, &manifest).unwrap(), &model, "rewritten");
}

#[test]
fn a_dropped_checkpoint_does_not_pass_for_a_synced_one() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=300);
    drop(store.prepare_checkpoint());
    let manifest = save(&mut store);
    disk.crash();
    check(
        &open(&disk, &manifest).unwrap(),
        &model_of(1..=300),
        "crashed",
    );
}

#[test]
fn a_failed_sync_poisons_the_store() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=100);
    let manifest = save(&mut store);
    fill(&mut store, 101..=200);
    disk.fail_sync(0);
    assert!(matches!(
        store.prepare_checkpoint().unwrap().sync(),
        Err(Error::Io { .. })
    ));
    assert!(matches!(
        store.prepare_checkpoint(),
        Err(Error::Poisoned { .. })
    ));
    assert!(matches!(store.flush(), Err(Error::Poisoned { .. })));
    let mut store = open(&disk, &manifest).unwrap();
    fill(&mut store, 101..=200);
    let manifest = save(&mut store);
    disk.crash();
    check(
        &open(&disk, &manifest).unwrap(),
        &model_of(1..=200),
        "replayed",
    );
}

#[test]
fn a_full_disk_keeps_messages_in_memory_until_there_is_space() {
    for capacity in (0..12_000).step_by(500) {
        let disk = FaultyDisk::new();
        let mut store = create(&disk);
        disk.set_capacity(Some(capacity));
        for seq in 1..=200 {
            fill(&mut store, seq..=seq);
            if let Err(error) = store.flush() {
                assert!(matches!(error, Error::Full { .. }), "{error}");
            }
        }
        assert!(
            matches!(store.flush(), Err(Error::Full { .. })),
            "capacity {capacity}"
        );
        check(&store, &model_of(1..=200), "full");
        disk.set_capacity(None);
        let manifest = save(&mut store);
        check(&store, &model_of(1..=200), "space again");
        disk.crash();
        check(
            &open(&disk, &manifest).unwrap(),
            &model_of(1..=200),
            "crashed",
        );
    }
}

#[test]
fn every_flipped_bit_of_a_segment_is_noticed_or_does_not_matter() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=80);
    let manifest = save(&mut store);
    assert!(manifest.segments() >= 2, "one is sealed, one is not");
    let model = model_of(1..=80);
    let all: Vec<_> = model.values().map(StoredMessage::meta).collect();
    // Places that damage what is needed to know that there are messages: the headers of blocks.
    let mut damaged = 0;
    for segment in &manifest.segments {
        let path = segment_path(Path::new(DIR), segment.first_seq);
        for offset in 0..segment.len {
            let bit = u8::try_from(offset % 8).unwrap();
            disk.flip_bit(&path, offset, bit).unwrap();
            let store = open(&disk, &manifest).unwrap();
            match store.metas().collect::<Result<Vec<_>, _>>() {
                // A record, which is not read here, or what the records make up for.
                Ok(metas) => assert!(metas.iter().eq(&all), "offset {offset}"),
                Err(error) => {
                    let found = matches!(&error, Error::Damaged { file, .. } if *file == path);
                    assert!(found, "offset {offset}: {error}");
                    damaged += 1;
                }
            }
            for seq in [segment.first_seq, segment.last_seq] {
                if let Ok(message) = store.get(seq) {
                    assert_eq!(message.as_ref(), model.get(&seq.0), "offset {offset}");
                }
            }
            disk.flip_bit(&path, offset, bit).unwrap();
        }
    }
    assert!(damaged * 2 < manifest.stored_bytes(), "{damaged}");
    check(&open(&disk, &manifest).unwrap(), &model, "flipped back");
}

#[test]
fn a_missing_or_cut_segment_is_damage() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=200);
    let manifest = save(&mut store);
    let path = segment_path(Path::new(DIR), manifest.segments[1].first_seq);
    let file = disk.open(&path, OpenMode::ReadWrite).unwrap();
    file.set_len(manifest.segments[1].len - 1).unwrap();
    assert!(matches!(open(&disk, &manifest), Err(Error::Damaged { .. })));
    disk.remove_file(&path).unwrap();
    assert!(matches!(open(&disk, &manifest), Err(Error::Damaged { .. })));
}

#[test]
fn a_manifest_of_another_version_is_refused() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    let mut manifest = save(&mut store);
    let version = manifest.version;
    manifest.version = version + 1;
    let newer = open(&disk, &manifest).unwrap_err();
    assert!(
        matches!(newer, Error::NewerFormat { found, supported, .. } if (found, supported) == (version + 1, version)),
        "{newer}"
    );
    manifest.version = version - 1;
    let older = open(&disk, &manifest).unwrap_err();
    assert!(
        matches!(older, Error::OlderFormat { found, supported, .. } if (found, supported) == (version - 1, version)),
        "{older}"
    );
    assert!(older.to_string().contains("delete the stream"), "{older}");
}

#[test]
fn a_deleted_store_leaves_nothing() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=200);
    save(&mut store);
    store.delete().unwrap();
    disk.crash();
    assert!(!disk.exists(Path::new(DIR)).unwrap());
}

#[test]
fn the_cache_serves_repeated_reads_and_stays_within_its_limit() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    fill(&mut store, 1..=300);
    store.flush().unwrap();
    for seq in [10, 11] {
        store.get(StreamSeq(seq)).unwrap();
    }
    let before = disk.counters().reads;
    store.get(StreamSeq(10)).unwrap();
    assert_eq!(disk.counters().reads, before);
    check(
        &store,
        &model_of(1..=300),
        "more blocks than the cache holds",
    );
    store.get(StreamSeq(10)).unwrap();
    assert!(disk.counters().reads > before, "the block had to go");
}

#[derive(Debug, Clone)]
enum Step {
    Append { gap: u64, payload_bytes: usize },
    Remove(u64),
    RemoveThrough(u64),
    RemoveRange(u64, u64),
    Flush,
    Prepare,
    Checkpoint,
    Crash(Option<u64>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let gap = prop_oneof![20 => Just(0_u64), 1 => 1_u64..10];
    let append =
        (gap, 0_usize..900).prop_map(|(gap, payload_bytes)| Step::Append { gap, payload_bytes });
    let step = prop_oneof![
        20 => append,
        4 => any::<u64>().prop_map(Step::Remove),
        1 => any::<u64>().prop_map(Step::RemoveThrough),
        2 => (any::<u64>(), 0..40_u64).prop_map(|(pick, more)| Step::RemoveRange(pick, more)),
        2 => Just(Step::Flush),
        1 => Just(Step::Prepare),
        2 => Just(Step::Checkpoint),
        1 => prop::option::of(any::<u64>()).prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..150)
}

/// Applies the steps that the log would replay.
fn replay(step: &Step, store: &mut StreamStore, model: &mut BTreeMap<u64, StoredMessage>) {
    let last = store.last_seq().0;
    match step {
        Step::Append { gap, payload_bytes } => {
            let message = message(last + 1 + gap, *payload_bytes);
            model.insert(message.seq.0, message.clone());
            store.append(message);
        }
        Step::Remove(pick) => {
            let seq = pick % (last + 2);
            store.remove(StreamSeq(seq));
            model.remove(&seq);
        }
        Step::RemoveThrough(pick) => {
            let seq = pick % (last + 1) * 2 / 3;
            store.remove_through(StreamSeq(seq));
            model.retain(|other, _| *other > seq);
        }
        Step::RemoveRange(pick, more) => {
            let first = pick % (last + 2);
            store.remove_range(first..=first + more);
            model.retain(|seq, _| !(first..=first + more).contains(seq));
        }
        Step::Flush | Step::Prepare | Step::Checkpoint | Step::Crash(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn behaves_like_a_map(steps in steps()) {
        let disk = FaultyDisk::new();
        let mut store = create(&disk);
        let mut model = BTreeMap::new();
        let mut saved: Option<(Manifest, BTreeMap<u64, StoredMessage>)> = None;
        let mut since = Vec::new();
        for step in steps {
            replay(&step, &mut store, &mut model);
            since.push(step.clone());
            match step {
                Step::Append { .. }
| Step::Remove(_)
| Step::RemoveThrough(_)
| Step::RemoveRange(..) => {}
                Step::Flush => store.flush().unwrap(),
                Step::Prepare => drop(store.prepare_checkpoint().unwrap()),
                Step::Checkpoint => {
                    saved = Some((save(&mut store), model.clone()));
                    since.clear();
                }
                Step::Crash(torn) => {
                    match torn {
                        None => disk.crash(),
                        Some(seed) => disk.crash_torn(seed),
                    }
                    (store, model) = match &saved {
                        Some((manifest, model)) => (open(&disk, manifest).unwrap(), model.clone()),
                        None => (create(&disk), BTreeMap::new()),
                    };
                    check(&store, &model, "crashed");
                    for step in &since {
                        replay(step, &mut store, &mut model);
                    }
                }
            }
        }
        check(&store, &model, "the end");

        // Gaps or not: of the complete segments only those with a message are there after two checkpoints.
        save(&mut store);
        let manifest = save(&mut store);
        for segment in manifest.segments.iter().filter(|segment| segment.sealed) {
            let range = segment.first_seq.0..=segment.last_seq.0;
            prop_assert!(model.range(range).next().is_some(), "{segment:?} is dead");
        }
        prop_assert_eq!(segment_files(&disk).len(), manifest.segments.len());
    }
}

#[test]
fn compressed_blocks_read_back_beside_plain_ones_and_every_flipped_bit_is_noticed() {
    let disk = FaultyDisk::new();
    let mut store = create(&disk);
    let mut model = model_of(1..=300);
    fill(&mut store, 1..=100);
    store.flush().unwrap();
    store.set_compression(true);
    fill(&mut store, 101..=200);
    store.flush().unwrap();
    store.set_compression(false);
    fill(&mut store, 201..=300);
    let manifest = save(&mut store);
    check(&store, &model, "mixed");
    assert!(
        manifest.stored_bytes() * 6 < store_bytes(1..=300) * 5,
        "it became smaller"
    );
    let files = manifest.segment_files(Path::new(DIR));
    let middle = files
        .iter()
        .find(|file| file.sequences().contains(&150))
        .unwrap();
    for offset in (0..middle.bytes()).step_by(3) {
        disk.flip_bit(&middle.path(), offset, 4).unwrap();
        assert_ne!(middle.verify(&disk, &mut |_| true), [], "offset {offset}");
        disk.flip_bit(&middle.path(), offset, 4).unwrap();
    }
    disk.crash();
    let mut store = open(&disk, &manifest).unwrap();
    check(&store, &model, "opened again");
    // A rewrite takes up the choice of the moment.
    store.set_compression(true);
    for seq in (1..=300).filter(|seq| seq % 4 != 0) {
        store.remove(StreamSeq(seq));
        model.remove(&seq);
    }
    while let Some(rewrite) = store.begin_rewrite() {
        let outcome = rewrite.run(&mut |_| true);
        assert!(store.finish_rewrite(&rewrite, outcome));
    }
    let manifest = save(&mut store);
    check(&open(&disk, &manifest).unwrap(), &model, "rewritten");
}

fn store_bytes(seqs: RangeInclusive<u64>) -> u64 {
    let len = |seq| record::len(&message(seq, usize::try_from(seq % 200).unwrap()));
    seqs.map(|seq| len(seq) as u64).sum()
}
