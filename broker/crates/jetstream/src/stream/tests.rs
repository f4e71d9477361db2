//! Properties of a stream under random commands. The single rules are in `testdata`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use hitherto_protocol::{Subject, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::ack_subject::{AckKind, AckSubject};
use crate::command::{Append, Command, Control, Purge, PutAction, PutConsumer};
use crate::output::{Delivery, Outcome};
use crate::{AckPolicy, ConsumerConfig, ConsumerSeq, Limits, MessageMeta, ORDERED_BY};

/// What happens to the stream; subjects and sequences are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Append {
        subject: u8,
    },
    Delete {
        seq: u64,
    },
    Purge {
        subject: u8,
        keep: Option<u64>,
    },
    Pull {
        batch: u64,
    },
    Ack {
        nth: usize,
    },
    Nak {
        nth: usize,
    },
    Wait {
        seconds: u64,
    },
    /// The owner ends, and goes on from a snapshot.
    Restart,
    /// Another replica owns the stream for a while, and takes a message.
    StandDown {
        subject: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<u8>().prop_map(|subject| Step::Append { subject }),
        1 => (1..60_u64).prop_map(|seq| Step::Delete { seq }),
        1 => (any::<u8>(), proptest::option::of(0..3_u64))
            .prop_map(|(subject, keep)| Step::Purge { subject, keep }),
        4 => (1..5_u64).prop_map(|batch| Step::Pull { batch }),
        4 => any::<usize>().prop_map(|nth| Step::Ack { nth }),
        1 => any::<usize>().prop_map(|nth| Step::Nak { nth }),
        1 => (1..30_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Restart),
        1 => any::<u8>().prop_map(|subject| Step::StandDown { subject }),
    ]
}

/// A stream with one consumer on a part of it, and what a client and the storage saw.
struct World {
    stream: Stream,
    now: Timestamp,
    index: LogIndex,
    /// Every command, as the log keeps it.
    log: Vec<(LogIndex, Command)>,
    stored: BTreeMap<StreamSeq, MessageMeta>,
    delivered: BTreeSet<StreamSeq>,
    open: Vec<StreamSeq>,
    settled: BTreeSet<StreamSeq>,
    removed: BTreeSet<StreamSeq>,
    last_cseq: u64,
}

impl World {
    fn new() -> Self {
        Self::with(BTreeMap::new())
    }

    /// With at most one message in flight for each subject.
    fn ordered() -> Self {
        Self::with([(ORDERED_BY.into(), "2-3".into())].into())
    }

    fn with(metadata: BTreeMap<String, String>) -> Self {
        let mut world = Self {
            stream: new_stream(),
            now: Timestamp::UNIX_EPOCH,
            index: LogIndex(0),
            log: Vec::new(),
            stored: BTreeMap::new(),
            delivered: BTreeSet::new(),
            open: Vec::new(),
            settled: BTreeSet::new(),
            removed: BTreeSet::new(),
            last_cseq: 0,
        };
        let config = ConsumerConfig {
            durable_name: Some("c".into()),
            filter_subject: Some("s.even.*".into()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(10),
            max_ack_pending: 4,
            metadata,
            ..ConsumerConfig::default()
        };
        let config = config.checked(world.stream.config()).unwrap();
        world.commit(Command::Control(Control::PutConsumer(PutConsumer {
            name: "c".into(),
            config: Box::new(config),
            action: PutAction::Create,
            at: world.now,
        })));
        world
    }

    fn commit(&mut self, command: Command) {
        self.index = self.index.next();
        self.log.push((self.index, command.clone()));
        self.stream.apply(self.index, command);
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append { subject } => {
                let append = Append {
                    at: self.now,
                    subject: subject_of(*subject),
                    headers: None,
                    payload: Bytes::from_static(b"x"),
                };
                self.commit(Command::Append(append));
            }
            Step::Delete { seq } => self.commit(Command::Control(Control::DeleteMessage {
                seq: StreamSeq(*seq),
                erase: false,
            })),
            Step::Purge { subject, keep } => self.commit(Command::Control(Control::Purge(Purge {
                filter: Some(subject_of(*subject).to_string()),
                before: None,
                keep: *keep,
            }))),
            Step::Pull { batch } => {
                let request = pull_of(*batch);
                assert!(self.stream.handle_pull(self.now, "c", request));
            }
            Step::Ack { nth } => self.answer(*nth, AckKind::Ack),
            Step::Nak { nth } => self.answer(*nth, AckKind::Nak { delay: None }),
            Step::Wait { seconds } => {
                self.now = self.now.saturating_add(Duration::from_secs(*seconds));
                self.stream.handle_timeout(self.now);
            }
            Step::Restart => {
                let stored: Vec<_> = self.stored.values().cloned().collect();
                self.stream = Stream::restore(self.stream.snapshot(), stored).unwrap();
                self.stream.resume(self.now);
            }
            Step::StandDown { subject } => {
                self.stream.stand_down();
                self.keep_bodies();
                assert_eq!(
                    self.stream
                        .consumer_info("c", self.now)
                        .unwrap()
                        .num_waiting,
                    0
                );
                self.follow(*subject);
                self.stream.resume(self.now);
            }
        }
        self.settle();
    }

    /// What another replica has proposed comes out of the log here, and only the bodies are kept.
    fn follow(&mut self, subject: u8) {
        self.commit(Command::Append(Append {
            at: self.now,
            subject: subject_of(subject),
            headers: None,
            payload: Bytes::from_static(b"y"),
        }));
        self.keep_bodies();
        assert!(self.stream.consumers.next_timeout().is_none());
    }

    fn keep_bodies(&mut self) {
        while let Some(output) = self.stream.poll_output() {
            self.keep_body(&output);
        }
    }

    fn keep_body(&mut self, output: &Output) {
        match output {
            Output::Store(message) => {
                self.stored.insert(message.seq, message.meta());
            }
            Output::Remove(ranges) => {
                for seq in ranges.seqs() {
                    self.stored.remove(&seq);
                    self.removed.insert(seq);
                }
            }
            Output::Erase(seq) => {
                self.stored.remove(seq);
                self.removed.insert(*seq);
            }
            _ => {}
        }
    }

    fn answer(&mut self, nth: usize, kind: AckKind) {
        if self.open.is_empty() {
            return;
        }
        let seq = self.open[nth % self.open.len()];
        if kind == AckKind::Ack {
            self.open.retain(|open| *open != seq);
            self.settled.insert(seq);
        }
        assert!(self.stream.handle_ack(
            self.now,
            Ack {
                consumer: "c".into(),
                stream_seq: seq,
                consumer_seq: ConsumerSeq(0),
                deliveries: 1,
                kind,
                reply: None,
            },
        ));
    }

    fn settle(&mut self) {
        loop {
            self.stream.deliver(self.now, &mut |_: &Subject| true);
            let mut any = false;
            while let Some(output) = self.stream.poll_output() {
                any = true;
                match output {
                    Output::Propose { command, .. } => self.commit(command),
                    Output::Deliver(delivery) => self.deliver(&delivery),
                    output => self.keep_body(&output),
                }
            }
            if !any {
                return;
            }
        }
    }

    fn deliver(&mut self, delivery: &Delivery) {
        let ack = AckSubject::parse(delivery.ack_subject.as_str()).unwrap();
        assert_eq!(
            ack.consumer_seq.0,
            self.last_cseq + 1,
            "no gap in deliveries"
        );
        self.last_cseq = ack.consumer_seq.0;
        assert!(
            !self.settled.contains(&delivery.stream_seq),
            "settled is settled"
        );
        let first = self.delivered.insert(delivery.stream_seq);
        assert_eq!(first, ack.deliveries == 1);
        if first {
            self.open.push(delivery.stream_seq);
        }
    }

    fn check(&self) {
        let info = self.stream.consumer_info("c", self.now).unwrap();
        let floor = StreamSeq(info.ack_floor.stream_seq);
        for open in &self.open {
            let gone = self.removed.contains(open);
            assert!(
                *open > floor || gone,
                "the floor {floor} passed the open {open}"
            );
        }
        assert!(info.num_ack_pending <= 4);
        let undelivered = self
            .stored
            .values()
            .filter(|meta| meta.subject.as_str().starts_with("s.even."))
            .filter(|meta| !self.delivered.contains(&meta.seq))
            .count();
        assert_eq!(info.num_pending, undelivered as u64, "num_pending is exact");
    }
}

/// No two open deliveries share a subject.
fn check_order(world: &World) {
    let mut keys = BTreeSet::new();
    for seq in &world.open {
        if let Some(meta) = world.stored.get(seq) {
            assert!(keys.insert(meta.subject.clone()), "{} twice", meta.subject);
        }
    }
}

fn new_stream() -> Stream {
    let config = StreamConfig {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        max_msgs_per_subject: 5,
        ..StreamConfig::default()
    };
    Stream::new(
        config.checked(&Limits::default()).unwrap(),
        Timestamp::UNIX_EPOCH,
    )
}

/// A request that waits for so many messages.
pub(super) fn pull_of(batch: u64) -> PullRequest {
    PullRequest {
        reply: Subject::new("inbox").unwrap(),
        batch,
        max_bytes: None,
        expires: Some(Duration::from_secs(5)),
        no_wait: false,
        idle_heartbeat: None,
        priority_fault: None,
    }
}

fn subject_of(number: u8) -> Subject {
    let kind = if number.is_multiple_of(2) {
        "even"
    } else {
        "odd"
    };
    Subject::new(format!("s.{kind}.{}", number % 6)).unwrap()
}

/// What every replica must agree on once it has the whole log.
fn replicated(stream: &Stream, now: Timestamp) -> (StreamSnapshot, crate::api::StreamState) {
    (stream.snapshot(), stream.info(now).state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn consumers_keep_their_promises(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
            world.check();
        }
    }

    #[test]
    fn ordered_consumers_keep_them_too_and_deliver_everything(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut world = World::ordered();
        for step in &steps {
            world.run(step);
            world.check();
            check_order(&world);
        }
        // Whoever answers everything gets everything.
        world.run(&Step::Wait { seconds: 60 });
        for _ in 0..steps.len() {
            world.run(&Step::Pull { batch: 4 });
            while !world.open.is_empty() {
                world.run(&Step::Ack { nth: 0 });
            }
        }
        let info = world.stream.consumer_info("c", world.now).unwrap();
        prop_assert_eq!(info.num_pending, 0);
    }

    #[test]
    fn a_replica_of_an_ordered_consumer_goes_on_where_it_was(
        before in proptest::collection::vec(step(), 1..80),
        after in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::ordered();
        for step in &before {
            world.run(step);
        }
        let mut replica = new_stream();
        for (index, command) in &world.log {
            replica.apply(*index, command.clone());
        }
        world.stream = replica;
        world.stream.resume(world.now);
        for step in &after {
            world.run(step);
            world.check();
            check_order(&world);
        }
    }

    #[test]
    fn replaying_the_log_gives_the_same_stream(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
        }
        let mut replica = new_stream();
        for (index, command) in &world.log {
            replica.apply(*index, command.clone());
        }
        prop_assert_eq!(
            replicated(&replica, world.now),
            replicated(&world.stream, world.now)
        );
    }

    #[test]
    fn a_snapshot_and_the_rest_of_the_log_give_the_same_stream(
        before in proptest::collection::vec(step(), 1..80),
        after in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        for step in &before {
            world.run(step);
        }
        let snapshot = world.stream.snapshot();
        let stored: Vec<_> = world.stored.values().cloned().collect();
        for step in &after {
            world.run(step);
        }
        let mut restored = Stream::restore(snapshot, stored).unwrap();
        for (index, command) in &world.log {
            restored.apply(*index, command.clone());
        }
        prop_assert_eq!(
            replicated(&restored, world.now),
            replicated(&world.stream, world.now)
        );
    }
}

#[test]
fn entries_of_the_snapshot_change_nothing() {
    let mut world = World::new();
    world.run(&Step::Append { subject: 2 });
    let (index, command) = world.log.last().cloned().unwrap();
    let stored: Vec<_> = world.stored.values().cloned().collect();
    let mut restored = Stream::restore(world.stream.snapshot(), stored).unwrap();
    assert_eq!(restored.apply(index, command), Outcome::AlreadyApplied);
    assert_eq!(restored.state().messages, 1);
}

#[test]
fn records_of_a_removed_consumer_are_not_for_its_successor() {
    let mut world = World::new();
    world.run(&Step::Append { subject: 2 });
    world.run(&Step::Pull { batch: 1 });
    let mut late = world.log.iter().map(|(_, command)| command);
    let late = late.rfind(|command| matches!(command, Command::Delivered(_)));
    let late = late.cloned().unwrap();
    world.commit(Command::Control(Control::DeleteConsumer {
        name: "c".into(),
        incarnation: None,
        at: world.now,
    }));
    let put = world.log.iter().map(|(_, command)| command.clone());
    let mut put = put.filter(|command| matches!(command, Command::Control(_)));
    world.commit(put.next().unwrap());
    let fresh = world.stream.consumer_info("c", world.now).unwrap();
    world.commit(late);
    assert_eq!(world.stream.consumer_info("c", world.now).unwrap(), fresh);
    assert_eq!(fresh.num_pending, 1);
}

#[test]
fn foreign_messages_are_refused() {
    let mut world = World::new();
    world.run(&Step::Append { subject: 2 });
    let mut stranger = world.stored.values().next().unwrap().clone();
    stranger.seq = StreamSeq(9);
    let restored = Stream::restore(world.stream.snapshot(), [stranger]);
    assert!(matches!(restored, Err(RestoreError::Misplaced { .. })));
}

#[test]
fn a_delivery_whose_record_is_missing_is_made_again() {
    let mut world = World::new();
    for _ in 0..3 {
        world.run(&Step::Append { subject: 2 });
    }
    for _ in 0..2 {
        world.run(&Step::Pull { batch: 1 });
    }
    // The disk was full when the first of the two was to be recorded.
    let is_missing = |command: &Command| matches!(command, Command::Delivered(delivered) if delivered.first.0 == 1);
    let kept = world.log.iter().filter(|(_, command)| !is_missing(command));
    let mut replayed = new_stream();
    for (index, (_, command)) in (1..).zip(kept) {
        replayed.apply(LogIndex(index), command.clone());
    }
    let info = replayed.consumer_info("c", world.now).unwrap();
    assert_eq!((info.num_pending, info.num_ack_pending), (3, 0));
    assert_eq!(info.delivered.stream_seq, 0);
}

#[test]
fn messages_passed_over_before_a_restart_are_known_to_a_replica_of_the_log() {
    let mut world = World::ordered();
    let held = [
        Step::Pull { batch: 2 },
        Step::Append { subject: 0 },
        Step::Append { subject: 0 },
        Step::Restart,
        Step::Append { subject: 2 },
        Step::Pull { batch: 1 },
    ];
    for step in &held {
        world.run(step);
    }
    let mut replica = new_stream();
    for (index, command) in &world.log {
        replica.apply(*index, command.clone());
    }
    let info = replica.consumer_info("c", world.now).unwrap();
    assert_eq!(info.num_pending, 1);
    world.stream = replica;
    world.stream.resume(world.now);
    world.run(&Step::Pull { batch: 4 });
    while !world.open.is_empty() {
        world.run(&Step::Ack { nth: 0 });
    }
    assert_eq!(world.delivered.len(), 3, "what was passed over comes too");
}

/// A stream of so many messages on two subjects in turn, one second apart, whose outputs were taken.
fn filled(messages: u8, max_age: Duration) -> Stream {
    let config = StreamConfig {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        max_age,
        ..StreamConfig::default()
    };
    let config = config.checked(&Limits::default()).unwrap();
    let mut stream = Stream::new(config, Timestamp::UNIX_EPOCH);
    for number in 0..messages {
        append_at(&mut stream, number);
        stream.outputs.clear();
    }
    stream
}

fn append_at(stream: &mut Stream, seconds: u8) {
    let append = Append {
        at: Timestamp::UNIX_EPOCH.saturating_add(Duration::from_secs(seconds.into())),
        subject: subject_of(seconds),
        headers: None,
        payload: Bytes::new(),
    };
    stream.apply(stream.applied().next(), Command::Append(append));
}

#[test]
fn what_goes_at_once_is_one_output() {
    let purge = |filter: Option<&str>, before, keep| {
        let mut stream = filled(200, Duration::ZERO);
        let purge = Purge {
            filter: filter.map(Into::into),
            before: Some(before).filter(|before| *before > 0).map(StreamSeq),
            keep: Some(keep).filter(|keep| *keep > 0),
        };
        let command = Command::Control(Control::Purge(purge));
        let outcome = stream.apply(stream.applied().next(), command);
        let Some(Output::Remove(ranges)) = stream.poll_output() else {
            panic!("{outcome:?}");
        };
        assert_eq!(stream.poll_output(), None);
        let Outcome::Purged(Ok(gone)) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(ranges.seqs().count() as u64, gone);
        assert_eq!(stream.state().messages, 200 - gone);
        let all: Vec<_> = ranges.iter().collect();
        (all.first().cloned().unwrap(), all.len())
    };
    assert_eq!(purge(None, 0, 0), (1..=200, 1));
    assert_eq!(purge(None, 151, 0), (1..=150, 1));
    assert_eq!(purge(None, 151, 20), (1..=130, 1));
    assert_eq!(purge(None, 0, 50), (1..=150, 1));
    assert_eq!(purge(None, 900, 0), (1..=200, 1));
    assert_eq!(purge(Some("s.even.*"), 0, 0), (1..=1, 100));

    let mut aged = filled(200, Duration::from_secs(100));
    let expired = aged.state().first_seq - 1;
    append_at(&mut aged, 250);
    let Some(Output::Remove(ranges)) = aged.poll_output() else {
        panic!("what is old goes first");
    };
    assert_eq!(ranges.iter().collect::<Vec<_>>(), [expired + 1..=151]);
    assert!(matches!(aged.poll_output(), Some(Output::Store(_))));
}

#[test]
fn a_stream_that_is_scaled_down_takes_its_consumers_along() {
    let of = |num_replicas| StreamConfig {
        num_replicas,
        ..new_stream().config().clone()
    };
    let mut world = World::new();
    let mut replicas = |num_replicas: u32| {
        let at = world.now;
        let config = Box::new(of(num_replicas));
        world.commit(Command::Control(Control::Configure { config, at }));
        let name = format!("c{num_replicas}");
        let config = ConsumerConfig {
            durable_name: Some(name.clone()),
            ack_policy: AckPolicy::Explicit,
            num_replicas: i32::try_from(num_replicas).unwrap(),
            ..ConsumerConfig::default()
        };
        let config = config.checked(world.stream.config()).unwrap();
        world.commit(Command::Control(Control::PutConsumer(PutConsumer {
            name,
            config: Box::new(config),
            action: PutAction::CreateOrUpdate,
            at,
        })));
        let consumers = world.stream.consumers();
        consumers
            .map(|consumer| consumer.config().num_replicas)
            .collect::<Vec<_>>()
    };
    assert_eq!(replicas(3), [0, 3]);
    assert_eq!(replicas(2), [0, 2, 2]);
    assert_eq!(replicas(1), [0, 1, 1, 1]);
    assert_eq!(replicas(3), [0, 1, 1, 3], "they do not come back with it");
}
