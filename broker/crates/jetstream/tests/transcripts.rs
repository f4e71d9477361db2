//! Runs the transcripts in `testdata`: commands to one stream, and everything that comes out.
//!
//! A line is a command; the `=>` lines behind it are its output. What the stream wants proposed is
//! committed at once. With `HITHERTO_UPDATE_TRANSCRIPTS=1` the files are rewritten with what came
//! out, to be read and committed.
//!
//! | command | what it does |
//! |---|---|
//! | `stream {json}` | begins with a stream `S` on `s.>`, changed by the JSON |
//! | `configure {json}` | puts another configuration in force |
//! | `append SUBJECT PAYLOAD [Header: value] ...` | appends a message |
//! | `batch SUBJECT PAYLOAD [Header: value] / SUBJECT PAYLOAD ...` | appends all or none |
//! | `purge {json}`, `delete SEQ`, `delete SEQ erase` | removes messages |
//! | `consumer NAME {json}`, `drop NAME` | puts or removes a consumer |
//! | `pull NAME INBOX {json}` | asks for messages |
//! | `ack NAME SEQ PAYLOAD [delivery=N] [reply=INBOX]` | answers a delivery |
//! | `listen NAME`, `leave NAME` | there is interest in the deliver subject, or none any more |
//! | `flow NAME SUBJECT` | answers a request of flow control |
//! | `pause NAME [SECONDS]`, `reset NAME [SEQ]` | what they say |
//! | `deaf INBOX` | nobody listens on the inbox any more |
//! | `at SECONDS` | moves the clock and does what is due |
//! | `show`, `show NAME` | the state of the stream, of a consumer |
//! | `restart` | takes a snapshot and goes on from it |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken transcript fails by panicking"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hitherto_jetstream::ack_subject::{AckKind, AckSubject};
use hitherto_jetstream::command::{
    Append, Control, Purge, PutAction, PutConsumer, Settlement, decode_all,
};
use hitherto_jetstream::{
    Ack, Command, ConsumerConfig, ConsumerSeq, LogIndex, MessageMeta, Outcome, Output, PullRequest,
    Stream, StreamConfig, StreamSeq,
};
use hitherto_protocol::{Headers, HeadersBuilder, Subject, Timestamp};
use serde_json::{Value, json};

struct World {
    stream: Stream,
    now: Timestamp,
    index: LogIndex,
    stored: Vec<MessageMeta>,
    deaf: BTreeSet<String>,
    out: String,
}

#[test]
fn transcripts_come_out_as_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let update = std::env::var_os("HITHERTO_UPDATE_TRANSCRIPTS").is_some();
    let mut paths: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    paths.sort();
    assert!(
        paths.len() >= 10,
        "the transcripts are in {}",
        dir.display()
    );
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let played = play(&text);
        if update {
            std::fs::write(&path, played).unwrap();
        } else {
            assert_eq!(played, text, "{} came out differently", path.display());
        }
    }
}

fn play(text: &str) -> String {
    let mut world = World::new(&json!({}));
    let mut played = String::new();
    for line in text.lines() {
        if line.starts_with("=>") {
            continue;
        }
        writeln!(played, "{line}").unwrap();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        world.run(line);
        for out in std::mem::take(&mut world.out).lines() {
            writeln!(played, "=> {out}").unwrap();
        }
    }
    played
}

impl World {
    fn new(changes: &Value) -> Self {
        Self {
            stream: Stream::new(stream_config(changes), seconds(0)),
            now: seconds(0),
            index: LogIndex(0),
            stored: Vec::new(),
            deaf: BTreeSet::new(),
            out: String::new(),
        }
    }

    fn run(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "stream" => *self = Self::new(&parse(rest)),
            "configure" => self.commit(&Command::Control(Control::Configure {
                config: Box::new(stream_config(&parse(rest))),
                at: self.now,
            })),
            "append" => {
                let append = self.message(rest);
                self.commit(&Command::Append(append));
            }
            "batch" => {
                let batch = rest.split(" / ").map(|part| self.message(part)).collect();
                self.commit(&Command::AppendBatch(batch));
            }
            "purge" => {
                let purge: Purge = serde_json::from_value(purge_defaults(&parse(rest))).unwrap();
                self.commit(&Command::Control(Control::Purge(purge)));
            }
            "delete" => self.commit(&Command::Control(Control::DeleteMessage {
                seq: StreamSeq(rest.trim_end_matches(" erase").parse().unwrap()),
                erase: rest.ends_with(" erase"),
            })),
            "consumer" => self.put_consumer(rest),
            "drop" => self.control(Control::DeleteConsumer {
                name: rest.to_owned(),
                incarnation: None,
                at: self.now,
            }),
            "pause" => self.pause(rest),
            "reset" => self.reset(rest),
            "listen" => self.listen(rest, true),
            "leave" => self.listen(rest, false),
            "flow" => {
                let (name, subject) = rest.split_once(' ').unwrap();
                let subject = Subject::new(subject.to_owned()).unwrap();
                self.stream.handle_flow(name, &subject);
            }
            "pull" => self.pull(rest),
            "ack" => self.ack(rest),
            "deaf" => {
                self.deaf.insert(rest.to_owned());
            }
            "at" => {
                self.now = seconds_of(rest);
                self.stream.handle_timeout(self.now);
            }
            "show" => self.show(rest),
            "restart" => self.restart(),
            _ => panic!("unknown command in {line:?}"),
        }
        self.settle();
    }

    /// Sends a command through its stored form, as the log does.
    fn commit(&mut self, command: &Command) {
        let mut record = BytesMut::new();
        command.encode(&mut record);
        let command = decode_all(record.freeze()).next().unwrap().unwrap();
        self.index = self.index.next();
        let outcome = self.stream.apply(self.index, command);
        self.tell(&outcome);
    }

    fn tell(&mut self, outcome: &Outcome) {
        let line = match outcome {
            Outcome::Published(Ok(ack)) => {
                let mut line = format!("stored {}", ack.seq);
                if ack.duplicate {
                    line.push_str(" duplicate");
                }
                if let Some(count) = ack.count {
                    write!(line, " count={count}").unwrap();
                }
                line
            }
            Outcome::Consumer(Ok((info, created))) => format!(
                "consumer {} {} pending={}",
                info.name,
                if *created { "created" } else { "kept" },
                info.num_pending
            ),
            Outcome::Deleted(Ok(())) => "deleted".to_owned(),
            Outcome::Purged(Ok(count)) => format!("purged {count}"),
            Outcome::Paused(Ok(paused)) => match paused.pause_remaining {
                Some(left) => format!("paused for {} s", left.as_secs_f64()),
                None => "not paused".to_owned(),
            },
            Outcome::Reset(Ok((info, seq))) => {
                format!("reset to {seq} pending={}", info.num_pending)
            }
            Outcome::Published(Err(error))
            | Outcome::Consumer(Err(error))
            | Outcome::Deleted(Err(error))
            | Outcome::Paused(Err(error))
            | Outcome::Reset(Err(error))
            | Outcome::Purged(Err(error)) => {
                format!("error {} {}", error.err_code, error.description)
            }
            Outcome::Recorded => return,
            Outcome::Premature => "premature".to_owned(),
            Outcome::AlreadyApplied => "already applied".to_owned(),
        };
        writeln!(self.out, "{line}").unwrap();
    }

    fn message(&self, text: &str) -> Append {
        let (text, headers) = match text.split_once(" [") {
            Some((text, headers)) => (text, Some(parse_headers(headers))),
            None => (text, None),
        };
        let (subject, payload) = text.split_once(' ').unwrap_or((text, ""));
        Append {
            at: self.now,
            subject: Subject::new(subject.to_owned()).unwrap(),
            headers,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        }
    }

    fn put_consumer(&mut self, rest: &str) {
        let (name, changes) = rest.split_once(' ').unwrap_or((rest, "{}"));
        let mut changes = parse(changes);
        let action = match changes.as_object_mut().unwrap().remove("action") {
            Some(action) if action == "create" => PutAction::Create,
            Some(action) if action == "update" => PutAction::Update,
            _ => PutAction::CreateOrUpdate,
        };
        let mut wire = json!({ "durable_name": name, "ack_policy": "explicit" });
        merge(&mut wire, &changes);
        let config: ConsumerConfig = serde_json::from_value(wire).unwrap();
        match config.checked(self.stream.config()) {
            Ok(config) => self.control(Control::PutConsumer(PutConsumer {
                name: name.to_owned(),
                config: Box::new(config),
                action,
                at: self.now,
            })),
            Err(error) => self.tell(&Outcome::Consumer(Err(error))),
        }
    }

    /// At once, or through the log, as the stream has it.
    fn control(&mut self, control: Control) {
        match self.stream.handle_control(control) {
            Ok(outcome) => self.tell(&outcome),
            Err(control) => self.commit(&Command::Control(control)),
        }
    }

    fn pause(&mut self, rest: &str) {
        let (name, until) = rest.split_once(' ').unwrap_or((rest, ""));
        self.control(Control::PauseConsumer {
            name: name.to_owned(),
            until: (!until.is_empty()).then(|| seconds_of(until)),
            at: self.now,
        });
    }

    fn reset(&mut self, rest: &str) {
        let (name, seq) = rest.split_once(' ').unwrap_or((rest, ""));
        self.control(Control::ResetConsumer {
            name: name.to_owned(),
            seq: (!seq.is_empty()).then(|| StreamSeq(seq.parse().unwrap())),
            at: self.now,
        });
    }

    /// Somebody listens on the deliver subject of the consumer, or nobody does any more.
    fn listen(&mut self, name: &str, is_bound: bool) {
        self.stream.handle_interest(self.now, name, is_bound);
    }

    fn pull(&mut self, rest: &str) {
        let mut parts = rest.splitn(3, ' ');
        let (name, inbox) = (parts.next().unwrap(), parts.next().unwrap());
        let options = parse(parts.next().unwrap_or("{}"));
        let secs = |name: &str| options[name].as_f64().map(Duration::from_secs_f64);
        let known = self.stream.handle_pull(
            self.now,
            name,
            PullRequest {
                reply: Subject::new(inbox.to_owned()).unwrap(),
                batch: options["batch"].as_u64().unwrap_or(1),
                max_bytes: options["max_bytes"].as_u64(),
                expires: secs("expires"),
                no_wait: options["no_wait"].as_bool().unwrap_or(false),
                idle_heartbeat: secs("heartbeat"),
                priority_fault: None,
            },
        );
        if !known {
            self.out.push_str("no such consumer\n");
        }
    }

    fn ack(&mut self, rest: &str) {
        let (rest, reply) = match rest.split_once(" reply=") {
            Some((rest, reply)) => (rest, Some(Subject::new(reply.to_owned()).unwrap())),
            None => (rest, None),
        };
        let mut parts = rest.splitn(3, ' ');
        let consumer = parts.next().unwrap().to_owned().into();
        let stream_seq = StreamSeq(parts.next().unwrap().parse().unwrap());
        let payload = parts.next().unwrap_or("+ACK");
        let (payload, deliveries) = match payload.split_once(" delivery=") {
            Some((payload, deliveries)) => (payload, deliveries.parse().unwrap()),
            None => (payload, 1),
        };
        let known = self.stream.handle_ack(
            self.now,
            Ack {
                consumer,
                stream_seq,
                consumer_seq: ConsumerSeq(0),
                deliveries,
                kind: AckKind::parse(&Bytes::copy_from_slice(payload.as_bytes())),
                reply,
            },
        );
        if !known {
            self.out.push_str("no such consumer\n");
        }
    }

    fn show(&mut self, name: &str) {
        let line = if name.is_empty() {
            let state = self.stream.state();
            format!(
                "messages={} first={} last={} subjects={} deleted={} consumers={}",
                state.messages,
                state.first_seq,
                state.last_seq,
                state.num_subjects,
                state.num_deleted,
                state.consumer_count
            )
        } else {
            let Some(info) = self.stream.consumer_info(name, self.now) else {
                self.out.push_str("no such consumer\n");
                return;
            };
            format!(
                "delivered={}/{} floor={}/{} ack_pending={} redelivered={} waiting={} pending={}",
                info.delivered.stream_seq,
                info.delivered.consumer_seq,
                info.ack_floor.stream_seq,
                info.ack_floor.consumer_seq,
                info.num_ack_pending,
                info.num_redelivered,
                info.num_waiting,
                info.num_pending
            )
        };
        writeln!(self.out, "{line}").unwrap();
    }

    fn restart(&mut self) {
        let snapshot = self.stream.snapshot();
        self.stream = Stream::restore(snapshot, self.stored.iter().cloned()).unwrap();
        self.stream.resume(self.now);
    }

    /// Carries out effects until there are none.
    fn settle(&mut self) {
        loop {
            let deaf = &self.deaf;
            self.stream.deliver(self.now, &mut |inbox: &Subject| {
                !deaf.contains(inbox.as_str())
            });
            let mut any = false;
            while let Some(output) = self.stream.poll_output() {
                any = true;
                self.carry_out(output);
            }
            if !any {
                return;
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        let line = match output {
            Output::Store(message) => {
                self.stored.push(message.meta());
                return;
            }
            Output::Remove(ranges) => {
                let seqs: Vec<_> = ranges.seqs().collect();
                self.stored.retain(|meta| !seqs.contains(&meta.seq));
                let lines = seqs.iter().map(|seq| format!("removed {seq}"));
                lines.collect::<Vec<_>>().join("\n")
            }
            Output::Erase(seq) => {
                self.stored.retain(|meta| meta.seq != seq);
                format!("erased {seq}")
            }
            Output::Republish(again) => format!(
                "{} <- {} of {} behind {}{}",
                again.to,
                again.message.seq,
                again.message.subject,
                again.last_seq,
                if again.headers_only { " headers" } else { "" }
            ),
            Output::Deliver(delivery) => {
                let ack = AckSubject::parse(delivery.ack_subject.as_str()).unwrap();
                format!(
                    "{} <- {} cseq={} deliveries={} pending={}",
                    delivery.to, ack.stream_seq, ack.consumer_seq, ack.deliveries, ack.pending
                )
            }
            Output::Status(status) => {
                let headers: String = status
                    .headers
                    .iter()
                    .map(|(name, value)| format!(" {name}={value}"))
                    .collect();
                format!(
                    "{} <- {} {}{headers}{}",
                    status.to,
                    status.code,
                    status.description,
                    status
                        .reply
                        .map_or(String::new(), |to| format!(" reply={to}"))
                )
            }
            Output::Reply { to, .. } => format!("{to} <- answer"),
            Output::Advisory { subject, payload } => advisory(&subject, &payload),
            Output::Watch(watch) => {
                let group = watch
                    .group
                    .map_or(String::new(), |group| format!(" {group}"));
                format!("watch {} for {}{group}", watch.subject, watch.consumer)
            }
            Output::Unwatch { consumer } => format!("unwatch for {consumer}"),
            Output::Propose { command, replies } => {
                if let Command::Settled(settled) = &command {
                    let how = match settled.how {
                        Settlement::Acked => "acked",
                        Settlement::Dropped => "dropped",
                        Settlement::Exhausted => "exhausted",
                    };
                    for seq in settled.messages.seqs() {
                        writeln!(self.out, "{how} {seq}").unwrap();
                    }
                }
                self.commit(&command);
                for to in replies {
                    writeln!(self.out, "{to} <- answer").unwrap();
                }
                return;
            }
        };
        writeln!(self.out, "{line}").unwrap();
    }
}

fn advisory(subject: &str, payload: &[u8]) -> String {
    let json: Value = serde_json::from_slice(payload).unwrap();
    let subject = subject.trim_start_matches("$JS.EVENT.");
    let subject = subject.trim_start_matches("ADVISORY.CONSUMER.");
    let mut line = format!("advisory {subject}");
    for field in ["stream_seq", "ack_time", "paused"] {
        if let Some(value) = json.get(field) {
            write!(line, " {value}").unwrap();
        }
    }
    if let Some(reason) = json["reason"].as_str() {
        write!(line, " ({reason})").unwrap();
    }
    line
}

fn stream_config(changes: &Value) -> StreamConfig {
    let mut wire = json!({ "name": "S", "subjects": ["s.>"] });
    merge(&mut wire, changes);
    let config: StreamConfig = serde_json::from_value(wire).unwrap();
    config
        .checked(&hitherto_jetstream::Limits::default())
        .unwrap()
}

fn purge_defaults(changes: &Value) -> Value {
    let mut wire = json!({ "filter": null, "before": null, "keep": null });
    merge(&mut wire, changes);
    wire
}

fn merge(wire: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        wire[name] = value.clone();
    }
}

fn parse(text: &str) -> Value {
    let text = if text.is_empty() { "{}" } else { text };
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn parse_headers(text: &str) -> Headers {
    let mut builder = HeadersBuilder::new();
    for part in text.trim_end_matches(']').split("] [") {
        let (name, value) = part.split_once(": ").unwrap();
        builder.insert(name, value).unwrap();
    }
    builder.build()
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_unix_nanos(seconds * 1_000_000_000)
}

fn seconds_of(text: &str) -> Timestamp {
    seconds(0).saturating_add(Duration::from_secs_f64(text.parse().unwrap()))
}
