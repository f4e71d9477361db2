//! Atomic batches (ADR-50): messages are staged in memory until the commit, then proposed as one command.
//!
//! A batch that is abandoned leaves no trace: nothing of it is in the log.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use hitherto_jetstream::api::ApiError;
use hitherto_jetstream::{Stream, message_bytes};
use hitherto_protocol::{Headers, Subject};

use super::request;
use crate::pubsub::Message;

/// Batches of one stream that may be open: 50, as in nats-server 2.15.
pub(crate) const BATCHES_OPEN_MAX: usize = 50;

/// Bytes that the open batches of one stream may hold: 64 MiB. Differs from nats-server, which counts
/// messages only: what a client stages here lies in memory.
pub(crate) const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A batch without a new message for so long is abandoned: 10 s, as in nats-server 2.15.
pub(crate) const BATCH_IDLE_MAX: Duration = Duration::from_secs(10);

/// Characters of a batch id.
const BATCH_ID_CHARS_MAX: usize = 64;

const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// Tells whether a message is one of a batch.
pub(crate) fn is_of_batch(headers: &Headers) -> bool {
    headers.get(BATCH_ID).is_some_and(|id| !id.is_empty())
}

/// The open batches of one stream. Times are of the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    open: HashMap<String, OpenBatch>,
    bytes: usize,
    /// Open batches that were given up since they were last taken.
    abandoned: Vec<AbandonedBatch>,
}

/// A batch of which nothing is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AbandonedBatch {
    pub(crate) id: String,
    /// In the words of nats-server's advisory.
    pub(crate) reason: &'static str,
}

#[derive(Debug)]
struct OpenBatch {
    messages: Vec<StagedMessage>,
    bytes: usize,
    touched: Duration,
}

/// A message of a batch, in memory of its own.
#[derive(Debug, Clone)]
pub(crate) struct StagedMessage {
    pub(crate) subject: Subject,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

impl StagedMessage {
    /// What it counts with once it is stored.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let (subject, headers) = (self.subject.as_str(), self.headers.as_bytes());
        message_bytes(subject.len(), headers.len(), self.payload.len())
    }
}

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Staged {
    /// It waits for the rest of its batch; `opened` when it is the first of all open batches.
    Waits { opened: bool },
    /// It was the last one: these are to be stored, all or none.
    Complete(Vec<StagedMessage>),
}

/// What the headers of a message say.
struct Place<'a> {
    id: &'a str,
    sequence: usize,
    commit: Commit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Commit {
    No,
    /// Stored, and the last one.
    WithThis,
    /// The last one before was the last; this one is not stored (`eob`, nats-server 2.14).
    WithoutThis,
}

impl Batches {
    /// Takes a message of a batch. An error abandons the batch it names.
    pub(crate) fn stage(
        &mut self,
        now: Duration,
        headers: &Headers,
        message: &Message,
    ) -> Result<Staged, ApiError> {
        self.abandon_idle(now);
        let place = Place::read(headers).inspect_err(|error| {
            self.give_up(headers.get(BATCH_ID).unwrap_or_default(), error);
        })?;
        let staged = if request::asks_too_much(headers) {
            Err(ApiError::required_api_level())
        } else {
            self.add(now, &place, headers, message)
        };
        staged.inspect_err(|error| self.give_up(place.id, error))
    }

    /// The open batches that were given up since this was last asked.
    pub(crate) fn take_abandoned(&mut self) -> Vec<AbandonedBatch> {
        std::mem::take(&mut self.abandoned)
    }

    /// Forgets the batches that were not touched for [`BATCH_IDLE_MAX`].
    pub(crate) fn abandon_idle(&mut self, now: Duration) {
        let (bytes, abandoned) = (&mut self.bytes, &mut self.abandoned);
        self.open.retain(|id, batch| {
            let stays = now.saturating_sub(batch.touched) < BATCH_IDLE_MAX;
            if !stays {
                *bytes -= batch.bytes;
                tracing::debug!(batch = id, "atomic batch abandoned: no message in time");
                abandoned.push(AbandonedBatch {
                    id: id.clone(),
                    reason: "timeout",
                });
            }
            stays
        });
    }

    /// No batch is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn add(
        &mut self,
        now: Duration,
        place: &Place<'_>,
        headers: &Headers,
        message: &Message,
    ) -> Result<Staged, ApiError> {
        let was_empty = self.is_empty();
        if place.sequence == 1 && !self.open.contains_key(place.id) {
            self.open(place.id)?;
        }
        let batch = self.open.get_mut(place.id).ok_or_else(unknown_batch)?;
        if place.sequence != batch.messages.len() + 1 {
            return Err(unknown_batch());
        }
        batch.touched = now;
        if place.commit != Commit::WithoutThis {
            if batch.messages.len() >= Stream::BATCH_MESSAGES_MAX {
                return Err(ApiError::atomic_publish_too_large(
                    Stream::BATCH_MESSAGES_MAX as u64,
                ));
            }
            let bytes = message.body_bytes() + message.subject.as_str().len();
            if self.bytes + bytes > BATCH_BYTES_MAX {
                return Err(ApiError::atomic_publish_too_many_inflight());
            }
            batch.bytes += bytes;
            self.bytes += bytes;
            batch
                .messages
                .push(StagedMessage::copy_of(message, headers));
        }
        if place.commit == Commit::No {
            return Ok(Staged::Waits { opened: was_empty });
        }
        let messages = std::mem::take(&mut batch.messages);
        self.close(place.id);
        if messages.is_empty() {
            return Err(ApiError::atomic_publish_incomplete());
        }
        Ok(Staged::Complete(messages))
    }

    fn open(&mut self, id: &str) -> Result<(), ApiError> {
        if self.open.len() >= BATCHES_OPEN_MAX {
            return Err(ApiError::atomic_publish_too_many_inflight());
        }
        let batch = OpenBatch {
            messages: Vec::new(),
            bytes: 0,
            touched: Duration::ZERO,
        };
        self.open.insert(id.to_owned(), batch);
        Ok(())
    }

    fn close(&mut self, id: &str) -> bool {
        let batch = self.open.remove(id);
        self.bytes -= batch.as_ref().map_or(0, |batch| batch.bytes);
        batch.is_some()
    }

    /// Closes a batch for an error of one of its messages.
    fn give_up(&mut self, id: &str, error: &ApiError) {
        if self.close(id) {
            let (large, level) = (
                ApiError::atomic_publish_too_large(0).err_code,
                ApiError::required_api_level().err_code,
            );
            let reason = match error.err_code {
                code if code == large => "large",
                code if code == level => "unsupported",
                _ => "incomplete",
            };
            self.abandoned.push(AbandonedBatch {
                id: id.to_owned(),
                reason,
            });
        }
    }
}

impl<'a> Place<'a> {
    fn read(headers: &'a Headers) -> Result<Self, ApiError> {
        let id = headers.get(BATCH_ID).unwrap_or_default();
        if id.is_empty() || id.len() > BATCH_ID_CHARS_MAX {
            return Err(ApiError::atomic_publish_invalid_id());
        }
        let sequence = headers
            .get(BATCH_SEQUENCE)
            .ok_or_else(ApiError::atomic_publish_missing_seq)?;
        let sequence = sequence
            .parse()
            .map_err(|_| ApiError::atomic_publish_missing_seq())?;
        let commit = match headers.get(BATCH_COMMIT) {
            None => Commit::No,
            Some("1") => Commit::WithThis,
            Some("eob") => Commit::WithoutThis,
            Some(_) => return Err(ApiError::atomic_publish_invalid_commit()),
        };
        Ok(Self {
            id,
            sequence,
            commit,
        })
    }
}

impl StagedMessage {
    fn copy_of(message: &Message, headers: &Headers) -> Self {
        let block = Bytes::copy_from_slice(headers.as_bytes());
        Self {
            subject: message.subject.detached(),
            headers: Headers::parse(block).expect("a copy of headers is headers"),
            payload: Bytes::copy_from_slice(&message.payload),
        }
    }
}

/// The first message is not number 1, one is missing, or the batch is not (or no longer) open.
fn unknown_batch() -> ApiError {
    ApiError::atomic_publish_incomplete()
}
