//! Streams with retention `interest` and `workqueue` against sets that say who still needs a message:
//! consumers that come and go, deliveries, acks and terminations, deletes, purges, restarts.
//!
//! A second replica gets the commands alone, as they come out of the log. It must keep the same messages
//! as the owner: what goes is decided by the log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken property fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use hitherto_jetstream::ack_subject::{AckKind, AckSubject};
use hitherto_jetstream::command::{Append, Control, Purge, PutAction, PutConsumer};
use hitherto_jetstream::{
    Ack, AckPolicy, Command, ConsumerConfig, Delivery, Limits, LogIndex, MessageMeta, Outcome,
    Output, PullRequest, Retention, Stream, StreamConfig, StreamSeq,
};
use hitherto_protocol::{Subject, SubjectFilter, Timestamp};
use proptest::prelude::*;
use proptest::sample;

/// What consumers may select. In a work queue the last one shares with all others.
const FILTERS: &[&[&str]] = &[&["s.0"], &["s.1", "s.2"], &["s.3"], &[]];

const NAMES: &[&str] = &["A", "B", "C"];

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Put(usize, usize),
    Drop(usize),
    Pull(usize, u64),
    /// Of a delivery that is open.
    Ack(sample::Index),
    Term(sample::Index),
    Delete(u64),
    Purge(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        8 => (0..4_u8).prop_map(Step::Append),
        3 => (name(), 0..FILTERS.len()).prop_map(|(name, filter)| Step::Put(name, filter)),
        1 => name().prop_map(Step::Drop),
        6 => (name(), 1..5_u64).prop_map(|(name, batch)| Step::Pull(name, batch)),
        6 => any::<sample::Index>().prop_map(Step::Ack),
        1 => any::<sample::Index>().prop_map(Step::Term),
        1 => (1..40_u64).prop_map(Step::Delete),
        1 => (0..4_u8).prop_map(Step::Purge),
        1 => Just(Step::Restart),
    ]
}

/// A consumer as it must be.
#[derive(Debug, Default)]
struct Reader {
    filters: Vec<SubjectFilter>,
    /// What is still to be delivered, or to be answered for.
    needs: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
}

impl Reader {
    fn selects(&self, subject: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| filter.matches(subject))
    }
}

struct World {
    retention: Retention,
    owner: Stream,
    replica: Stream,
    /// What the bodies of each are.
    stored: [BTreeMap<u64, MessageMeta>; 2],
    index: LogIndex,
    last_seq: u64,
    /// Messages that must be there, with their subjects.
    messages: BTreeMap<u64, String>,
    readers: BTreeMap<&'static str, Reader>,
    open: Vec<Delivery>,
}

impl World {
    fn new(retention: Retention) -> Self {
        let config = StreamConfig {
            name: "S".into(),
            subjects: vec!["s.*".into()],
            retention,
            ..StreamConfig::default()
        };
        let config = config.checked(&Limits::default()).unwrap();
        Self {
            retention,
            owner: Stream::new(config.clone(), NOW),
            replica: Stream::new(config, NOW),
            stored: Default::default(),
            index: LogIndex(0),
            last_seq: 0,
            messages: BTreeMap::new(),
            readers: BTreeMap::new(),
            open: Vec::new(),
        }
    }

    /// Both replicas apply the command; what the owner proposes next follows.
    fn commit(&mut self, command: Command) -> Outcome {
        self.index = self.index.next();
        let outcome = self.owner.apply(self.index, command.clone());
        self.replica.apply(self.index, command);
        while let Some(output) = self.replica.poll_output() {
            keep(&mut self.stored[1], output);
        }
        self.settle();
        outcome
    }

    fn settle(&mut self) {
        loop {
            self.owner.deliver(NOW, &mut |_: &Subject| true);
            let Some(output) = self.owner.poll_output() else {
                return;
            };
            let mut proposed = Vec::new();
            for output in
                std::iter::once(output).chain(std::iter::from_fn(|| self.owner.poll_output()))
            {
                match output {
                    Output::Propose { command, .. } => proposed.push(command),
                    Output::Deliver(delivery) => self.open.push(delivery),
                    output => keep(&mut self.stored[0], output),
                }
            }
            for command in proposed {
                self.commit(command);
            }
        }
    }

    fn append(&mut self, subject: u8) {
        let subject = format!("s.{subject}");
        let outcome = self.commit(Command::Append(Append {
            at: NOW,
            subject: Subject::new(subject.clone()).unwrap(),
            headers: None,
            payload: Bytes::new(),
        }));
        self.last_seq += 1;
        let seq = self.last_seq;
        assert!(matches!(outcome, Outcome::Published(Ok(stored)) if stored.seq.0 == seq));
        let mut is_wanted = self.retention == Retention::WorkQueue;
        for reader in self.readers.values_mut() {
            if reader.selects(&subject) {
                reader.needs.insert(seq);
                is_wanted = true;
            }
        }
        if is_wanted {
            self.messages.insert(seq, subject);
        }
    }

    fn put(&mut self, name: &'static str, filters: &[&str]) {
        if self.readers.contains_key(name) {
            return;
        }
        let config = ConsumerConfig {
            durable_name: Some(name.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(3600),
            filter_subjects: filters.iter().map(|&filter| filter.to_owned()).collect(),
            ..ConsumerConfig::default()
        };
        let config = config.checked(self.owner.config()).unwrap();
        let outcome = self.commit(Command::Control(Control::PutConsumer(PutConsumer {
            name: name.to_owned(),
            config: Box::new(config),
            action: PutAction::Create,
            at: NOW,
        })));
        let filters = filters.iter().map(|&filter| SubjectFilter::new(filter));
        let mut reader = Reader {
            filters: filters.collect::<Result<_, _>>().unwrap(),
            ..Reader::default()
        };
        let clashes = |other: &Reader| {
            let meets =
                |filter: &SubjectFilter| reader.filters.iter().any(|mine| mine.overlaps(filter));
            reader.filters.is_empty() || other.filters.is_empty() || other.filters.iter().any(meets)
        };
        let refused = self.retention == Retention::WorkQueue && self.readers.values().any(clashes);
        assert_eq!(
            matches!(outcome, Outcome::Consumer(Err(_))),
            refused,
            "{outcome:?}"
        );
        if !refused {
            let there = self.messages.iter();
            let selected = there.filter(|(_, subject)| reader.selects(subject));
            reader.needs = selected.map(|(seq, _)| *seq).collect();
            self.readers.insert(name, reader);
        }
    }

    fn drop_consumer(&mut self, name: &'static str) {
        let outcome = self.commit(Command::Control(Control::DeleteConsumer {
            name: name.to_owned(),
            incarnation: None,
            at: NOW,
        }));
        let reader = self.readers.remove(name);
        assert_eq!(
            matches!(outcome, Outcome::Deleted(Ok(()))),
            reader.is_some()
        );
        self.open.retain(|delivery| consumer_of(delivery) != name);
        if let Some(reader) = reader.filter(|_| self.retention == Retention::Interest) {
            let is_wanted = |seq: &u64, subject: &String| {
                !reader.selects(subject)
                    || self.readers.values().any(|other| other.needs.contains(seq))
            };
            self.messages.retain(|seq, subject| is_wanted(seq, subject));
        }
    }

    fn pull(&mut self, name: &'static str, batch: u64) {
        let before = self.open.len();
        let request = PullRequest {
            reply: Subject::new("inbox").unwrap(),
            batch,
            max_bytes: None,
            expires: None,
            no_wait: true,
            idle_heartbeat: None,
            priority_fault: None,
        };
        let is_known = self.owner.handle_pull(NOW, name, request);
        assert_eq!(is_known, self.readers.contains_key(name));
        self.settle();
        let got: Vec<u64> = self.open[before..]
            .iter()
            .map(|one| one.stream_seq.0)
            .collect();
        let Some(reader) = self.readers.get_mut(name) else {
            assert!(got.is_empty());
            return;
        };
        let batch = usize::try_from(batch).unwrap();
        let new = reader.needs.difference(&reader.delivered).take(batch);
        let new: Vec<u64> = new.copied().collect();
        assert_eq!(got, new, "{name}");
        reader.delivered.extend(new);
    }

    /// An ack or a termination: either way the consumer is done with the message.
    fn answer(&mut self, which: sample::Index, kind: AckKind) {
        if self.open.is_empty() {
            return;
        }
        let delivery = self.open.swap_remove(which.index(self.open.len()));
        let about = AckSubject::parse(delivery.ack_subject.as_str()).unwrap();
        let (name, seq) = (about.consumer.to_owned(), about.stream_seq.0);
        let ack = Ack {
            consumer: about.consumer.into(),
            stream_seq: about.stream_seq,
            consumer_seq: about.consumer_seq,
            deliveries: about.deliveries,
            kind,
            reply: None,
        };
        assert!(self.owner.handle_ack(NOW, ack));
        self.settle();
        let reader = self.readers.get_mut(name.as_str()).unwrap();
        let was_needed = reader.needs.remove(&seq);
        let is_needed = self
            .readers
            .values()
            .any(|reader| reader.needs.contains(&seq));
        if was_needed && !is_needed {
            self.messages.remove(&seq);
        }
    }

    fn forget(&mut self, gone: impl Fn(u64, &str) -> bool) {
        self.messages.retain(|seq, subject| !gone(*seq, subject));
        for reader in self.readers.values_mut() {
            reader.needs.retain(|seq| self.messages.contains_key(seq));
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append(subject) => self.append(*subject),
            Step::Put(name, filters) => self.put(NAMES[*name], FILTERS[*filters]),
            Step::Drop(name) => self.drop_consumer(NAMES[*name]),
            Step::Pull(name, batch) => self.pull(NAMES[*name], *batch),
            Step::Ack(which) => self.answer(*which, AckKind::Ack),
            Step::Term(which) => self.answer(*which, AckKind::Term { reason: None }),
            Step::Delete(seq) => {
                let seq = StreamSeq(*seq);
                self.commit(Command::Control(Control::DeleteMessage {
                    seq,
                    erase: false,
                }));
                self.forget(|other, _| other == seq.0);
            }
            Step::Purge(subject) => {
                let subject = format!("s.{subject}");
                self.commit(Command::Control(Control::Purge(Purge {
                    filter: Some(subject.clone()),
                    ..Purge::default()
                })));
                self.forget(|_, other| other == subject);
            }
            Step::Restart => {
                let messages = self.stored[0].values().cloned();
                self.owner = Stream::restore(self.owner.snapshot(), messages).unwrap();
                self.owner.resume(NOW);
                self.settle();
            }
        }
    }

    fn check(&self) {
        let expected: Vec<u64> = self.messages.keys().copied().collect();
        for (stream, stored) in [&self.owner, &self.replica].into_iter().zip(&self.stored) {
            assert_eq!(stored.keys().copied().collect::<Vec<_>>(), expected);
            assert_eq!(stream.state().messages, expected.len() as u64);
            assert_eq!(stream.state().last_seq, self.last_seq);
        }
        for (name, reader) in &self.readers {
            let info = self.owner.consumer_info(name, NOW).unwrap();
            let open = reader.needs.intersection(&reader.delivered).count() as u64;
            let counts = (info.num_ack_pending, info.num_pending);
            assert_eq!(counts, (open, reader.needs.len() as u64 - open), "{name}");
        }
    }
}

fn consumer_of(delivery: &Delivery) -> &str {
    AckSubject::parse(delivery.ack_subject.as_str())
        .unwrap()
        .consumer
}

fn keep(stored: &mut BTreeMap<u64, MessageMeta>, output: Output) {
    match output {
        Output::Store(message) => drop(stored.insert(message.seq.0, message.meta())),
        Output::Remove(ranges) => {
            for seq in ranges.seqs() {
                assert!(stored.remove(&seq.0).is_some(), "{seq} goes once");
            }
        }
        Output::Erase(seq) => {
            assert!(stored.remove(&seq.0).is_some(), "{seq} goes once");
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..Default::default() })]

    #[test]
    fn a_message_stays_as_long_as_somebody_needs_it(
        retention in prop_oneof![Just(Retention::Interest), Just(Retention::WorkQueue)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(retention);
        for step in &steps {
            world.run(step);
            world.check();
        }
    }
}
