//! What waits to be written to one client, shared by its reader, its writer and everybody who delivers.
//!
//! Deliveries are encoded straight into one buffer. The writer takes the whole buffer at once, so a burst
//! of messages becomes one socket write. The socket itself is not known here.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use hitherto_protocol::encode;
use tokio::sync::Notify;

use crate::pubsub::{Message, SubscriberId};

/// A writer is woken before the end of a burst when so many bytes wait: 64 KiB.
const EARLY_WAKE_BYTES: usize = 64 * 1024;

/// The outbound side of one connection.
pub(crate) struct Outbound {
    subscriber: SubscriberId,
    /// More bytes than this waiting, and the client is a slow consumer.
    pending_bytes_max: usize,
    state: Mutex<State>,
    /// Wakes the writer.
    writer: Notify,
    /// Wakes the reader, once, when the connection is to end.
    closing: Notify,
}

struct State {
    /// Complete protocol lines and messages that the writer has not taken.
    buffer: BytesMut,
    /// Bytes the writer has taken and not finished writing.
    writing_bytes: usize,
    /// The client understands headers; otherwise they are cut off.
    headers: bool,
    /// The writer is at work, or somebody has promised to wake it.
    wake_promised: bool,
    /// Set once. Nothing is added any more; what waits is still written, unless the client is slow.
    close_reason: Option<CloseReason>,
    /// Subscriptions that got their last message since the reader looked.
    ended_sids: Vec<Bytes>,
}

/// What became of something pushed to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It will be written, or was taken.
    Done,
    /// It will be written once the caller calls [`Outbound::wake_writer`].
    WakeWriter,
    /// The receiver is closed; it was not taken.
    Closed,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum CloseReason {
    /// The client closed its side.
    ClientClosed,
    /// The socket failed.
    SocketFailed,
    /// The client broke the protocol or a limit.
    ProtocolViolation,
    /// More bytes waited for the client than `max_pending`, or it took none for `write_deadline`.
    SlowConsumer,
    /// The client did not answer PING.
    StaleConnection,
    /// There are as many connections as allowed.
    TooManyConnections,
    /// The node stops.
    Shutdown,
}

impl CloseReason {
    /// The client will not take what waits for it.
    fn gives_up(self) -> bool {
        matches!(self, Self::SlowConsumer | Self::SocketFailed)
    }
}

/// What the writer finds to do.
pub(super) enum Work {
    /// The chunk holds bytes to write.
    Write,
    /// Nothing now: wait.
    Wait,
    /// The connection ends, and everything is written.
    End,
}

impl Outbound {
    /// An empty one. `pending_bytes_max` is `max_pending` of the configuration.
    pub(super) fn new(subscriber: SubscriberId, pending_bytes_max: usize) -> Self {
        Self {
            subscriber,
            pending_bytes_max,
            state: Mutex::new(State {
                buffer: BytesMut::new(),
                writing_bytes: 0,
                headers: false,
                wake_promised: false,
                close_reason: None,
                ended_sids: Vec::new(),
            }),
            writer: Notify::new(),
            closing: Notify::new(),
        }
    }

    /// The connection it belongs to.
    pub(crate) fn subscriber(&self) -> SubscriberId {
        self.subscriber
    }

    /// Adds one message for the subscription `sid`.
    pub(crate) fn push_message(&self, sid: &[u8], message: &Message) -> Pushed {
        self.push_with(|buffer, with_headers| {
            encode::msg(
                buffer,
                message.subject.as_str(),
                sid,
                message
                    .reply
                    .as_ref()
                    .map(hitherto_protocol::Subject::as_str),
                message.headers.as_deref().filter(|_| with_headers),
                &message.payload,
            );
        })
    }

    /// Adds a protocol line such as PONG.
    pub(super) fn push_line(&self, encode: impl FnOnce(&mut BytesMut)) -> Pushed {
        self.push_with(|buffer, _| encode(buffer))
    }

    fn push_with(&self, encode: impl FnOnce(&mut BytesMut, bool)) -> Pushed {
        let mut state = self.lock();
        if state.close_reason.is_some() {
            return Pushed::Closed;
        }
        let bytes_before = state.buffer.len();
        let with_headers = state.headers;
        encode(&mut state.buffer, with_headers);

        let waiting = state.buffer.len();
        if waiting + state.writing_bytes > self.pending_bytes_max {
            self.close_locked(state, CloseReason::SlowConsumer);
            return Pushed::Closed;
        }
        if !state.wake_promised {
            state.wake_promised = true;
            return Pushed::WakeWriter;
        }
        if bytes_before < EARLY_WAKE_BYTES && waiting >= EARLY_WAKE_BYTES {
            drop(state);
            self.writer.notify_one();
        }
        Pushed::Done
    }

    /// Keeps the promise behind [`Pushed::WakeWriter`].
    pub(crate) fn wake_writer(&self) {
        self.writer.notify_one();
    }

    /// Says whether the client understands headers.
    pub(super) fn set_headers(&self, headers: bool) {
        self.lock().headers = headers;
    }

    /// Ends the connection: a last `-ERR` is written if there is one, then the socket is closed. The first
    /// reason stands; later calls do nothing.
    pub(super) fn close(&self, reason: CloseReason, error_text: Option<&str>) {
        let mut state = self.lock();
        if state.close_reason.is_some() {
            return;
        }
        if let Some(text) = error_text {
            encode::err(&mut state.buffer, text);
        }
        self.close_locked(state, reason);
    }

    fn close_locked(&self, mut state: MutexGuard<'_, State>, reason: CloseReason) {
        state.close_reason = Some(reason);
        if reason.gives_up() {
            // Nobody will take it. Who remembers this connection should not keep its bytes alive.
            state.buffer = BytesMut::new();
        }
        drop(state);
        self.writer.notify_one();
        self.closing.notify_one();
    }

    /// Why the connection ends; `None` while it lives.
    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.lock().close_reason
    }

    /// Tells whether the connection ended in a way that leaves nothing to write.
    pub(super) fn is_given_up(&self) -> bool {
        self.close_reason().is_some_and(CloseReason::gives_up)
    }

    /// Waits until the connection is to end. Only the reader waits here.
    pub(super) async fn closed(&self) {
        while self.close_reason().is_none() {
            self.closing.notified().await;
        }
    }

    /// Remembers that a subscription got its last message, for the reader's table.
    pub(crate) fn note_ended(&self, sid: Bytes) {
        self.lock().ended_sids.push(sid);
    }

    /// The subscriptions that got their last message since the last call.
    pub(super) fn take_ended(&self) -> Vec<Bytes> {
        std::mem::take(&mut self.lock().ended_sids)
    }

    /// Gives the writer what waits: swaps the buffer for `chunk`, which must be empty.
    pub(super) fn take_work(&self, chunk: &mut BytesMut) -> Work {
        let mut state = self.lock();
        state.writing_bytes = 0;
        if !state.buffer.is_empty() {
            std::mem::swap(&mut state.buffer, chunk);
            state.writing_bytes = chunk.len();
            return Work::Write;
        }
        if state.close_reason.is_some() {
            return Work::End;
        }
        state.wake_promised = false;
        Work::Wait
    }

    /// Waits until there may be work. Only the writer waits here.
    pub(super) async fn wait_for_work(&self) {
        self.writer.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("subscriber", &self.subscriber)
            .finish_non_exhaustive()
    }
}
