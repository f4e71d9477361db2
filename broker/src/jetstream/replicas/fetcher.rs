//! Messages on their way to consumers: read ahead of their delivery, since nothing is delivered that cannot be.

use std::collections::VecDeque;

use hitherto_jetstream::{Fetched, MessageLens, StoredMessage, StreamSeq, Surroundings};
use hitherto_protocol::{Headers, Subject};
use hitherto_storage::{Error, StreamStore};

use crate::pubsub::Router;

/// Bytes of payloads that wait for their delivery, 4 MiB, and what the consumer whose turn it is adds.
const FETCHED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Reads what a round of deliveries takes.
pub(super) struct Fetcher<'a> {
    store: &'a StreamStore,
    router: &'a Router,
    fetched: &'a mut VecDeque<StoredMessage>,
    bytes: usize,
    failed: Vec<(StreamSeq, Error)>,
}

impl<'a> Fetcher<'a> {
    /// What is read is put into `fetched`, in the order of the deliveries.
    pub(super) fn new(
        store: &'a StreamStore,
        router: &'a Router,
        fetched: &'a mut VecDeque<StoredMessage>,
    ) -> Self {
        Self {
            store,
            router,
            fetched,
            bytes: 0,
            failed: Vec::new(),
        }
    }

    /// What could not be read.
    pub(super) fn into_failed(self) -> Vec<(StreamSeq, Error)> {
        self.failed
    }
}

impl Surroundings for Fetcher<'_> {
    fn has_interest(&self, inbox: &Subject) -> bool {
        self.router.has_interest(inbox)
    }

    /// Of the message fetched last: it is asked of no other.
    fn lens(&self, seq: StreamSeq) -> Option<MessageLens> {
        let stored = self.fetched.back().filter(|stored| stored.seq == seq)?;
        Some(MessageLens {
            headers: stored.headers.as_ref().map_or(0, Headers::len),
            payload: stored.payload.len(),
        })
    }

    fn fetch(&mut self, seq: StreamSeq) -> Fetched {
        let error = match self.store.get(seq) {
            Ok(Some(message)) => {
                self.bytes += message.payload.len();
                self.fetched.push_back(message);
                return Fetched::Ready;
            }
            Ok(None) => self.store.missing(seq),
            Err(error) => error,
        };
        let fetched = match &error {
            Error::Damaged { .. } => Fetched::Damaged(error.to_string()),
            _ => Fetched::Later,
        };
        self.failed.push((seq, error));
        fetched
    }

    fn is_laden(&self) -> bool {
        self.bytes >= FETCHED_BYTES_MAX
    }
}

/// Takes a message that was read for a delivery. Those before it were read and not delivered after all, as
/// they were too large for who asked.
pub(super) fn take(fetched: &mut VecDeque<StoredMessage>, seq: StreamSeq) -> Option<StoredMessage> {
    std::iter::from_fn(|| fetched.pop_front()).find(|message| message.seq == seq)
}
