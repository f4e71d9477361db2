//! The messages waiting for one local subscription.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{LocalMessage, SubscriptionEnd};
use crate::connection::Pushed;
use crate::pubsub::{Message, SubscriberId};

/// A queue bounded by bytes. A reader that lets it fill up loses its subscription, as a slow consumer on
/// a socket loses its connection: nothing is left out in the middle, and the reader is told.
pub(crate) struct LocalQueue {
    subscriber: SubscriberId,
    bytes_max: usize,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    messages: VecDeque<LocalMessage>,
    /// The sum of [`LocalMessage::queue_bytes`] over `messages`.
    bytes: usize,
    /// Set once; then nothing is added any more.
    end: Option<SubscriptionEnd>,
}

/// What a reader finds.
pub(super) enum Popped {
    Message(LocalMessage),
    /// Nothing yet.
    Empty,
    /// Nothing, and nothing will come.
    End,
}

impl LocalQueue {
    pub(super) fn new(subscriber: SubscriberId, bytes_max: usize) -> Self {
        Self {
            subscriber,
            bytes_max,
            state: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    /// The local client it belongs to.
    pub(crate) fn subscriber(&self) -> SubscriberId {
        self.subscriber
    }

    /// Adds a copy of the message. When it does not fit, the subscription ends as a slow consumer; what
    /// waits already can still be read.
    pub(crate) fn push(&self, message: &Message) -> Pushed {
        let mut state = self.lock();
        if state.end.is_some() {
            return Pushed::Closed;
        }
        let copy = LocalMessage::copy_of(message);
        let bytes = state.bytes + copy.queue_bytes();
        if bytes > self.bytes_max {
            state.end = Some(SubscriptionEnd::SlowConsumer);
            drop(state);
            self.arrived.notify_one();
            return Pushed::Closed;
        }
        state.bytes = bytes;
        let was_empty = state.messages.is_empty();
        state.messages.push_back(copy);
        drop(state);
        if was_empty {
            self.arrived.notify_one();
        }
        Pushed::Done
    }

    pub(super) fn pop(&self) -> Popped {
        let mut state = self.lock();
        match (state.messages.pop_front(), state.end) {
            (Some(message), _) => {
                state.bytes -= message.queue_bytes();
                Popped::Message(message)
            }
            (None, Some(_)) => Popped::End,
            (None, None) => Popped::Empty,
        }
    }

    /// Waits until there may be something to pop. One reader only.
    pub(super) async fn wait(&self) {
        self.arrived.notified().await;
    }

    /// Ends the queue; what waits can still be read. The first reason stands.
    pub(crate) fn close(&self, end: SubscriptionEnd) {
        self.lock().end.get_or_insert(end);
        self.arrived.notify_one();
    }

    /// Ends the queue and frees what waits in it: its reader is gone.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.end.get_or_insert(SubscriptionEnd::Unsubscribed);
        let messages = std::mem::take(&mut state.messages);
        state.bytes = 0;
        drop(state);
        drop(messages);
    }

    pub(super) fn end(&self) -> Option<SubscriptionEnd> {
        self.lock().end
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LocalQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("LocalQueue")
            .field("messages", &state.messages.len())
            .field("bytes", &state.bytes)
            .field("end", &state.end)
            .finish_non_exhaustive()
    }
}
