//! What a stream delivers to its consumers in one round.

use std::collections::VecDeque;

use bytes::Bytes;
use hitherto_jetstream::{Delivery, StoredMessage, Stream, StreamSeq};
use hitherto_protocol::{HeadersBuilder, Subject, Timestamp};
use hitherto_storage::{Error, StreamStore};

use super::fetcher;
use super::fetcher::Fetcher;
use crate::jetstream::telling::Outlet;
use crate::pubsub::{Message, Router};

/// The messages of a round.
#[derive(Default)]
pub(super) struct Deliveries {
    /// Read and not sent yet; empty between rounds.
    fetched: VecDeque<StoredMessage>,
}

impl Deliveries {
    /// Lets the consumers of a stream deliver what they can, and reads it. Returns what cannot be read.
    pub(super) fn begin(
        &mut self,
        stream: &mut Stream,
        store: &StreamStore,
        router: &Router,
        now: Timestamp,
    ) -> Vec<(StreamSeq, Error)> {
        let mut fetcher = Fetcher::new(store, router, &mut self.fetched);
        stream.deliver(now, &mut fetcher);
        fetcher.into_failed()
    }

    /// Sends a message of the round. Returns whether a client that gets it is close to being a slow consumer.
    pub(super) fn send(&mut self, delivery: &Delivery, outlet: &mut Outlet) -> bool {
        let stored = fetcher::take(&mut self.fetched, delivery.stream_seq);
        let stored = stored.expect("what is delivered was fetched");
        let reply = Some(delivery.ack_subject.clone());
        let message = if delivery.headers_only {
            headers_only(stored, reply)
        } else {
            to_message(stored, reply)
        };
        outlet.deliver(&delivery.to, &message)
    }

    /// Forgets what was read and not sent.
    pub(super) fn end(&mut self) {
        self.fetched.clear();
    }
}

fn to_message(stored: StoredMessage, reply: Option<Subject>) -> Message {
    Message {
        subject: stored.subject,
        reply,
        headers: stored.headers.map(|headers| headers.as_bytes().clone()),
        payload: stored.payload,
    }
}

/// The message without its payload, whose size a header tells.
fn headers_only(stored: StoredMessage, reply: Option<Subject>) -> Message {
    let mut headers = HeadersBuilder::new();
    let size = stored.payload.len().to_string();
    let own = stored.headers.iter().flat_map(|headers| headers.iter());
    for (name, value) in own.chain([("Nats-Msg-Size", size.as_str())]) {
        headers
            .insert(name, value)
            .expect("stored headers were checked when they came in");
    }
    Message {
        subject: stored.subject,
        reply,
        headers: Some(headers.build().as_bytes().clone()),
        payload: Bytes::new(),
    }
}
