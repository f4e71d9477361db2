//! What JetStream says to clients: answers, status messages and delivered messages.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use hitherto_jetstream::api::{ApiError, Response, ResponseKind};
use hitherto_jetstream::{Republished, Status, StoredMessage};
use hitherto_protocol::{Headers, HeadersBuilder, Subject};
use serde::Serialize;

use crate::pubsub::{HeldAnswer, Message, Origin, Publisher, Router};
use crate::services::Asker;

/// Room for small payloads; filled up again when they have been delivered.
const SMALL_BYTES: usize = 16 * 1024;

/// So many connections wait for their answers and no more: with 16 of them answered, the first clients can
/// go on while the others' answers are being made.
const CONNECTIONS_WAITING_MAX: usize = 16;

/// The way out of one thread. Messages wait in the connections' buffers until [`Outlet::flush`].
pub(crate) struct Outlet {
    publisher: Publisher,
    /// Small payloads are written here and split off.
    small: BytesMut,
    figures: Arc<ApiFigures>,
}

/// What the API was asked since the start.
#[derive(Debug, Default)]
pub(crate) struct ApiFigures {
    pub(crate) total: AtomicU64,
    pub(crate) errors: AtomicU64,
}

impl ApiFigures {
    fn count(&self, is_error: bool) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.errors
            .fetch_add(u64::from(is_error), Ordering::Relaxed);
    }
}

impl Outlet {
    pub(crate) fn new(router: &Arc<Router>, figures: Arc<ApiFigures>) -> Self {
        Self {
            figures,
            publisher: router.publisher(Origin::Internal),
            small: BytesMut::with_capacity(SMALL_BYTES),
        }
    }

    /// Answers with these bytes.
    pub(crate) fn reply(&mut self, to: &Subject, payload: Bytes) {
        self.send(to, None, payload);
    }

    /// Answers with what `write` writes.
    pub(crate) fn reply_with(&mut self, to: &Subject, write: impl FnOnce(&mut BytesMut)) {
        if self.small.capacity() < 1024 {
            self.small.reserve(SMALL_BYTES);
        }
        write(&mut self.small);
        let payload = self.small.split().freeze();
        self.send(to, None, payload);
    }

    /// Answers a request of the API.
    pub(crate) fn answer<T: Serialize>(
        &mut self,
        kind: ResponseKind,
        to: &Asker,
        result: Result<T, ApiError>,
    ) {
        self.figures.count(result.is_err());
        self.tell_asker(to, Response::new(kind, result).to_bytes());
    }

    /// Refuses a request of the API for whose answer there is no type.
    pub(crate) fn refuse_with(&mut self, to: &Asker, answer: &impl Serialize) {
        self.figures.count(true);
        let json = serde_json::to_vec(answer).expect("API answers have string keys only");
        self.tell_asker(to, Bytes::from(json));
    }

    /// The audit is told first: who has its answer is in it.
    fn tell_asker(&mut self, to: &Asker, payload: Bytes) {
        if let Some(audited) = &to.audited {
            audited.tell(&payload, self);
        }
        self.send(&to.reply, None, payload);
    }

    /// Sends a status message: no payload, `NATS/1.0 <code> <description>` and headers.
    pub(crate) fn status(
        &mut self,
        to: &Subject,
        code: u16,
        description: &str,
        headers: &[(&'static str, String)],
    ) {
        let block = status_block(code, description, headers);
        self.send(to, Some(block), Bytes::new());
    }

    /// Sends a status message the client may answer.
    pub(crate) fn say(&mut self, status: &Status) {
        let block = status_block(status.code, &status.description, &status.headers);
        self.publisher.publish(&Message {
            subject: status.to.clone(),
            reply: status.reply.clone(),
            headers: Some(block),
            payload: Bytes::new(),
        });
    }

    /// Says that nobody answers on the subject of the request, as nats-server 2.15 does; `None` when
    /// the subject is not at hand.
    pub(crate) fn no_responders(&mut self, to: &Subject, subject: Option<&Subject>) {
        let headers = match subject {
            None => Bytes::from_static(b"NATS/1.0 503\r\n\r\n"),
            Some(subject) => format!("NATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n").into(),
        };
        self.send(to, Some(headers), Bytes::new());
    }

    /// Delivers a message under its own subject to the subscribers of `to`. Returns whether one of them
    /// is close to being a slow consumer.
    pub(crate) fn deliver(&mut self, to: &Subject, message: &Message) -> bool {
        self.publisher.publish_to(to, message);
        self.publisher.take_crowded().is_some()
    }

    /// Answers a direct get: the stored message with where it comes from in front of its headers.
    pub(crate) fn direct_message(
        &mut self,
        to: &Subject,
        stored: &StoredMessage,
        origin: &DirectOrigin<'_>,
    ) {
        let headers = origin.headers(stored);
        self.send(to, Some(headers), stored.payload.clone());
    }

    /// Publishes a stored message again. Streams that take the copy hold the answer until they have decided.
    pub(crate) fn republish(
        &mut self,
        stream: &str,
        again: &Republished,
        held: Option<&HeldAnswer>,
    ) {
        let payload = match again.headers_only {
            true => Bytes::new(),
            false => again.message.payload.clone(),
        };
        let copy = Message {
            subject: again.to.clone(),
            reply: None,
            headers: Some(republished_headers(stream, again)),
            payload,
        };
        match held {
            None => self.publisher.publish(&copy),
            Some(held) => self.publisher.publish_held(&copy, held),
        };
        self.flush_at_times();
    }

    /// Gives back a share of an answer, and sends it when it was the last.
    pub(crate) fn let_go(&mut self, held: HeldAnswer) {
        if let Some(answer) = held.let_go() {
            self.publisher.publish(&answer);
            self.flush_at_times();
        }
    }

    /// Publishes something of our own, such as an advisory.
    pub(crate) fn publish(&mut self, subject: &Subject, payload: Bytes) {
        self.send(subject, None, payload);
    }

    /// Publishes something of our own that somebody else is to answer.
    pub(crate) fn publish_for(&mut self, subject: &Subject, reply: &Subject, payload: Bytes) {
        self.publisher.publish(&Message {
            subject: subject.clone(),
            reply: Some(reply.clone()),
            headers: None,
            payload,
        });
        self.flush_at_times();
    }

    /// Wakes everybody who got something. Call it before waiting.
    pub(crate) fn flush(&mut self) {
        self.publisher.flush();
    }

    pub(crate) fn router(&self) -> &Arc<Router> {
        self.publisher.router()
    }

    fn send(&mut self, to: &Subject, headers: Option<Bytes>, payload: Bytes) {
        self.publisher.publish(&Message {
            subject: to.clone(),
            reply: None,
            headers,
            payload,
        });
        self.flush_at_times();
    }

    fn flush_at_times(&mut self) {
        if self.publisher.connections_waiting() >= CONNECTIONS_WAITING_MAX {
            self.publisher.flush();
        }
    }
}

fn status_block(code: u16, description: &str, headers: &[(&'static str, String)]) -> Bytes {
    let mut block = HeadersBuilder::new();
    block.status(code, description);
    for (name, value) in headers {
        block
            .insert(name, value)
            .expect("status headers are numbers and names");
    }
    block.build().as_bytes().clone()
}

/// The headers of a direct get (ADR-31).
pub(crate) struct DirectOrigin<'a> {
    pub(crate) stream: &'a str,
    /// Part of a batch: how many follow, and the sequence sent before this one.
    pub(crate) batch: Option<(u64, u64)>,
}

impl DirectOrigin<'_> {
    fn headers(&self, stored: &StoredMessage) -> Bytes {
        let more = self.batch.map_or_else(String::new, |(pending, last_seq)| {
            format!("Nats-Num-Pending: {pending}\r\nNats-Last-Sequence: {last_seq}\r\n")
        });
        with_origin(self.stream, stored, &more, stored.headers.as_ref())
    }
}

/// The headers of a message that is published again (ADR-28).
fn republished_headers(stream: &str, again: &Republished) -> Bytes {
    let message = &again.message;
    let mut more = format!("Nats-Last-Sequence: {}\r\n", again.last_seq);
    if again.headers_only {
        write!(more, "Nats-Msg-Size: {}\r\n", message.payload.len()).expect("a text grows");
    }
    with_origin(stream, message, &more, message.headers.as_ref())
}

/// A header block with the fields `own`, where a stored message comes from, and then more lines.
///
/// The message's own fields may be those of an earlier stream it was published again from. As on
/// nats-server 2.15, what this stream says stands behind them: clients take the last of each name.
fn with_origin(stream: &str, stored: &StoredMessage, more: &str, own: Option<&Headers>) -> Bytes {
    const BLANK_LINE: &[u8] = b"\r\n";
    let own = own.map_or(&b"NATS/1.0\r\n"[..], |own| own.as_bytes());
    let own = own
        .strip_suffix(b"\r\n\r\n")
        .map_or(own, |fields| &own[..fields.len() + 2]);
    let mut block = BytesMut::with_capacity(192 + own.len());
    block.put_slice(own);
    write!(
        block,
        "Nats-Stream: {stream}\r\nNats-Subject: {}\r\nNats-Sequence: {}\r\nNats-Time-Stamp: {}\r\n{more}",
        stored.subject, stored.seq, stored.at
    )
    .expect("a buffer grows");
    block.put_slice(BLANK_LINE);
    block.freeze()
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}
