//! A message of a stream as it is kept, and what the index knows of it.

use std::ops::Range;

use bytes::Bytes;
use hitherto_protocol::{Headers, Subject, Timestamp};

use crate::{Lifetime, StreamSeq};

/// A message of a stream as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its sequence in the stream.
    pub seq: StreamSeq,
    /// When the leader took it in.
    pub at: Timestamp,
    /// What it was published to.
    pub subject: Subject,
    /// Its headers; `None` when it was published without any.
    pub headers: Option<Headers>,
    /// Its payload.
    pub payload: Bytes,
}

/// What the index of a stream needs to know of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageMeta {
    /// Its sequence in the stream.
    pub seq: StreamSeq,
    /// When the leader took it in.
    pub at: Timestamp,
    /// What it was published to.
    pub subject: Subject,
    /// The size it counts with against the limits of its stream.
    pub bytes: u64,
    /// How long it stays by its own headers; `None` leaves that to its stream.
    pub lifetime: Option<Lifetime>,
}

/// What is known of a message whose subject is still a place in a text.
#[derive(Debug, Clone)]
pub struct MetaPart {
    /// Its sequence in the stream.
    pub seq: u64,
    /// When the leader took it in, in nanoseconds since 1970.
    pub at: i64,
    /// The size it counts with against the limits of its stream.
    pub bytes: u64,
    /// Where in the text its subject lies.
    pub subject: Range<usize>,
    /// How long it stays by its own headers; `None` leaves that to its stream.
    pub lifetime: Option<Lifetime>,
}

impl MessageMeta {
    /// Puts together what is known of messages; their subjects share the memory of `text`. `None` when one of
    /// them is no subject.
    ///
    /// # Panics
    /// When a subject lies outside the text.
    pub fn join(text: Vec<u8>, parts: Vec<MetaPart>) -> Option<Vec<Self>> {
        let text = Bytes::from(text);
        let metas = parts.into_iter().map(|part| {
            Some(Self {
                seq: StreamSeq(part.seq),
                at: Timestamp::from_unix_nanos(part.at),
                subject: Subject::from_bytes(text.slice(part.subject)).ok()?,
                bytes: part.bytes,
                lifetime: part.lifetime,
            })
        });
        metas.collect()
    }
}

impl StoredMessage {
    /// The size it counts with against the limits of its stream, see [`message_bytes`].
    pub fn bytes(&self) -> u64 {
        let headers = self.headers.as_ref().map_or(0, |h| h.as_bytes().len());
        message_bytes(self.subject.as_str().len(), headers, self.payload.len())
    }

    /// How long it stays by its own headers; `None` leaves that to its stream.
    pub fn lifetime(&self) -> Option<Lifetime> {
        Lifetime::read(self.headers.as_ref()?.as_bytes(), self.at)
    }

    /// What the index needs to know.
    pub fn meta(&self) -> MessageMeta {
        MessageMeta {
            seq: self.seq,
            at: self.at,
            subject: self.subject.clone(),
            bytes: self.bytes(),
            lifetime: self.lifetime(),
        }
    }
}

/// The fixed part of a message's size: that of a record in nats-server's file store.
pub(crate) const MESSAGE_RECORD_BYTES: u64 = 22 + 8;

/// The size a message counts with against `max_bytes`: that of nats-server's file store
/// (`server/filestore.go` 2.15, `fileStoreMsgSize`), so that limits cut at the same message.
pub fn message_bytes(subject: usize, headers: usize, payload: usize) -> u64 {
    /// Length field of the headers, present only with headers.
    const HEADERS_LEN_BYTES: u64 = 4;
    let headers_bytes = match headers {
        0 => 0,
        len => HEADERS_LEN_BYTES + len as u64,
    };
    MESSAGE_RECORD_BYTES + subject as u64 + headers_bytes + payload as u64
}
