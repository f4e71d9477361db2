//! A stream against a list of messages that is searched from end to end: limits, retention by age,
//! lifetimes, markers, roll-ups, duplicates, conditions, purges, and restarts in between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken property fails by panicking"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hitherto_jetstream::command::{Append, Control, Purge};
use hitherto_jetstream::{
    Command, Discard, Limits, LogIndex, MessageMeta, Outcome, Output, Stream, StreamConfig,
    StreamSeq,
};
use hitherto_protocol::{Headers, HeadersBuilder, Subject, SubjectFilter, Timestamp};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;

/// What the headers of a message say, in seconds.
#[derive(Debug, Clone, Default)]
struct Fields {
    id: Option<u8>,
    /// 0 stands for `never`.
    ttl: Option<u8>,
    rollup: Option<&'static str>,
    /// The last sequence on the subject is expected to be the right one, or a wrong one.
    expects: Option<bool>,
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8, Fields),
    Batch(Vec<(u8, Fields)>),
    Delete(u64),
    Purge(Option<u8>, Option<u64>, Option<u64>),
    /// Lets time pass and has the log look at what is due.
    Wait(u8),
    /// Lets time pass; the next append finds what is due.
    Pass(u8),
    Restart,
}

#[derive(Debug, Clone, PartialEq)]
struct Message {
    seq: u64,
    at: i64,
    subject: String,
    bytes: u64,
    /// When it goes by its own headers; `Some(None)` never.
    expires: Option<Option<i64>>,
    is_marker: bool,
}

/// What the stream must be.
struct Model {
    config: StreamConfig,
    messages: Vec<Message>,
    last_seq: u64,
    ids: BTreeMap<u8, (u64, i64)>,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Stored(u64),
    Duplicate(u64),
    Refused(u16),
}

fn fields() -> impl Strategy<Value = Fields> {
    (
        prop::option::weighted(0.4, 0..6_u8),
        prop::option::weighted(0.3, 0..6_u8),
        prop::option::weighted(0.1, prop::sample::select(&["sub", "all"][..])),
        prop::option::weighted(0.2, prop::bool::weighted(0.8)),
    )
        .prop_map(|(id, ttl, rollup, expects)| Fields {
            id,
            ttl,
            rollup,
            expects,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let message = || (0..5_u8, fields());
    prop_oneof![
        8 => message().prop_map(|(subject, fields)| Step::Append(subject, fields)),
        2 => prop::collection::vec(message(), 1..5).prop_map(Step::Batch),
        1 => (1..40_u64).prop_map(Step::Delete),
        1 => (
            prop::option::of(0..5_u8),
            prop::option::of(1..40_u64),
            prop::option::of(0..4_u64),
        )
            .prop_map(|(subject, before, keep)| Step::Purge(subject, before, keep)),
        2 => (0..4_u8).prop_map(Step::Wait),
        1 => (0..4_u8).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

fn config() -> impl Strategy<Value = StreamConfig> {
    let limit = |max: i64| prop::option::weighted(0.4, 1..max);
    (
        limit(8),
        limit(600),
        limit(4),
        prop::option::weighted(0.4, 1..8_u64),
        any::<(bool, bool, bool)>(),
    )
        .prop_map(
            |(msgs, bytes, per_subject, age, (new, new_per_subject, markers))| {
                let config = StreamConfig {
                    name: "S".into(),
                    subjects: vec!["s.>".into()],
                    max_msgs: msgs.unwrap_or(-1),
                    max_bytes: bytes.unwrap_or(-1),
                    max_msgs_per_subject: per_subject.unwrap_or(-1),
                    max_age: Duration::from_secs(age.unwrap_or(0)),
                    duplicate_window: Duration::from_secs(age.unwrap_or(3).min(3)),
                    discard: if new { Discard::New } else { Discard::Old },
                    discard_new_per_subject: new && new_per_subject && per_subject.is_some(),
                    allow_rollup_hdrs: true,
                    allow_msg_ttl: true,
                    allow_atomic: true,
                    subject_delete_marker_ttl: Duration::from_secs(u64::from(markers) * 2),
                    ..StreamConfig::default()
                };
                config.checked(&Limits::default()).unwrap()
            },
        )
}

fn subject_of(number: u8) -> String {
    format!("s.{number}")
}

fn headers_of(fields: &Fields, expected_seq: Option<u64>) -> Option<Headers> {
    let mut builder = HeadersBuilder::new();
    let mut any = false;
    let mut add = |name: &str, value: String| {
        builder.insert(name, &value).unwrap();
        any = true;
    };
    if let Some(id) = fields.id {
        add("Nats-Msg-Id", id.to_string());
    }
    if let Some(ttl) = fields.ttl {
        let ttl = if ttl == 0 {
            "never".into()
        } else {
            ttl.to_string()
        };
        add("Nats-TTL", ttl);
    }
    if let Some(rollup) = fields.rollup {
        add("Nats-Rollup", rollup.into());
    }
    if let Some(seq) = expected_seq {
        add("Nats-Expected-Last-Subject-Sequence", seq.to_string());
    }
    any.then(|| builder.build())
}

impl Model {
    fn limit(value: i64) -> Option<u64> {
        u64::try_from(value).ok()
    }

    fn bytes(&self) -> u64 {
        self.messages.iter().map(|message| message.bytes).sum()
    }

    fn on<'a>(&'a self, subject: &'a str) -> impl DoubleEndedIterator<Item = &'a Message> {
        self.messages
            .iter()
            .filter(move |message| message.subject == subject)
    }

    fn last_on(&self, subject: &str) -> u64 {
        self.on(subject)
            .next_back()
            .map_or(0, |message| message.seq)
    }

    fn remove(&mut self, seq: u64) -> bool {
        let before = self.messages.len();
        self.messages.retain(|message| message.seq != seq);
        before > self.messages.len()
    }

    fn due(&self, message: &Message) -> Option<i64> {
        let age = i64::try_from(self.config.max_age.as_nanos()).unwrap();
        let aged = (age > 0 && message.expires != Some(None)).then(|| message.at + age);
        let own = message.expires.flatten();
        [aged, own].into_iter().flatten().min()
    }

    fn expire(&mut self, now: i64) {
        loop {
            let due = self.messages.iter().filter_map(|message| {
                Some((self.due(message).filter(|due| *due <= now)?, message.seq))
            });
            let Some((_, seq)) = due.min() else {
                return;
            };
            let gone = self
                .messages
                .iter()
                .find(|message| message.seq == seq)
                .cloned()
                .unwrap();
            self.remove(seq);
            let ttl = self.config.subject_delete_marker_ttl;
            if !ttl.is_zero() && !gone.is_marker && self.on(&gone.subject).next().is_none() {
                let seconds = i64::try_from(ttl.as_secs()).unwrap();
                let text = format!("{seconds}s");
                let headers = "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: ".len()
                    + text.len()
                    + "\r\nNats-Rollup: sub\r\n\r\n".len();
                self.push(Message {
                    seq: 0,
                    at: now,
                    bytes: size(&gone.subject, headers, 0),
                    subject: gone.subject,
                    expires: Some(Some(now + seconds * SECOND)),
                    is_marker: true,
                });
            }
        }
    }

    /// Stores a message and removes what is over the limits.
    fn push(&mut self, message: Message) -> u64 {
        self.last_seq += 1;
        let (seq, subject) = (self.last_seq, message.subject.clone());
        self.messages.push(Message { seq, ..message });
        if let Some(max) = Self::limit(self.config.max_msgs_per_subject) {
            while self.on(&subject).count() as u64 > max {
                let first = self.on(&subject).next().unwrap().seq;
                self.remove(first);
            }
        }
        // With `discard: new` only a message that takes the place of another comes here while the stream is over.
        let makes_room = self.config.discard == Discard::Old;
        let over = |model: &Self| {
            Self::limit(model.config.max_msgs).is_some_and(|max| model.messages.len() as u64 > max)
                || Self::limit(model.config.max_bytes).is_some_and(|max| model.bytes() > max)
        };
        while makes_room && !self.messages.is_empty() && over(self) {
            self.messages.remove(0);
        }
        seq
    }

    fn roll_up(&mut self, fields: &Fields, subject: &str, seq: u64) {
        let goes = |message: &Message| match fields.rollup {
            Some("all") => message.seq < seq,
            Some(_) => message.subject == subject && message.seq < seq,
            None => false,
        };
        self.messages.retain(|message| !goes(message));
    }

    fn known_id(&self, id: Option<u8>, now: i64) -> Option<u64> {
        let window = i64::try_from(self.config.duplicate_window.as_nanos()).unwrap();
        let (seq, at) = self.ids.get(&id?)?;
        (now < at + window).then_some(*seq)
    }

    /// Stores as many messages as there is room for, one after the other, on a copy.
    fn room(&self, coming: &[Message]) -> Result<(), u16> {
        const STORE_FAILED: u16 = 10077;
        if self.config.discard == Discard::Old {
            return Ok(());
        }
        let mut on: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for message in self.messages.iter() {
            on.entry(&message.subject).or_default().push(message.bytes);
        }
        let (mut messages, mut bytes) = (self.messages.len() as u64, self.bytes());
        for message in coming {
            let list = on.entry(&message.subject).or_default();
            let full = Self::limit(self.config.max_msgs_per_subject)
                .is_some_and(|max| list.len() as u64 >= max);
            if full && self.config.discard_new_per_subject {
                return Err(STORE_FAILED);
            }
            let replaced = full.then(|| list.remove(0));
            list.push(message.bytes);
            messages += u64::from(!full);
            if Self::limit(self.config.max_msgs).is_some_and(|max| messages > max) {
                return Err(STORE_FAILED);
            }
            let grows = replaced.is_none_or(|replaced| replaced <= message.bytes);
            let over =
                Self::limit(self.config.max_bytes).is_some_and(|max| bytes + message.bytes > max);
            if over && grows {
                return Err(STORE_FAILED);
            }
            bytes = bytes + message.bytes - replaced.unwrap_or(0);
        }
        Ok(())
    }

    fn append(&mut self, message: &Message, fields: &Fields, expected: Option<u64>) -> Answer {
        self.expire(message.at);
        if let Some(seq) = self.known_id(fields.id, message.at) {
            return Answer::Duplicate(seq);
        }
        if expected.is_some_and(|seq| seq != self.last_on(&message.subject)) {
            return Answer::Refused(10071);
        }
        if let Err(code) = self.room(std::slice::from_ref(message)) {
            return Answer::Refused(code);
        }
        Answer::Stored(self.store(message, fields))
    }

    fn store(&mut self, message: &Message, fields: &Fields) -> u64 {
        let seq = self.push(message.clone());
        if let Some(id) = fields.id {
            self.ids.insert(id, (seq, message.at));
        }
        self.roll_up(fields, &message.subject, seq);
        seq
    }

    fn append_batch(&mut self, batch: &[(Message, Fields, Option<u64>)]) -> Answer {
        self.expire(batch[0].0.at);
        for (place, (message, fields, expected)) in batch.iter().enumerate() {
            let before = &batch[..place];
            let seen = before.iter().any(|(_, other, _)| other.id == fields.id);
            if fields.id.is_some() && (seen || self.known_id(fields.id, message.at).is_some()) {
                return Answer::Refused(10201);
            }
            let written = before
                .iter()
                .any(|(other, ..)| other.subject == message.subject);
            if expected.is_some() && written {
                return Answer::Refused(10164);
            }
            if expected.is_some_and(|seq| seq != self.last_on(&message.subject)) {
                return Answer::Refused(10071);
            }
            let misplaced = match fields.rollup {
                Some("all") => place > 0,
                Some(_) => written,
                None => false,
            };
            if misplaced {
                return Answer::Refused(10111);
            }
        }
        let messages: Vec<_> = batch.iter().map(|(message, ..)| message.clone()).collect();
        if let Err(code) = self.room(&messages) {
            return Answer::Refused(code);
        }
        let stored = batch
            .iter()
            .map(|(message, fields, _)| self.store(message, fields));
        Answer::Stored(stored.last().unwrap())
    }

    fn purge(&mut self, subject: Option<&str>, before: Option<u64>, keep: Option<u64>) -> u64 {
        let goes = |message: &&Message| {
            subject.is_none_or(|subject| message.subject == subject)
                && before.is_none_or(|before| message.seq < before)
        };
        let mut doomed: Vec<u64> = self.messages.iter().filter(goes).map(|m| m.seq).collect();
        let keep = usize::try_from(keep.unwrap_or(0)).unwrap();
        doomed.truncate(doomed.len().saturating_sub(keep));
        self.messages
            .retain(|message| !doomed.contains(&message.seq));
        if let (None, Some(before)) = (subject, before) {
            self.last_seq = self.last_seq.max(before - 1);
        }
        doomed.len() as u64
    }
}

/// As nats-server's file store counts.
fn size(subject: &str, headers: usize, payload: usize) -> u64 {
    let headers = if headers > 0 { headers + 4 } else { 0 };
    (30 + subject.len() + headers + payload) as u64
}

/// The stream and its model, side by side.
struct World {
    stream: Stream,
    model: Model,
    stored: BTreeMap<u64, MessageMeta>,
    now: i64,
    index: LogIndex,
}

impl World {
    fn new(config: StreamConfig) -> Self {
        Self {
            stream: Stream::new(config.clone(), Timestamp::UNIX_EPOCH),
            model: Model {
                config,
                messages: Vec::new(),
                last_seq: 0,
                ids: BTreeMap::new(),
            },
            stored: BTreeMap::new(),
            now: SECOND,
            index: LogIndex(0),
        }
    }

    fn commit(&mut self, command: Command) -> Outcome {
        self.index = self.index.next();
        let outcome = self.stream.apply(self.index, command);
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Store(message) => {
                    self.stored.insert(message.seq.0, message.meta());
                }
                Output::Remove(ranges) => {
                    for seq in ranges.seqs() {
                        assert!(self.stored.remove(&seq.0).is_some(), "{seq} goes once");
                    }
                }
                other => panic!("nobody asked for {other:?}"),
            }
        }
        outcome
    }

    fn answer(&mut self, command: Command) -> Answer {
        match self.commit(command) {
            Outcome::Published(Ok(stored)) if stored.duplicate => Answer::Duplicate(stored.seq.0),
            Outcome::Published(Ok(stored)) => Answer::Stored(stored.seq.0),
            Outcome::Published(Err(error)) => Answer::Refused(error.err_code),
            other => panic!("a publish leads to {other:?}"),
        }
    }

    /// The message for both, and the sequence it expects.
    fn message(&self, subject: u8, fields: &Fields) -> (Append, Message, Option<u64>) {
        let subject = subject_of(subject);
        let last = self.model.last_on(&subject);
        let expected = fields
            .expects
            .map(|right| if right { last } else { last + 7 });
        let headers = headers_of(fields, expected);
        let payload = Bytes::from_static(b"payload");
        let message = Message {
            seq: 0,
            at: self.now,
            bytes: size(
                &subject,
                headers.as_ref().map_or(0, Headers::len),
                payload.len(),
            ),
            subject: subject.clone(),
            expires: fields.ttl.map(|ttl| match ttl {
                0 => None,
                ttl => Some(self.now + i64::from(ttl) * SECOND),
            }),
            is_marker: false,
        };
        let append = Append {
            at: Timestamp::from_unix_nanos(self.now),
            subject: Subject::new(subject).unwrap(),
            headers,
            payload,
        };
        (append, message, expected)
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append(subject, fields) => {
                let (append, message, expected) = self.message(*subject, fields);
                let answer = self.answer(Command::Append(append));
                assert_eq!(answer, self.model.append(&message, fields, expected));
            }
            Step::Batch(batch) => {
                let (mut appends, mut messages) = (Vec::new(), Vec::new());
                for (subject, fields) in batch {
                    let (append, message, expected) = self.message(*subject, fields);
                    appends.push(append);
                    messages.push((message, fields.clone(), expected));
                }
                let answer = self.answer(Command::AppendBatch(appends));
                assert_eq!(answer, self.model.append_batch(&messages));
            }
            Step::Delete(seq) => {
                let command = Control::DeleteMessage {
                    seq: StreamSeq(*seq),
                    erase: false,
                };
                let outcome = self.commit(Command::Control(command));
                let was_there = self.model.remove(*seq);
                assert_eq!(matches!(outcome, Outcome::Deleted(Ok(()))), was_there);
            }
            Step::Purge(subject, before, keep) => self.purge(*subject, *before, *keep),
            Step::Wait(seconds) => {
                self.now += i64::from(*seconds) * SECOND;
                let at = Timestamp::from_unix_nanos(self.now);
                self.commit(Command::Control(Control::Expire { at }));
                self.model.expire(self.now);
            }
            Step::Pass(seconds) => self.now += i64::from(*seconds) * SECOND,
            Step::Restart => {
                let snapshot = self.stream.snapshot();
                let messages = self.stored.values().cloned();
                self.stream = Stream::restore(snapshot, messages).unwrap();
            }
        }
    }

    fn purge(&mut self, subject: Option<u8>, before: Option<u64>, keep: Option<u64>) {
        // The API refuses both at once.
        let keep = keep.filter(|_| before.is_none());
        let subject = subject.map(subject_of);
        let purge = Purge {
            filter: subject.clone(),
            before: before.map(StreamSeq),
            keep,
        };
        let outcome = self.commit(Command::Control(Control::Purge(purge)));
        let purged = self.model.purge(subject.as_deref(), before, keep);
        assert_eq!(outcome, Outcome::Purged(Ok(purged)));
    }

    fn check(&self) {
        let kept: Vec<(u64, &str)> = self
            .stored
            .values()
            .map(|meta| (meta.seq.0, meta.subject.as_str()))
            .collect();
        let messages = self.model.messages.iter();
        let expected: Vec<(u64, &str)> = messages.map(|m| (m.seq, m.subject.as_str())).collect();
        assert_eq!(kept, expected);
        let state = self.stream.state();
        assert_eq!(state.messages, expected.len() as u64);
        assert_eq!(state.bytes, self.model.bytes());
        assert_eq!(state.last_seq, self.model.last_seq);
        let all = SubjectFilter::new(">").unwrap();
        for (subject, count) in self.stream.subjects(&all) {
            assert_eq!(self.model.on(&subject).count() as u64, count, "{subject}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 256,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_stream_holds_what_the_list_holds(
        config in config(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(config);
        for step in &steps {
            world.run(step);
            world.check();
        }
    }
}
