//! What waits to be written to one client, shared by its reader, its writer and everybody who delivers.
//!
//! Deliveries are encoded straight into one buffer. The writer takes the whole buffer at once, so a burst
//! of messages becomes one socket write. A small burst does not wait for the writer: whoever delivered it
//! writes it [at once](AtOnce). One of them writes at a time, so that bytes stay in order.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hitherto_protocol::{Subject, encode};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::CloseReason;
use super::at_once::{AT_ONCE_BYTES_MAX, AtOnce};
use super::trace::{self, Tracer};
use super::vitals::Traffic;
use crate::auth::DeliveryGuard;
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
    /// Set once the connection is served, where its socket can be shared.
    at_once: OnceLock<AtOnce>,
    pub(super) tracer: Tracer,
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
    /// Bytes that were taken and are not written in full.
    writing_bytes: usize,
    /// They were taken to be written at once: the writer waits until it is woken.
    writing_at_once: bool,
    /// The client understands headers; otherwise they are cut off.
    headers: bool,
    /// The writer is at work, or somebody has promised to wake it.
    wake_promised: bool,
    /// What messages must pass.
    guard: Option<Arc<DeliveryGuard>>,
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
    /// The receiver's user may not see it; it was not taken.
    Denied,
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
                writing_at_once: false,
                headers: false,
                guard: None,
                wake_promised: false,
                crowded: false,
                close_reason: None,
                ended_sids: Vec::new(),
                sent: Traffic::default(),
                stalls: 0,
            }),
            at_once: OnceLock::new(),
            tracer: Tracer::default(),
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
            let reply = message.reply.as_ref().map(Subject::as_str);
            if let Some(guard) = &state.guard
                && !guard.lets_pass(message.subject.as_str(), reply)
            {
                return false;
            }
            let headers = message.headers.as_deref().filter(|_| state.headers);
            encode::msg(
                &mut state.buffer,
                message.subject.as_str(),
                sid,
                reply,
                headers,
                &message.payload,
            );
            let bytes = headers.map_or(0, <[u8]>::len) + message.payload.len();
            state.sent.messages += 1;
            state.sent.bytes += bytes as u64;
            if trace::is_on() {
                self.tracer.sent_message(sid, message, headers);
            }
            true
        })
    }

    /// Adds a protocol line such as PONG.
    pub(super) fn push_line(&self, encode: impl FnOnce(&mut BytesMut)) -> Pushed {
        self.push_with(|state| {
            let begin = state.buffer.len();
            encode(&mut state.buffer);
            if trace::is_on() {
                self.tracer.sent_line(&state.buffer[begin..]);
            }
            true
        })
    }

    fn push_with(&self, encode: impl FnOnce(&mut State) -> bool) -> Pushed {
        let mut state = self.lock();
        if state.close_reason.is_some() {
            return Pushed::Closed;
        }
        let bytes_before = state.buffer.len();
        if !encode(&mut state) {
            return Pushed::Denied;
        }

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

    /// Lets small bursts be written without the writer. A second call does nothing.
    pub(super) fn set_at_once(&self, at_once: AtOnce) {
        self.at_once.set(at_once).ok();
    }

    /// Keeps the promise behind [`Pushed::WakeWriter`]: writes what waits, or wakes the writer.
    pub(crate) fn wake_writer(&self) {
        if !self.write_at_once() {
            self.writer.notify_one();
        }
    }

    /// Writes what waits at once; `false` when there is something for the writer to do.
    fn write_at_once(&self) -> bool {
        let Some(at_once) = self.at_once.get() else {
            return false;
        };
        let Some(mut chunk) = self.take_little() else {
            return false;
        };
        at_once.write(&mut chunk);
        self.end_at_once(chunk)
    }

    /// Takes what waits if it is little and nobody writes.
    fn take_little(&self) -> Option<BytesMut> {
        let mut state = self.lock();
        let waiting = state.buffer.len();
        let is_free = state.writing_bytes == 0 && !state.writing_at_once;
        let is_little = (1..=AT_ONCE_BYTES_MAX).contains(&waiting);
        if !is_free || !is_little || state.close_reason.is_some() {
            return None;
        }
        state.writing_bytes = waiting;
        state.writing_at_once = true;
        Some(std::mem::take(&mut state.buffer))
    }

    /// Gives back what was not written of what [`take_little`](Self::take_little) gave; `true` when
    /// nothing is left to do.
    fn end_at_once(&self, mut rest: BytesMut) -> bool {
        let mut state = self.lock();
        state.writing_bytes = 0;
        state.writing_at_once = false;
        if state.close_reason.is_some_and(CloseReason::gives_up) {
            return false;
        }
        let all_written = rest.is_empty();
        if !all_written || (state.buffer.is_empty() && rest.capacity() <= AT_ONCE_BYTES_MAX) {
            // In front of what came meanwhile; or its memory is used again.
            rest.extend_from_slice(&state.buffer);
            state.buffer = rest;
        }
        let is_done = all_written && state.buffer.is_empty() && state.close_reason.is_none();
        if is_done {
            state.wake_promised = false;
        }
        self.note_room(state);
        is_done
    }

    /// Sets what messages must pass from now on; `None` lets all pass.
    pub(super) fn set_guard(&self, guard: Option<Arc<DeliveryGuard>>) {
        self.lock().guard = guard;
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
            let begin = state.buffer.len();
            encode::err(&mut state.buffer, text);
            if trace::is_on() {
                self.tracer.sent_line(&state.buffer[begin..]);
            }
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
        if state.writing_at_once {
            return Work::Wait;
        }
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
        self.note_room(state);
    }

    /// Fewer bytes wait: those who give way may go on.
    fn note_room(&self, mut state: MutexGuard<'_, State>) {
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
    use std::io;
    use std::sync::{Arc, Weak};

    use hitherto_platform::{SystemClock, TryWrite};
    use tokio::sync::mpsc;

    use super::super::client::Client;
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

    /// A socket that takes so many bytes and no more.
    struct Narrow {
        room: Mutex<usize>,
        written: Mutex<Vec<u8>>,
    }

    impl TryWrite for Narrow {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            let mut room = self.room.lock().unwrap();
            let taken = bytes.len().min(*room);
            *room -= taken;
            self.written.lock().unwrap().extend(&bytes[..taken]);
            match taken {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                taken => Ok(taken),
            }
        }
    }

    fn shared(room: usize) -> (Arc<Client>, Arc<Narrow>) {
        let outbound = Arc::new(Outbound::new(SubscriberId(1), 1024 * 1024));
        let peer = "127.0.0.1:1".parse().unwrap();
        let (events, _) = mpsc::channel(1);
        let clock = Arc::new(SystemClock::new());
        let client = Arc::new(Client::new(outbound, peer, clock, events));
        let socket = Arc::new(Narrow {
            room: Mutex::new(room),
            written: Mutex::default(),
        });
        let weak: Weak<Narrow> = Arc::downgrade(&socket);
        client.outbound().set_at_once(AtOnce::new(weak, &client));
        (client, socket)
    }

    #[test]
    fn a_little_is_written_by_who_delivers_it() {
        let (client, socket) = shared(usize::MAX);
        let outbound = client.outbound();
        let mut chunk = BytesMut::new();
        for _ in 0..2 {
            assert_eq!(outbound.push_line(encode::ping), Pushed::WakeWriter);
            outbound.wake_writer();
            assert!(matches!(outbound.take_work(&mut chunk), Work::Wait));
        }
        assert_eq!(*socket.written.lock().unwrap(), b"PING\r\nPING\r\n");
        assert_eq!(outbound.figures().pending_bytes, 0);
    }

    #[test]
    fn what_the_socket_does_not_take_is_the_writers_and_stays_in_order() {
        let (client, socket) = shared(2);
        let outbound = client.outbound();
        assert_eq!(outbound.push_line(encode::ping), Pushed::WakeWriter);
        assert!(!outbound.write_at_once());
        assert_eq!(outbound.push_line(encode::pong), Pushed::Done);
        let mut chunk = BytesMut::new();
        assert!(matches!(outbound.take_work(&mut chunk), Work::Write));
        assert_eq!(*socket.written.lock().unwrap(), b"PI");
        assert_eq!(chunk, "NG\r\nPONG\r\n");
    }

    #[test]
    fn one_writes_at_a_time() {
        let (client, _socket) = shared(usize::MAX);
        let outbound = client.outbound();
        outbound.push_line(encode::ping);
        let chunk = outbound.take_little().unwrap();
        assert_eq!(outbound.push_line(encode::pong), Pushed::Done);
        assert!(outbound.take_little().is_none());
        let mut theirs = BytesMut::new();
        assert!(matches!(outbound.take_work(&mut theirs), Work::Wait));
        assert!(!outbound.end_at_once(chunk), "the pong is the writer's");
        assert!(matches!(outbound.take_work(&mut theirs), Work::Write));
        assert_eq!(theirs, "PING\r\nPONG\r\n");
        assert!(outbound.take_little().is_none(), "the writer is at it");
    }

    #[test]
    fn a_connection_that_ends_meanwhile_is_left_to_its_writer() {
        let (client, _socket) = shared(usize::MAX);
        let outbound = client.outbound();
        outbound.push_line(encode::ping);
        let mut chunk = outbound.take_little().unwrap();
        outbound.close(CloseReason::StaleConnection, Some("Stale Connection"));
        let mut theirs = BytesMut::new();
        assert!(matches!(outbound.take_work(&mut theirs), Work::Wait));
        chunk.clear();
        assert!(!outbound.end_at_once(chunk));
        assert!(matches!(outbound.take_work(&mut theirs), Work::Write));
        assert_eq!(theirs, "-ERR 'Stale Connection'\r\n");
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
