//! The random work of one life, and how a restarted node is read.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::future::join_all;
use hitherto_broker::{LocalMessage, Subject};
use serde_json::{Value, json};

use super::ledger::{Content, Identity, Ledger, RETRIES};
use crate::harness::{JetStream, header, headers, next, status, subject, text};

const SUBJECTS: usize = 6;
/// Subjects that the consumer of the stream [`Kept::WhileWanted`] takes.
const WANTED: usize = 4;
const WRITERS: usize = 8;
const PAYLOAD_BYTES_MAX: usize = 6_000;
const FETCH_MAX: usize = 12;

/// JetStream errors after which nobody knows whether the record will be found: not available, and no
/// answer in time.
const UNKNOWN: [u64; 1] = [10008];

/// The stream is there with another configuration: one of the updates.
const NAME_IN_USE: u64 = 10058;

/// An answer that does not come in so long will not come: the disk under it has failed.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// JetStream errors of messages that do not fit the limits an update has set: too large, and too many.
const LIMITS: [u64; 2] = [10054, 10077];

/// What became of a publish.
enum Fate {
    Stored { seq: u64, duplicate: bool },
    Refused(u64),
    Unknown,
}

/// One of the streams, each with a consumer `C`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Until somebody removes it.
    Always,
    /// Until it is acknowledged.
    UntilAcked,
    /// Until somebody removes it or the power goes: acks go before the sync.
    Relaxed,
    /// As long as the consumer wants it, which has no use for some subjects: what is published there is
    /// acknowledged with a sequence and never stored.
    WhileWanted,
}

impl Kept {
    pub(super) const ALL: [Self; 4] = [
        Self::Always,
        Self::UntilAcked,
        Self::Relaxed,
        Self::WhileWanted,
    ];

    /// What is promised of it.
    pub(super) fn ledger(self) -> Ledger {
        match self {
            Self::Always | Self::UntilAcked | Self::WhileWanted => Ledger::default(),
            Self::Relaxed => Ledger::relaxed(),
        }
    }

    fn stream(self) -> &'static str {
        match self {
            Self::Always => "EVENTS",
            Self::UntilAcked => "WORK",
            Self::Relaxed => "LOOSE",
            Self::WhileWanted => "NEWS",
        }
    }

    fn subject(self, number: usize) -> String {
        format!("{}.{number}", self.stream().to_lowercase())
    }

    fn retention(self) -> &'static str {
        match self {
            Self::Always | Self::Relaxed => "limits",
            Self::UntilAcked => "workqueue",
            Self::WhileWanted => "interest",
        }
    }

    fn config(self) -> Value {
        let mut config = json!({
            "name": self.stream(),
            "subjects": [format!("{}.*", self.stream().to_lowercase())],
            "retention": self.retention(),
            "allow_direct": true,
            "allow_atomic": true,
            "duplicate_window": 24_u64 * 3600 * 1_000_000_000,
        });
        if self == Self::Relaxed {
            config["metadata"] = json!({ "hitherto.durability": "relaxed" });
        }
        config
    }

    fn goes_when_acked(self) -> bool {
        matches!(self, Self::UntilAcked | Self::WhileWanted)
    }

    fn wants(self, subject: &str) -> bool {
        let wanted = (0..WANTED).map(|number| self.subject(number));
        self != Self::WhileWanted || wanted.into_iter().any(|wanted| wanted == subject)
    }
}

pub(super) struct Life<'a> {
    js: &'a JetStream,
    kept: Kept,
    ledger: &'a mut Ledger,
    random: &'a mut Rng,
}

/// Makes the streams and their consumers, unless they are there.
pub(super) async fn set_up(js: &JetStream) {
    for kept in Kept::ALL {
        let stream = kept.stream();
        let request = format!("STREAM.CREATE.{stream}");
        let created = js.api(&request, kept.config()).await;
        let code = created["error"]["err_code"].as_u64();
        assert!(matches!(code, None | Some(NAME_IN_USE)), "{created}");
        let mut consumer = json!({ "ack_wait": 30_000_000_000_u64 });
        if kept == Kept::WhileWanted {
            let wanted: Vec<_> = (0..WANTED).map(|number| kept.subject(number)).collect();
            consumer["filter_subjects"] = json!(wanted);
        }
        js.consumer(stream, "C", consumer).await;
    }
}

/// Every message of the stream, ascending.
pub(super) async fn read_all(js: &JetStream, kept: Kept) -> Vec<(u64, Content)> {
    let body = json!({ "seq": 1, "batch": 1_000_000, "next_by_subj": ">" });
    let to = format!("$JS.API.DIRECT.GET.{}", kept.stream());
    let mut answers = js.ask(&to, &body.to_string()).await;
    let mut found = Vec::new();
    loop {
        let answer = next(&mut answers).await;
        match status(&answer) {
            None => {}
            Some((204 | 404, _)) => return found,
            Some(other) => panic!("reading everything ends with {other:?}"),
        }
        let seq = header(&answer, "Nats-Sequence").unwrap().parse().unwrap();
        let content = Content {
            subject: header(&answer, "Nats-Subject").unwrap().to_owned(),
            payload: text(&answer).to_owned(),
        };
        found.push((seq, content));
    }
}

/// Sends again, under the same message id, what nobody had answered for: it is there once.
pub(super) async fn retry_unknown(js: &JetStream, ledger: &mut Ledger) {
    for (content, place) in ledger.take_resolved() {
        if Identity::of(&content.payload).writer != RETRIES {
            continue;
        }
        match publish(js, &content, &[]).await {
            Fate::Stored { seq, duplicate } => match place {
                Some(place) => assert_eq!((seq, duplicate), (place, true), "{content:?}"),
                None => {
                    assert!(!duplicate, "{content:?} was not there");
                    ledger.acknowledged(seq, content);
                }
            },
            // An update may have set limits that leave no room; what is there is found before they are looked at.
            Fate::Refused(code) => assert!(
                place.is_none() && LIMITS.contains(&code),
                "{content:?} is refused with {code}"
            ),
            Fate::Unknown => ledger.unanswered(content),
        }
    }
}

/// Delivers everything that is not settled and acknowledges it.
pub(super) async fn drain(js: &JetStream, kept: Kept, ledger: &mut Ledger) {
    loop {
        let messages = js.fetch(kept.stream(), "C", 256).await;
        if messages.is_empty() {
            break;
        }
        for message in messages {
            let seq = check_delivery(&message, ledger);
            js.ack_sync(&message, "").await;
            ledger.settled(seq, true);
        }
    }
    if kept.goes_when_acked() {
        let left = read_all(js, kept).await;
        assert!(left.is_empty(), "all is acknowledged: {left:?}");
    }
    for (seq, content) in ledger.stored() {
        assert!(
            ledger.may_be_settled(*seq),
            "sequence {seq} was never delivered: {content:?}"
        );
    }
}

impl<'a> Life<'a> {
    pub(super) fn new(
        js: &'a JetStream,
        kept: Kept,
        ledger: &'a mut Ledger,
        random: &'a mut Rng,
    ) -> Self {
        Self {
            js,
            kept,
            ledger,
            random,
        }
    }

    /// Does one thing.
    pub(super) async fn step(&mut self) {
        match self.random.u8(..17) {
            0..=6 => self.publish_at_once().await,
            7 => self.publish_conditionally().await,
            8 => self.publish_what_cannot_hold().await,
            9 | 10 => self.publish_batch().await,
            11 => self.delete_one().await,
            12 => self.purge_subject().await,
            13 => self.update().await,
            _ => self.consume().await,
        }
    }

    /// Several writers publish one message each at the same time.
    async fn publish_at_once(&mut self) {
        let writers = self.random.usize(1..=WRITERS);
        let mut contents: Vec<_> = (0..writers).map(|writer| self.content(writer)).collect();
        if self.random.bool() {
            contents.push(self.content(RETRIES));
        }
        let js = self.js;
        let fates = contents.iter().map(|content| publish(js, content, &[]));
        for (fate, content) in join_all(fates).await.into_iter().zip(contents) {
            self.note(&fate, content);
        }
    }

    /// Publishes with the last sequence of the subject, which holds where it is known.
    async fn publish_conditionally(&mut self) {
        let content = self.content(0);
        if !self.ledger.knows_last_on(&content.subject) {
            return;
        }
        let last = self.ledger.last_on(&content.subject).to_string();
        let condition = [("Nats-Expected-Last-Subject-Sequence", last.as_str())];
        let fate = publish(self.js, &content, &condition).await;
        if let Fate::Refused(code) = fate {
            assert_ne!(code, 10071, "{last} is the last of {content:?}");
        }
        self.note(&fate, content);
    }

    /// Publishes with a condition that cannot hold: it is never stored, whatever the answer.
    async fn publish_what_cannot_hold(&mut self) {
        let content = self.content(0);
        let condition = [("Nats-Expected-Last-Subject-Sequence", "987654321")];
        let fate = publish(self.js, &content, &condition).await;
        assert!(!matches!(fate, Fate::Stored { .. }), "{content:?}");
    }

    /// Publishes several messages, all or none.
    async fn publish_batch(&mut self) {
        let number = self.ledger.next_number();
        let id = format!("batch-{number}");
        let count = self.random.usize(2..6);
        let contents: Vec<_> = (0..count).map(|_| self.content(1)).collect();
        let mut fate = Fate::Unknown;
        for (place, content) in contents.iter().enumerate() {
            let sequence = (place + 1).to_string();
            let mut fields = vec![
                ("Nats-Batch-Id", id.as_str()),
                ("Nats-Batch-Sequence", sequence.as_str()),
            ];
            if place + 1 == count {
                fields.push(("Nats-Batch-Commit", "1"));
                fate = publish(self.js, content, &fields).await;
            } else {
                let to = subject(&content.subject);
                let payload = Bytes::from(content.payload.clone());
                let sent = self
                    .js
                    .client
                    .publish(to, None, Some(headers(&fields)), payload);
                sent.await.unwrap();
            }
        }
        let behind = u64::try_from(count).unwrap() - 1;
        match fate {
            Fate::Stored { seq, .. } => {
                let first = seq - behind;
                for (seq, content) in (first..).zip(contents) {
                    self.stored(seq, content);
                }
            }
            Fate::Refused(_) => {}
            Fate::Unknown => {
                for content in contents {
                    self.unanswered(content);
                }
            }
        }
    }

    async fn delete_one(&mut self) {
        let seqs: Vec<u64> = self.ledger.stored().keys().copied().collect();
        if seqs.is_empty() {
            return;
        }
        let seq = seqs[self.random.usize(..seqs.len())];
        let body = json!({ "seq": seq, "no_erase": true });
        let is_done = self.ask("STREAM.MSG.DELETE", body).await;
        self.ledger.removed([seq], is_done);
    }

    async fn purge_subject(&mut self) {
        let filter = self.kept.subject(self.random.usize(..SUBJECTS));
        let stored = self.ledger.stored().iter();
        let seqs: Vec<u64> = stored
            .filter(|(_, content)| content.subject == filter)
            .map(|(seq, _)| *seq)
            .collect();
        let body = json!({ "filter": filter });
        let is_done = self.ask("STREAM.PURGE", body).await;
        self.ledger.removed(seqs, is_done);
    }

    /// Changes what the stream takes; whatever becomes of it, each publish has its own answer.
    async fn update(&mut self) {
        let mut config = self.kept.config();
        config["discard"] = json!("new");
        if self.random.bool() {
            config["max_msgs"] = json!(self.random.u64(5..30));
        }
        if self.random.bool() {
            config["max_msg_size"] = json!(self.random.u64(200..3_000));
        }
        let payload = Bytes::from(config.to_string());
        let to = subject(&format!("$JS.API.STREAM.UPDATE.{}", self.kept.stream()));
        let js = self.js;
        js.client.request(to, None, payload, ANSWER_MAX).await.ok();
    }

    /// Takes some messages and acknowledges some of them.
    async fn consume(&mut self) {
        let batch = self.random.usize(1..=FETCH_MAX);
        for message in self.js.fetch(self.kept.stream(), "C", batch).await {
            let seq = check_delivery(&message, self.ledger);
            if self.random.u8(..3) == 0 {
                continue;
            }
            let to = message.reply.clone().unwrap();
            let ack = self
                .js
                .client
                .request(to, None, Bytes::new(), Duration::from_millis(100));
            let is_done = ack.await.is_ok();
            self.ledger.settled(seq, is_done);
            if self.kept.goes_when_acked() {
                self.ledger.removed([seq], is_done);
            }
            if !is_done {
                // The log has failed: no later ack is answered either.
                return;
            }
        }
    }

    /// Makes an API request; `true` when it is done for certain.
    async fn ask(&self, operation: &str, body: Value) -> bool {
        let payload = Bytes::from(body.to_string());
        let to = subject(&format!("$JS.API.{operation}.{}", self.kept.stream()));
        match self.js.client.request(to, None, payload, ANSWER_MAX).await {
            Ok(answer) => {
                let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
                answer["success"] == true
            }
            Err(_) => false,
        }
    }

    fn content(&mut self, writer: usize) -> Content {
        let number = self.ledger.next_number();
        let padding = match self.random.u8(..4) {
            0 => self.random.usize(..PAYLOAD_BYTES_MAX),
            _ => self.random.usize(..200),
        };
        Content {
            subject: self.kept.subject(self.random.usize(..SUBJECTS)),
            payload: format!("{writer} {number} {}", "x".repeat(padding)),
        }
    }

    fn note(&mut self, fate: &Fate, content: Content) {
        match fate {
            Fate::Stored { seq, duplicate } => {
                assert!(!*duplicate, "{content:?} was never sent before");
                self.stored(*seq, content);
            }
            Fate::Refused(_) => {}
            Fate::Unknown => self.unanswered(content),
        }
    }

    fn stored(&mut self, seq: u64, content: Content) {
        let is_wanted = self.kept.wants(&content.subject);
        self.ledger.acknowledged(seq, content);
        if !is_wanted {
            self.ledger.removed([seq], true);
        }
    }

    fn unanswered(&mut self, content: Content) {
        if self.kept.wants(&content.subject) {
            self.ledger.unanswered(content);
        }
    }
}

/// What a delivery holds is what is stored, and was not settled. Returns its sequence.
fn check_delivery(message: &LocalMessage, ledger: &Ledger) -> u64 {
    let reply = message.reply.as_ref().map(Subject::as_str).unwrap();
    let seq: u64 = reply.split('.').nth(5).unwrap().parse().unwrap();
    assert!(
        !ledger.is_settled(seq),
        "sequence {seq} comes again although its ack was confirmed"
    );
    if let Some(content) = ledger.stored().get(&seq) {
        assert_eq!(content.payload, text(message), "sequence {seq}");
        assert_eq!(content.subject, message.subject.as_str(), "sequence {seq}");
    }
    seq
}

async fn publish(js: &JetStream, content: &Content, fields: &[(&str, &str)]) -> Fate {
    let id = content
        .payload
        .split(' ')
        .take(2)
        .collect::<Vec<_>>()
        .join("-");
    let mut all = vec![("Nats-Msg-Id", id.as_str())];
    all.extend_from_slice(fields);
    let payload = Bytes::from(content.payload.clone());
    let to = subject(&content.subject);
    let answer = js
        .client
        .request(to, Some(headers(&all)), payload, ANSWER_MAX);
    let Ok(answer) = answer.await else {
        return Fate::Unknown;
    };
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    match answer["error"]["err_code"].as_u64() {
        None => Fate::Stored {
            seq: answer["seq"].as_u64().unwrap(),
            duplicate: answer["duplicate"] == true,
        },
        Some(code) if UNKNOWN.contains(&code) => Fate::Unknown,
        Some(code) => Fate::Refused(code),
    }
}
