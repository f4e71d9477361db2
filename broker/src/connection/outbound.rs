//! What waits to be written to one client, shared by its reader, its writer and everybody who delivers.
//!
//! Deliveries are encoded straight into one buffer. The writer takes the whole buffer at once, so a burst
//! of messages becomes one socket write. The socket itself is not known here.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hitherto_protocol::{Subject, encode};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::CloseReason;
use super::client::Traffic;
use crate::pubsub::{Message, SubscriberId};

/// A writer is woken before the end of a burst when so many bytes wait: 64 KiB.
const EARLY_WAKE_BYTES: usize = 64 * 1024;

/// A publisher gives a crowded client at most so long before it goes on: 10 ms per read of a connection, as
/// nats-server 2.15 (`stallTotalAllowed` in `server/client.go`).
const GIVE_WAY_MAX: Duration = Duration::from_millis(10);

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
    /// Wakes publishers that give way.
    uncrowded: Notify,
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
    /// More than three quarters of what may wait do wait.
    crowded: bool,
    /// Set once. Nothing is added any more; what waits is still written, unless the client is slow.
    close_reason: Option<CloseReason>,
    /// Subscriptions that got their last message since the reader looked.
    ended_sids: Vec<Bytes>,
    /// Messages that were added since the start.
    sent: Traffic,
    /// How often a publisher gave way.
    stalls: u64,
}

/// Numbers about the outbound side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutboundFigures {
    pub(super) pending_bytes: usize,
    pub(super) sent: Traffic,
    pub(super) stalls: u64,
}

/// What became of something pushed to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It will be written, or was taken.
    Done,
    /// It will be written once the caller calls [`Outbound::wake_writer`].
    WakeWriter,
    /// It will be written, but the client is close to being a slow consumer: the publisher should
    /// [give way](Outbound::give_way).
    Crowded,
    /// The receiver is closed; it was not taken.
    Closed,
}

impl State {
    fn pending_bytes(&self) -> usize {
        self.buffer.len() + self.writing_bytes
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
                crowded: false,
                close_reason: None,
                ended_sids: Vec::new(),
                sent: Traffic::default(),
                stalls: 0,
            }),
            writer: Notify::new(),
            closing: Notify::new(),
            uncrowded: Notify::new(),
        }
    }

    /// The connection it belongs to.
    pub(crate) fn subscriber(&self) -> SubscriberId {
        self.subscriber
    }

    /// Adds one message for the subscription `sid`.
    pub(crate) fn push_message(&self, sid: &[u8], message: &Message) -> Pushed {
        self.push_with(|state| {
            let headers = message.headers.as_deref().filter(|_| state.headers);
            encode::msg(
                &mut state.buffer,
                message.subject.as_str(),
                sid,
                message.reply.as_ref().map(Subject::as_str),
                headers,
                &message.payload,
            );
            let bytes = headers.map_or(0, <[u8]>::len) + message.payload.len();
            state.sent.messages += 1;
            state.sent.bytes += bytes as u64;
        })
    }

    /// Adds a protocol line such as PONG.
    pub(super) fn push_line(&self, encode: impl FnOnce(&mut BytesMut)) -> Pushed {
        self.push_with(|state| encode(&mut state.buffer))
    }

    fn push_with(&self, encode: impl FnOnce(&mut State)) -> Pushed {
        let mut state = self.lock();
        if state.close_reason.is_some() {
            return Pushed::Closed;
        }
        let bytes_before = state.buffer.len();
        encode(&mut state);

        let waiting = state.buffer.len();
        let pending = state.pending_bytes();
        if pending > self.pending_bytes_max {
            self.close_locked(state, CloseReason::PendingTooMuch);
            return Pushed::Closed;
        }
        state.crowded |= self.is_crowd(pending);
        if !state.wake_promised {
            state.wake_promised = true;
            return Pushed::WakeWriter;
        }
        let crowded = state.crowded;
        drop(state);
        if bytes_before < EARLY_WAKE_BYTES && waiting >= EARLY_WAKE_BYTES {
            self.writer.notify_one();
        }
        if crowded {
            Pushed::Crowded
        } else {
            Pushed::Done
        }
    }

    /// As nats-server 2.15: more than three quarters of `max_pending`.
    fn is_crowd(&self, pending_bytes: usize) -> bool {
        pending_bytes > self.pending_bytes_max / 4 * 3
    }

    /// Waits a moment for the client to take what waits for it, so that a fast publisher does not make
    /// slow consumers out of clients that keep up on average.
    pub(crate) async fn give_way(&self) {
        let uncrowded = self.uncrowded.notified();
        tokio::pin!(uncrowded);
        // Listens before it looks, so that no notice is missed between the two.
        uncrowded.as_mut().enable();
        if self.note_stall() {
            timeout(GIVE_WAY_MAX, uncrowded).await.ok();
        }
    }

    /// Counts a publisher that gives way; `false` when it need not.
    fn note_stall(&self) -> bool {
        let mut state = self.lock();
        state.stalls += u64::from(state.crowded);
        state.crowded
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
    pub(crate) fn close(&self, reason: CloseReason, error_text: Option<&str>) {
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
        state.crowded = false;
        if reason.gives_up() {
            // Nobody will take it. Who remembers this connection should not keep its bytes alive.
            state.buffer = BytesMut::new();
        }
        drop(state);
        self.writer.notify_one();
        self.closing.notify_one();
        self.uncrowded.notify_waiters();
    }

    /// Why the connection ends; `None` while it lives.
    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.lock().close_reason
    }

    /// How it is doing.
    pub(super) fn figures(&self) -> OutboundFigures {
        let state = self.lock();
        OutboundFigures {
            pending_bytes: state.pending_bytes(),
            sent: state.sent,
            stalls: state.stalls,
        }
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

    /// The writer got so many bytes of its chunk into the socket.
    pub(super) fn note_written(&self, bytes: usize) {
        let mut state = self.lock();
        state.writing_bytes = state.writing_bytes.saturating_sub(bytes);
        if state.crowded && !self.is_crowd(state.pending_bytes()) {
            state.crowded = false;
            drop(state);
            self.uncrowded.notify_waiters();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            subject: Subject::new("a").unwrap(),
            reply: None,
            headers: Some(Bytes::from_static(b"NATS/1.0\r\n\r\n")),
            payload: Bytes::from_static(b"hi"),
        }
    }

    #[test]
    fn a_burst_wakes_the_writer_once_and_is_taken_as_one() {
        let outbound = Outbound::new(SubscriberId(1), 1024);
        assert_eq!(outbound.push_message(b"1", &message()), Pushed::WakeWriter);
        assert_eq!(outbound.push_message(b"1", &message()), Pushed::Done);
        assert_eq!(outbound.push_line(encode::pong), Pushed::Done);
        let mut chunk = BytesMut::new();
        assert!(matches!(outbound.take_work(&mut chunk), Work::Write));
        assert_eq!(chunk, "MSG a 1 2\r\nhi\r\nMSG a 1 2\r\nhi\r\nPONG\r\n");

        chunk.clear();
        assert_eq!(
            outbound.push_line(encode::ping),
            Pushed::Done,
            "the writer is at work"
        );
        assert!(matches!(outbound.take_work(&mut chunk), Work::Write));
        chunk.clear();
        assert!(matches!(outbound.take_work(&mut chunk), Work::Wait));
        assert_eq!(outbound.push_line(encode::ping), Pushed::WakeWriter);
    }

    #[test]
    fn what_the_writer_holds_counts_as_pending() {
        let outbound = Outbound::new(SubscriberId(1), 40);
        outbound.push_message(b"1", &message());
        let mut chunk = BytesMut::new();
        outbound.take_work(&mut chunk);
        assert_eq!(outbound.push_message(b"1", &message()), Pushed::Done);
        assert_eq!(outbound.push_message(b"1", &message()), Pushed::Closed);
        assert_eq!(outbound.close_reason(), Some(CloseReason::PendingTooMuch));
        assert!(
            matches!(outbound.take_work(&mut chunk), Work::End),
            "nothing is kept for it"
        );
    }

    #[test]
    fn the_first_reason_stands_and_its_text_is_written_last() {
        let outbound = Outbound::new(SubscriberId(1), 1024);
        outbound.set_headers(true);
        outbound.push_message(b"1", &message());
        outbound.close(CloseReason::StaleConnection, Some("Stale Connection"));
        outbound.close(CloseReason::Shutdown, Some("other"));
        assert_eq!(outbound.push_line(encode::pong), Pushed::Closed);
        let mut chunk = BytesMut::new();
        assert!(matches!(outbound.take_work(&mut chunk), Work::Write));
        let expected = "HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n-ERR 'Stale Connection'\r\n";
        assert_eq!(chunk, expected);
        chunk.clear();
        assert!(matches!(outbound.take_work(&mut chunk), Work::End));
        assert_eq!(outbound.close_reason(), Some(CloseReason::StaleConnection));
    }

    #[tokio::test(start_paused = true)]
    async fn publishers_give_a_crowded_client_a_moment() {
        let outbound = Outbound::new(SubscriberId(1), 40);
        for pushed in [Pushed::WakeWriter, Pushed::Done, Pushed::Crowded] {
            assert_eq!(outbound.push_line(|buffer| buffer.extend([0; 12])), pushed);
        }
        let start = tokio::time::Instant::now();
        outbound.give_way().await;
        assert_eq!(start.elapsed(), GIVE_WAY_MAX, "and no longer");

        let mut chunk = BytesMut::new();
        outbound.take_work(&mut chunk);
        outbound.note_written(12);
        outbound.give_way().await;
        assert_eq!(
            start.elapsed(),
            GIVE_WAY_MAX,
            "nothing to wait for any more"
        );
        assert_eq!(outbound.push_line(encode::ok), Pushed::Done);
    }
}
