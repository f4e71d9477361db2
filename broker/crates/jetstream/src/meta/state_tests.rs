//! Creating, changing and deleting streams.

use super::super::{MetaRestoreError, MetaSnapshot};
use super::*;

/// A meta state with a log of its own.
struct Log {
    meta: Meta,
    index: u64,
}

impl Log {
    fn new() -> Self {
        Self {
            meta: Meta::new(Limits::default()),
            index: 0,
        }
    }

    fn run(&mut self, command: MetaCommand) -> MetaOutcome {
        let command = match self.meta.check(command.clone(), &ClusterView::default()) {
            Ok(checked) => checked,
            // What check refuses, apply has to refuse as well when it comes all the same.
            Err(_) => command,
        };
        self.index += 1;
        self.meta.apply(LogIndex(self.index), command)
    }

    fn create(&mut self, config: StreamConfig) -> MetaOutcome {
        let at = Timestamp::from_unix_nanos(1);
        self.run(MetaCommand::CreateStream {
            config: Box::new(config),
            at,
            peers: Vec::new(),
        })
    }

    fn update(&mut self, config: StreamConfig) -> MetaOutcome {
        let at = Timestamp::from_unix_nanos(2);
        self.run(MetaCommand::UpdateStream {
            config: Box::new(config),
            at,
            peers: Vec::new(),
        })
    }

    fn delete(&mut self, name: &str) -> MetaOutcome {
        let at = Timestamp::from_unix_nanos(3);
        self.run(MetaCommand::DeleteStream {
            name: name.into(),
            at,
        })
    }
}

fn stream(name: &str, subjects: &[&str]) -> StreamConfig {
    StreamConfig {
        name: name.into(),
        subjects: subjects.iter().map(ToString::to_string).collect(),
        ..StreamConfig::default()
    }
}

fn group_of(outcome: &MetaOutcome) -> u32 {
    match outcome {
        MetaOutcome::Created { group, .. } | MetaOutcome::Updated { group, .. } => group.0,
        MetaOutcome::Deleted { group } => group.0,
        other => panic!("{other:?}"),
    }
}

fn err_code(outcome: &MetaOutcome) -> u16 {
    match outcome {
        MetaOutcome::Refused(error) => error.err_code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_is_never_used_again() {
    let mut log = Log::new();
    assert_eq!(group_of(&log.create(stream("A", &["a"]))), 1);
    assert_eq!(group_of(&log.delete("A")), 1);
    assert_eq!(group_of(&log.create(stream("A", &["a"]))), 2);
    assert!(log.meta.find_group(GroupId(1)).is_none());
    assert_eq!(log.meta.find_group(GroupId(2)).unwrap().0, "A");
}

#[test]
fn creating_an_equal_stream_finds_it() {
    let mut log = Log::new();
    let first = log.create(stream("A", &["a"]));
    assert!(matches!(first, MetaOutcome::Created { existed: false, .. }));
    let mut read_back = log.meta.find("A").unwrap().config.for_reply();
    read_back.metadata.insert("_nats.level".into(), "99".into());
    let second = log.create(read_back);
    assert!(matches!(
        second,
        MetaOutcome::Created {
            existed: true,
            group: GroupId(1),
            ..
        }
    ));
    let different = StreamConfig {
        max_msgs: 5,
        ..stream("A", &["a"])
    };
    assert_eq!(err_code(&log.create(different)), 10058);
}

#[test]
fn subjects_belong_to_one_stream() {
    let mut log = Log::new();
    log.create(stream("A", &["a.>"]));
    log.create(stream("B", &["b.*"]));
    assert_eq!(err_code(&log.create(stream("C", &["c", "*.x"]))), 10065);
    assert_eq!(err_code(&log.update(stream("B", &["a.b"]))), 10065);
    assert_eq!(group_of(&log.update(stream("A", &["a.>", "aa"]))), 1);
    let filter = SubjectFilter::new("*.x").unwrap();
    let names: Vec<&str> = log.meta.by_subject(&filter).map(|(name, _)| name).collect();
    assert_eq!(names, ["A", "B"]);
}

#[test]
fn missing_streams_are_refused() {
    let mut log = Log::new();
    assert_eq!(err_code(&log.update(stream("A", &["a"]))), 10059);
    assert_eq!(err_code(&log.delete("A")), 10059);
}

#[test]
fn an_update_keeps_group_and_creation() {
    let mut log = Log::new();
    log.create(stream("A", &["a"]));
    log.update(StreamConfig {
        max_msgs: 5,
        ..stream("A", &["a"])
    });
    let entry = log.meta.find("A").unwrap();
    assert_eq!((entry.group, entry.config.max_msgs), (GroupId(1), 5));
    assert_eq!(entry.created, Timestamp::from_unix_nanos(1));
}

#[test]
fn the_configuration_a_stream_was_created_with_outlives_updates_and_restarts() {
    let mut log = Log::new();
    log.create(stream("A", &["a"]));
    let unchanged = serde_json::to_string(&log.meta.snapshot()).unwrap();
    assert!(!unchanged.contains("created_with"), "{unchanged}");
    let created_with = log.meta.find("A").unwrap().config.clone();
    for max_msgs in [5, 6] {
        log.update(StreamConfig {
            max_msgs,
            ..stream("A", &["a"])
        });
        let bytes = rmp_serde::to_vec_named(&log.meta.snapshot()).unwrap();
        let snapshot: MetaSnapshot = rmp_serde::from_slice(&bytes).unwrap();
        log.meta = Meta::restore(snapshot, Limits::default()).unwrap();
        let entry = log.meta.find("A").unwrap();
        assert_eq!(entry.config.max_msgs, max_msgs);
        assert_eq!(entry.created_with, created_with);
    }
}

#[test]
fn promises_fit_into_the_node_and_into_its_account_by_storage() {
    let limits = Limits {
        node: ByStorage {
            file: Some(100),
            memory: Some(0),
        },
        account: ByStorage {
            file: Some(80),
            memory: None,
        },
        ..Limits::default()
    };
    let mut log = Log::new();
    log.meta = Meta::new(limits);
    let of = |name: &str, max_bytes, storage| StreamConfig {
        max_bytes,
        storage,
        ..stream(name, &[])
    };
    let check = |log: &Log, config: StreamConfig| {
        let config = Box::new(config);
        let at = Timestamp::UNIX_EPOCH;
        let peers = Vec::new();
        let command = MetaCommand::CreateStream { config, at, peers };
        let checked = log.meta.check(command, &ClusterView::default());
        checked.map(drop).map_err(|error| error.err_code)
    };
    assert_eq!(check(&log, of("A", 81, Storage::File)), Err(10047));
    assert_eq!(check(&log, of("A", 80, Storage::File)), Ok(()));
    log.create(of("A", 60, Storage::File));
    assert_eq!(check(&log, of("B", 21, Storage::File)), Err(10047));
    assert_eq!(check(&log, of("B", -1, Storage::File)), Ok(()));
    // Where there is nothing, nothing can be created.
    assert_eq!(check(&log, of("C", -1, Storage::Memory)), Err(10028));
    assert_eq!(
        log.meta.reserved_bytes(),
        ByStorage {
            file: 60,
            memory: 0
        }
    );
}

#[test]
fn check_asks_for_what_apply_lets_pass() {
    let limits = Limits {
        streams_max: 1,
        ..Limits::default()
    };
    let mut meta = Meta::new(limits);
    let at = Timestamp::UNIX_EPOCH;
    let create = |name: &str| MetaCommand::CreateStream {
        config: Box::new(stream(name, &[])),
        at,
        peers: Vec::new(),
    };
    let alone = ClusterView::default();
    let first = meta.check(create("A"), &alone).unwrap();
    meta.apply(LogIndex(1), first);
    assert_eq!(meta.check(create("B"), &alone).unwrap_err().err_code, 10027);
    assert!(
        meta.check(create("A"), &alone).is_ok(),
        "an equal one needs no room"
    );
    let sealed = StreamConfig {
        sealed: true,
        ..stream("C", &[])
    };
    let command = MetaCommand::CreateStream {
        config: Box::new(sealed),
        at,
        peers: Vec::new(),
    };
    assert_eq!(meta.check(command, &alone).unwrap_err().err_code, 10052);
}

#[test]
fn entries_of_the_snapshot_count_once_and_commands_of_one_entry_each() {
    let mut log = Log::new();
    log.create(stream("A", &["a"]));
    let mut meta = Meta::restore(log.meta.snapshot(), Limits::default()).unwrap();
    let at = Timestamp::UNIX_EPOCH;
    let delete = || MetaCommand::DeleteStream {
        name: "A".into(),
        at,
    };
    assert_eq!(
        meta.apply(LogIndex(1), delete()),
        MetaOutcome::AlreadyApplied
    );
    assert_eq!(group_of(&meta.apply(LogIndex(2), delete())), 1);
    assert_eq!(err_code(&meta.apply(LogIndex(2), delete())), 10059);
    assert!(meta.is_empty());
}

#[test]
fn a_snapshot_comes_back_and_goes_on() {
    let mut log = Log::new();
    log.create(stream("B", &["b"]));
    log.create(stream("A", &["a"]));
    log.delete("B");
    let bytes = rmp_serde::to_vec_named(&log.meta.snapshot()).unwrap();
    let snapshot: MetaSnapshot = rmp_serde::from_slice(&bytes).unwrap();
    assert_eq!(snapshot.applied(), LogIndex(3));
    log.meta = Meta::restore(snapshot, Limits::default()).unwrap();
    assert_eq!(log.meta.find("A").unwrap().group, GroupId(2));
    assert_eq!(group_of(&log.create(stream("C", &["c"]))), 3);
    assert_eq!(err_code(&log.create(stream("D", &["a"]))), 10065);
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused() {
    let mut log = Log::new();
    log.create(stream("A", &["a"]));
    let snapshot = serde_json::to_string(&log.meta.snapshot()).unwrap();
    let outside: MetaSnapshot =
        serde_json::from_str(&snapshot.replace(r#""group":1"#, r#""group":7"#)).unwrap();
    let refusal = Meta::restore(outside, Limits::default()).unwrap_err();
    assert_eq!(
        refusal,
        MetaRestoreError::Contradiction { name: "A".into() }
    );
    let later: MetaSnapshot =
        serde_json::from_str(&snapshot.replace(r#""version":1"#, r#""version":3"#)).unwrap();
    assert_eq!(
        Meta::restore(later, Limits::default()).unwrap_err(),
        MetaRestoreError::Version(3)
    );
}
