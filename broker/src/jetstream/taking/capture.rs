//! Taking messages in for a stream: what is published to its subjects is proposed to its group.
//!
//! Runs on the threads of the publishers. Nothing is decided here but what needs no state: whether a
//! message fits a stream is decided when its entry is applied.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::{Bytes, BytesMut};
use hitherto_cluster::{Encode, Refusal, Refused};
use hitherto_jetstream::api::ApiError;
use hitherto_jetstream::command::{Append, encode_append};
use hitherto_jetstream::{Command, StreamConfig, message_bytes};
use hitherto_protocol::{Headers, Subject, SubjectFilter, SubjectTransform, Timestamp};

use super::entry::StreamEntry;
use super::intake::Intake;
use crate::jetstream::orders::Input;
use crate::jetstream::telling::{Outlet, PubAckForm, Receipt, refusal_error};
use crate::pubsub::{Handler, HeldAnswer, Message, Origin, Reach, SubscriptionKey, Target};
use crate::services::{self, AbandonedBatch, Batches, Staged, StagedMessage};

/// The handler behind the subjects of one stream.
pub(crate) struct Capture {
    intake: Arc<Intake>,
    entry: Arc<StreamEntry>,
    /// The newest timestamp given out; the next one is not before it, whatever the clock says. Moves
    /// under the lock of the log's group, so that timestamps ascend in the order of the log.
    last_at: AtomicI64,
    no_ack: AtomicBool,
    allow_atomic: AtomicBool,
    /// Headers and payload of one message, at most; below 1 means any.
    max_msg_size: AtomicI32,
    /// There is something in `transform`; saves the lock.
    has_transform: AtomicBool,
    /// Under which subject messages are stored.
    transform: RwLock<Option<SubjectTransform>>,
    batches: Mutex<Batches>,
    /// Clients of other nodes publish here too.
    is_replicated: bool,
    /// This stream's share of [`Intake::index_bytes`].
    index_bytes: AtomicU64,
    pub_ack: PubAckForm,
}

/// A capture with its subscriptions; dropping it ends them.
pub(crate) struct Captured {
    capture: Arc<Capture>,
    /// By subject filter, as the configuration has it.
    keys: BTreeMap<String, SubscriptionKey>,
}

impl Captured {
    /// A capture that does not listen yet. `last_at` is the timestamp of the stream's last message.
    pub(crate) fn new(
        intake: Arc<Intake>,
        entry: Arc<StreamEntry>,
        (last_at, is_replicated): (Timestamp, bool),
    ) -> Self {
        let pub_ack = PubAckForm::new(&entry.name);
        let capture = Capture {
            intake,
            entry,
            last_at: AtomicI64::new(last_at.unix_nanos()),
            no_ack: AtomicBool::new(false),
            allow_atomic: AtomicBool::new(false),
            max_msg_size: AtomicI32::new(0),
            has_transform: AtomicBool::new(false),
            transform: RwLock::new(None),
            batches: Mutex::default(),
            is_replicated,
            index_bytes: AtomicU64::new(0),
            pub_ack,
        };
        Self {
            capture: Arc::new(capture),
            keys: BTreeMap::new(),
        }
    }

    /// Listens on the subjects of this configuration and no others. Subjects that stay lose no message.
    pub(crate) fn follow(&mut self, config: &StreamConfig) {
        let capture = &self.capture;
        capture.no_ack.store(config.no_ack, Ordering::Relaxed);
        capture
            .allow_atomic
            .store(config.allow_atomic, Ordering::Relaxed);
        capture
            .max_msg_size
            .store(config.max_msg_size, Ordering::Relaxed);
        capture.set_transform(config);
        let router = &capture.intake.router;
        let gone = self
            .keys
            .extract_if(.., |subject, _| !config.subjects.contains(subject));
        for (_, key) in gone {
            router.unsubscribe(&key);
        }
        for subject in &config.subjects {
            let filter = SubjectFilter::new(subject.clone()).expect("a checked configuration");
            self.keys.entry(subject.clone()).or_insert_with(|| {
                let handler = Arc::<Capture>::clone(capture);
                router.subscribe(filter, None, Target::Handler(handler))
            });
        }
    }

    /// Listens on nothing any more, and forgets batches that are not complete: another node takes messages in.
    pub(crate) fn stop(&mut self) {
        for key in std::mem::take(&mut self.keys).into_values() {
            self.capture.intake.router.unsubscribe(&key);
        }
        *self.capture.batches() = Batches::default();
    }

    /// Messages were taken in elsewhere meanwhile, the last of them at this time.
    pub(crate) fn note_last(&self, last_at: Timestamp) {
        let last_at = last_at.unix_nanos();
        self.capture.last_at.fetch_max(last_at, Ordering::Relaxed);
    }

    /// Says how much memory the index of the stream takes now.
    pub(crate) fn report_index(&self, bytes: u64) {
        let before = self.capture.index_bytes.swap(bytes, Ordering::Relaxed);
        let total = &self.capture.intake.index_bytes;
        // Wraps around where the share has become smaller.
        total.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Says how many bytes the stream holds now.
    pub(crate) fn report_held(&self, bytes: u64) {
        let Capture { intake, entry, .. } = &*self.capture;
        let before = entry.usage.bytes.swap(bytes, Ordering::Relaxed);
        intake.quota.change(entry.storage, before, bytes);
    }

    /// Whether each change of what it holds is to be reported at once, so that limits are exact for those
    /// who wait for their acks.
    pub(crate) fn is_limited(&self) -> bool {
        let capture = &self.capture;
        capture.intake.quota.is_limited(capture.entry.storage)
    }

    /// Forgets batches nobody goes on with; `true` while some are open.
    pub(crate) fn abandon_idle_batches(&self, outlet: &mut Outlet) -> bool {
        let now = self.capture.intake.clock.monotonic();
        let mut batches = self.capture.batches();
        batches.abandon_idle(now);
        let (abandoned, is_empty) = (batches.take_abandoned(), batches.is_empty());
        drop(batches);
        self.capture.tell_abandoned(&abandoned, outlet);
        !is_empty
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        self.report_index(0);
        self.report_held(0);
        for key in self.keys.values() {
            self.capture.intake.router.unsubscribe(key);
        }
    }
}

impl Handler for Capture {
    fn handle(&self, _: Origin, message: &Message) {
        self.receive(message, None);
    }

    /// Only whoever leads the stream listens.
    fn reach(&self) -> Reach {
        match self.is_replicated {
            true => Reach::Cluster,
            false => Reach::Node,
        }
    }

    fn handle_held(&self, message: &Message, held: &HeldAnswer) {
        self.receive(message, Some(held));
    }
}

impl Capture {
    fn receive(&self, message: &Message, held: Option<&HeldAnswer>) {
        let taken = match self.transformed(message) {
            None => self.take(message, held),
            Some(Ok(message)) => self.take(&message, held),
            Some(Err(error)) => Err(error),
        };
        let Err(error) = taken else {
            return;
        };
        match self.reply_of(message) {
            Some(reply) => self.refuse(&reply, &error),
            None => {
                let about = (self.entry.name.as_str(), &message.subject);
                let router = &self.intake.router;
                self.entry.refusals.tell(router, self.now(), about, &error);
            }
        }
    }

    fn set_transform(&self, config: &StreamConfig) {
        let transform = config.subject_transform.as_ref();
        let transform = transform.and_then(|transform| transform.parse().ok());
        let has_transform = transform.is_some();
        *self
            .transform
            .write()
            .unwrap_or_else(PoisonError::into_inner) = transform;
        self.has_transform.store(has_transform, Ordering::Release);
    }

    /// The message under the subject it is stored with; `None` when that is its own.
    fn transformed(&self, message: &Message) -> Option<Result<Message, ApiError>> {
        if !self.has_transform.load(Ordering::Acquire) {
            return None;
        }
        let transform = self
            .transform
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let transform = transform.as_ref()?;
        if !transform.source().matches(message.subject.as_str()) {
            return None;
        }
        let random = || u32::try_from(self.intake.entropy.u64() >> 32).unwrap_or(0);
        let subject = transform.apply(&message.subject, random);
        let moved = subject.map(|subject| Message {
            subject,
            ..message.clone()
        });
        Some(moved.ok_or_else(ApiError::bad_request))
    }

    fn take(&self, message: &Message, held: Option<&HeldAnswer>) -> Result<(), ApiError> {
        match &message.headers {
            None => self.append(message, held),
            Some(_) => self.take_with_headers(message, held),
        }
    }

    fn take_with_headers(
        &self,
        message: &Message,
        held: Option<&HeldAnswer>,
    ) -> Result<(), ApiError> {
        // A block clients could not read is not stored. Differs from nats-server, which keeps any bytes.
        let headers = message
            .checked_headers()
            .map_err(|_| ApiError::bad_request())?;
        match headers {
            Some(headers) if services::is_of_batch(&headers) => self.stage(message, &headers, held),
            Some(_) | None => self.append(message, held),
        }
    }

    fn append(&self, message: &Message, held: Option<&HeldAnswer>) -> Result<(), ApiError> {
        check_subject(message)?;
        let record = StampedAppend {
            capture: self,
            message,
            now: self.now(),
        };
        let receipt = self.receipt(message, held);
        self.propose(&record, receipt, stored_bytes(message))
    }

    /// Takes a message of an atomic batch; the last one proposes them all.
    fn stage(
        &self,
        message: &Message,
        headers: &Headers,
        held: Option<&HeldAnswer>,
    ) -> Result<(), ApiError> {
        // Said of this message and not of its batch, so before it is one of it, as on nats-server.
        let max = usize::try_from(self.max_msg_size.load(Ordering::Relaxed));
        if max.is_ok_and(|max| max > 0 && message.body_bytes() > max) {
            return Err(ApiError::message_too_large());
        }
        if !self.allow_atomic.load(Ordering::Relaxed) {
            return Err(ApiError::atomic_publish_disabled());
        }
        check_subject(message)?;
        let now = self.intake.clock.monotonic();
        let mut batches = self.batches();
        let staged = batches.stage(now, headers, message);
        let abandoned = batches.take_abandoned();
        drop(batches);
        if !abandoned.is_empty() {
            let mut outlet = self.intake.outlet();
            self.tell_abandoned(&abandoned, &mut outlet);
            outlet.flush();
        }
        match staged? {
            Staged::Waits { opened } => {
                if opened {
                    let group = self.entry.group;
                    self.entry.shard.push(Input::BatchOpened(group));
                }
                if let Some(reply) = self.reply_of(message) {
                    self.answer(&reply, Bytes::new());
                }
                Ok(())
            }
            Staged::Complete(messages) => {
                let bytes = messages.iter().map(StagedMessage::stored_bytes).sum();
                let record = StampedBatch {
                    capture: self,
                    messages,
                    now: self.now(),
                };
                self.propose(&record, self.receipt(message, held), bytes)
            }
        }
    }

    /// `bytes` is what the record will add to what the stream holds.
    fn propose(&self, record: &dyn Encode, receipt: Receipt, bytes: u64) -> Result<(), ApiError> {
        self.intake.check(self.entry.storage, bytes)?;
        let proposed = self.intake.log.propose(self.entry.group, record, receipt);
        match proposed {
            // Whoever leads now may have taken the same message: a wrong answer would be worse than none.
            Ok(())
            | Err(Refused {
                reason: Refusal::NotLeader { .. },
                ..
            }) => Ok(()),
            Err(Refused { reason, .. }) => Err(refusal_error(reason)),
        }
    }

    /// What becomes of the message when its fate is known. A copy has no reply subject, so at most one
    /// answer waits for it.
    fn receipt(&self, message: &Message, held: Option<&HeldAnswer>) -> Receipt {
        match (self.reply_of(message), held) {
            (Some(reply), _) => Receipt::PubAck(reply),
            (None, Some(held)) => Receipt::Copy(held.clone()),
            (None, None) => Receipt::None,
        }
    }

    /// Where the answer goes; `None` when there is nobody to answer.
    fn reply_of(&self, message: &Message) -> Option<Subject> {
        let reply = message.reply.as_ref()?;
        (!self.no_ack.load(Ordering::Relaxed)).then(|| reply.clone())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from(self.intake.clock.now())
    }

    /// The timestamp of the next record. Only called while the log encodes, one record at a time.
    fn stamp(&self, now: Timestamp) -> Timestamp {
        let now = now.unix_nanos();
        let last = self.last_at.fetch_max(now, Ordering::Relaxed);
        Timestamp::from_unix_nanos(now.max(last))
    }

    fn refuse(&self, reply: &Subject, error: &ApiError) {
        let mut answer = BytesMut::new();
        self.pub_ack.write_error(&mut answer, error);
        self.answer(reply, answer.freeze());
    }

    fn answer(&self, reply: &Subject, payload: Bytes) {
        let mut outlet = self.intake.outlet();
        outlet.reply(reply, payload);
        outlet.flush();
    }

    fn tell_abandoned(&self, abandoned: &[AbandonedBatch], outlet: &mut Outlet) {
        for AbandonedBatch { id, reason } in abandoned {
            let stream = (self.intake.account.as_str(), self.entry.name.as_str());
            let batch = (id.as_str(), *reason);
            services::tell_batch_abandoned(stream, batch, self.now(), outlet);
        }
    }

    fn batches(&self) -> std::sync::MutexGuard<'_, Batches> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a message counts with once it is stored.
fn stored_bytes(message: &Message) -> u64 {
    message_bytes(
        message.subject.as_str().len(),
        message.headers.as_ref().map_or(0, Bytes::len),
        message.payload.len(),
    )
}

/// A record has two bytes for the length of its subject. No subject of a socket is that long.
fn check_subject(message: &Message) -> Result<(), ApiError> {
    match u16::try_from(message.subject.as_str().len()) {
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::bad_request()),
    }
}

/// One message, stamped when the log takes it.
struct StampedAppend<'a> {
    capture: &'a Capture,
    message: &'a Message,
    now: Timestamp,
}

impl Encode for StampedAppend<'_> {
    fn encode(&self, buf: &mut BytesMut) {
        let Message {
            subject,
            headers,
            payload,
            ..
        } = self.message;
        let at = self.capture.stamp(self.now);
        encode_append(buf, at, subject, headers.as_ref(), payload);
    }
}

/// The messages of a batch, stamped together.
struct StampedBatch<'a> {
    capture: &'a Capture,
    messages: Vec<StagedMessage>,
    now: Timestamp,
}

impl Encode for StampedBatch<'_> {
    fn encode(&self, buf: &mut BytesMut) {
        let at = self.capture.stamp(self.now);
        let appends = self.messages.iter().map(|message| Append {
            at,
            subject: message.subject.clone(),
            headers: Some(message.headers.clone()),
            payload: message.payload.clone(),
        });
        Command::AppendBatch(appends.collect()).encode(buf);
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured")
            .field("stream", &self.capture.entry.name)
            .field("subjects", &self.keys.keys())
            .finish_non_exhaustive()
    }
}
