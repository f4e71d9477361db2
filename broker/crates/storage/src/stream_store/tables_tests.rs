//! Tables over crashes, full disks and damage. The tests play the state machine's owner, and the log: what
//! happened since the last saved checkpoint is done again after a crash.

use bytes::Bytes;
use hitherto_jetstream::command::Append;
use hitherto_jetstream::{
    Command, Freeze as _, LogIndex, Output, Restoring, Selection, Stream, StreamConfig,
    StreamSnapshot, catch_unreadable,
};
use hitherto_platform::FaultyDisk;
use hitherto_protocol::{Subject, SubjectFilter, Timestamp};

use super::*;
use crate::StreamStoreOptions;

const DIR: &str = "/store/streams/1";

fn options() -> StreamStoreOptions {
    StreamStoreOptions {
        segment_bytes: 4_096,
        block_bytes: 700,
        ..StreamStoreOptions::default()
    }
}

/// A stream with its bodies, and the checkpoint saved last.
struct Owner {
    disk: FaultyDisk,
    stream: Stream,
    store: StreamStore,
    cache: TableCache,
    saved: Option<(StreamSnapshot, Manifest)>,
}

impl Owner {
    fn new() -> Self {
        let disk = FaultyDisk::new();
        let config = StreamConfig {
            name: "S".to_owned(),
            subjects: vec!["o.>".to_owned()],
            max_msgs_per_subject: 2,
            ..StreamConfig::default()
        };
        let store = StreamStore::create(Arc::new(disk.clone()), Path::new(DIR), options());
        Self {
            stream: Stream::new(config, Timestamp::ZERO),
            store: store.unwrap(),
            disk,
            cache: TableCache::default(),
            saved: None,
        }
    }

    /// Applies the entries up to `last` of a log in which every subject comes again and again.
    fn apply_to(&mut self, last: u64) {
        for index in self.stream.applied().0 + 1..=last {
            let append = Append {
                at: Timestamp::from_unix_nanos(i64::try_from(index).unwrap() * 1_000),
                subject: Subject::new(format!("o.{}.x", index * 7 % 300)).unwrap(),
                headers: None,
                payload: Bytes::from(vec![b'x'; 40]),
            };
            self.stream.apply(LogIndex(index), Command::Append(append));
            while let Some(output) = self.stream.poll_output() {
                match output {
                    Output::Store(message) => self.store.append(message),
                    Output::Remove(ranges) => {
                        ranges
                            .iter()
                            .for_each(|range| self.store.remove_range(range));
                    }
                    other => panic!("{other:?} was not expected"),
                }
            }
        }
    }

    fn freeze(&mut self, messages: usize) -> Result<(), Error> {
        let draft = self.stream.draft_table(messages).unwrap();
        let source = self.store.write_table(draft.bytes())?;
        self.stream.freeze(draft, source, &self.cache);
        Ok(())
    }

    fn merge(&mut self) -> Result<bool, Error> {
        let Some(merge) = self.stream.begin_merge() else {
            return Ok(false);
        };
        let merge = self.store.begin_merge(merge);
        let outcome = merge.run(&mut |_| true);
        let (merged, result) = match outcome {
            Ok(merged) => (merged, Ok(true)),
            Err(error) => (None, Err(error)),
        };
        let merged = self.store.take_merged(merged);
        self.stream.finish_merge(merge.merge(), merged, &self.cache);
        result
    }

    fn checkpoint(&mut self) -> Result<(), Error> {
        let (numbers, only_cold) = self.stream.tables();
        self.store.name_tables(&numbers, only_cold);
        let manifest = self.store.prepare_checkpoint()?.sync()?;
        self.saved = Some((self.stream.snapshot(), manifest.clone()));
        self.store.checkpoint_saved(&manifest)
    }

    /// Opens everything as the last checkpoint has it; whether its tables were of use.
    fn reopen(&mut self) -> bool {
        let Some((snapshot, manifest)) = self.saved.clone() else {
            let disk = self.disk.clone();
            *self = Self::new();
            self.disk = disk;
            self.store =
                StreamStore::create(Arc::new(self.disk.clone()), Path::new(DIR), options())
                    .unwrap();
            return true;
        };
        let disk = Arc::new(self.disk.clone());
        self.store = StreamStore::open(disk, Path::new(DIR), options(), manifest).unwrap();
        let tables = self.store.open_tables(&self.cache);
        let is_used = tables.is_ok();
        let tables = tables.unwrap_or_default();
        let behind = tables.last_seq();
        let mut restoring = Restoring::new(snapshot, tables).unwrap();
        for meta in self.store.metas_behind(behind) {
            restoring.append(&meta.unwrap()).unwrap();
        }
        self.stream = restoring.finish();
        is_used
    }

    fn answers(&self) -> (String, Vec<(String, u64)>, Vec<StreamSeq>) {
        let all = SubjectFilter::new(">".to_owned()).unwrap();
        let last = self.stream.last_per_subject(&Selection::all());
        let state = format!("{:?}", self.stream.state());
        (state, self.stream.subjects(&all), last)
    }
}

fn table_files(disk: &FaultyDisk) -> usize {
    let names = files::list(disk, Path::new(DIR)).unwrap();
    names
        .iter()
        .filter(|name| parse_name(name).is_some())
        .count()
}

const LAST: u64 = 1_800;

/// What a stream in memory says after all entries.
fn expected() -> (String, Vec<(String, u64)>, Vec<StreamSeq>) {
    let mut owner = Owner::new();
    owner.apply_to(LAST);
    owner.answers()
}

/// A life with tables, merges and checkpoints; ends with the first error.
fn live(owner: &mut Owner) -> Result<(), Error> {
    for last in (100..=LAST).step_by(100) {
        owner.apply_to(last);
        owner.freeze(60)?;
        if last % 300 == 0 {
            owner.checkpoint()?;
        }
        owner.merge()?;
    }
    owner.checkpoint()
}

#[test]
fn a_life_with_tables_answers_as_one_without_and_leaves_no_files_behind() {
    let mut owner = Owner::new();
    live(&mut owner).unwrap();
    assert_eq!(owner.answers(), expected());
    owner.checkpoint().unwrap();
    let (numbers, _) = owner.stream.tables();
    assert!(!numbers.is_empty());
    assert_eq!(table_files(&owner.disk), numbers.len());
    owner.disk.crash();
    assert!(owner.reopen());
    assert_eq!(owner.stream.tables().0, numbers);
    assert_eq!(owner.answers(), expected());
    // And it goes on from there.
    owner.apply_to(LAST + 50);
    let mut other = Owner::new();
    other.apply_to(LAST + 50);
    assert_eq!(owner.answers(), other.answers());
}

#[test]
fn a_power_cut_at_any_moment_leaves_a_store_with_usable_tables() {
    let expected = expected();
    let mut cuts = 0;
    for operations in (0..).step_by(3) {
        let mut owner = Owner::new();
        owner.disk.cut_power_after(operations);
        // Without power no page can be read either, in the middle of whatever is done.
        let lived = catch_unreadable(|| live(&mut owner));
        owner.disk.crash_torn(operations);
        assert!(owner.reopen(), "tables after {operations} operations");
        owner.apply_to(LAST);
        assert_eq!(owner.answers(), expected, "after {operations} operations");
        if matches!(lived, Ok(Ok(()))) {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 20, "only {cuts} cuts");
}

#[test]
fn a_write_or_sync_that_fails_costs_a_table_and_nothing_else() {
    let expected = expected();
    for after in (0..60).step_by(3) {
        for fails_sync in [false, true] {
            let mut owner = Owner::new();
            match fails_sync {
                true => owner.disk.fail_sync(after / 3),
                false => owner.disk.fail_write(after),
            }
            let lived = live(&mut owner);
            owner.apply_to(LAST);
            assert_eq!(owner.answers(), expected, "{fails_sync} {after} {lived:?}");
            owner.disk.crash();
            owner.reopen();
            owner.apply_to(LAST);
            assert_eq!(owner.answers(), expected, "{fails_sync} {after} {lived:?}");
        }
    }
}

#[test]
fn a_damaged_or_missing_table_is_found_and_done_without() {
    let expected = expected();
    let mut owner = Owner::new();
    live(&mut owner).unwrap();
    let number = owner.stream.tables().0[0];
    let path = table_path(Path::new(DIR), number);
    let len = owner
        .disk
        .open(&path, OpenMode::Read)
        .unwrap()
        .len()
        .unwrap();
    for offset in (0..len).step_by(61) {
        owner.disk.flip_bit(&path, offset, 2).unwrap();
        assert!(!owner.reopen(), "byte {offset}");
        assert_eq!(owner.answers(), expected);
        let (_, manifest) = owner.saved.as_ref().unwrap();
        let findings = manifest.verify_tables(&owner.disk, Path::new(DIR));
        assert_eq!(findings.len(), 1, "byte {offset}");
        assert_eq!(findings[0].sequences, None);
        owner.disk.flip_bit(&path, offset, 2).unwrap();
    }
    assert!(owner.reopen());
    owner.disk.remove_file(&path).unwrap();
    assert!(!owner.reopen());
    assert_eq!(owner.answers(), expected);
    // The next checkpoint does without, and sweeps the others.
    owner.checkpoint().unwrap();
    assert_eq!(table_files(&owner.disk), 0);
}
