//! What waits to be written to one other node, by lane.
//!
//! Frames are encoded straight into the buffer of their lane. The writer takes what is in the control lane
//! first, and from the others in turn at most [`TURN_BYTES`] of whole frames, so that a vote never waits
//! behind a file. Within a lane order is kept.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use hitherto_protocol::link::encode::TooLong;
use hitherto_protocol::link::{Channel, HEADER_BYTES};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::link_end::LinkEnd;
use crate::connection::{Pushed, Traffic};

/// The writer takes so much of a lane while others wait: 256 KiB, or one frame.
const TURN_BYTES: usize = 256 * 1024;

/// Bytes that may wait in the control lane: 4 MiB.
const CONTROL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of the log that may wait: 64 MiB.
const APPEND_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of files that may wait: 8 MiB.
const BULK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A publisher gives a crowded node at most so long before it goes on: 10 ms, as it gives clients.
const GIVE_WAY_MAX: Duration = Duration::from_millis(10);

/// What waits together. A frame larger than its lane may hold is taken when nothing else waits there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Words between the nodes, and [`Channel::Control`]. Full: what comes is refused.
    Control,
    /// [`Channel::Append`]. Full: what comes is refused.
    Append,
    /// Interest, and messages of clients, in one order: a request must not overtake the interest in its
    /// answer. At most `max_pending`; with more the link ends.
    Core,
    /// [`Channel::Bulk`]. Full: what comes is refused.
    Bulk,
}

/// How many lanes there are.
const LANES: usize = 4;

/// The lanes that take turns.
const TURNS: [Lane; LANES - 1] = [Lane::Append, Lane::Core, Lane::Bulk];

/// Bytes were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(
    dead_code,
    reason = "read by the driver of the replicated log, which comes next"
)]
pub(crate) enum SendError {
    /// There is no link to that node now.
    #[error("there is no link to that node")]
    NotLinked,
    /// Too much waits already; there will be room again.
    #[error("too many bytes wait for that node")]
    Full,
    /// No frame is that long.
    #[error("too long for a frame between nodes")]
    TooLong,
}

/// The outbound side of one link.
pub(crate) struct LinkOutbound {
    core_bytes_max: usize,
    state: Mutex<State>,
    /// Set with the state's end; readable without its lock.
    has_ended: AtomicBool,
    /// Wakes the writer.
    writer: Notify,
    /// Wakes the reader, once, when the link is to end.
    ending: Notify,
    /// Wakes publishers that give way.
    uncrowded: Notify,
    /// Wakes those who wait with bytes of the log.
    room: Notify,
}

#[derive(Default)]
struct State {
    /// Whole frames, by lane.
    lanes: [BytesMut; LANES],
    /// Which of [`TURNS`] is next.
    turn: usize,
    /// Bytes that were taken and are not written in full.
    writing_bytes: usize,
    /// The writer is at work, or somebody has promised to wake it.
    wake_promised: bool,
    /// More than three quarters of what may wait in the core lane do wait.
    crowded: bool,
    /// Set once. Nothing is added any more.
    end: Option<LinkEnd>,
    /// Messages that were added since the start.
    sent: Traffic,
}

/// What the writer finds to do.
pub(super) enum Work {
    /// The chunk holds bytes to write.
    Write,
    /// Nothing now: wait.
    Wait,
    /// The link ends, and everything is written that is to be.
    End,
}

impl State {
    fn waiting_bytes(&self) -> usize {
        self.lanes.iter().map(BytesMut::len).sum()
    }

    fn lane(&mut self, lane: Lane) -> &mut BytesMut {
        &mut self.lanes[lane as usize]
    }
}

impl LinkOutbound {
    /// An empty one. At most `core_bytes_max` bytes may wait in the core lane.
    pub(super) fn new(core_bytes_max: usize) -> Self {
        Self {
            core_bytes_max,
            state: Mutex::default(),
            has_ended: AtomicBool::new(false),
            writer: Notify::new(),
            ending: Notify::new(),
            uncrowded: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Adds a frame to the core lane. `messages` says what it adds to the sums.
    pub(super) fn push_core(
        &self,
        messages: Traffic,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), TooLong>,
    ) -> Pushed {
        let mut state = self.lock();
        if state.end.is_some() {
            return Pushed::Closed;
        }
        if let Err(error) = encode(state.lane(Lane::Core)) {
            drop(state);
            // Limits on lines and payloads let nothing so long in from a socket.
            tracing::warn!(%error, "a message does not reach the clients of another node");
            return Pushed::Denied;
        }
        let waiting = state.lane(Lane::Core).len();
        if waiting > self.core_bytes_max {
            self.end_locked(state, LinkEnd::Slow);
            return Pushed::Closed;
        }
        state.sent.add(messages);
        state.crowded |= waiting > self.core_bytes_max / 4 * 3;
        if !state.wake_promised {
            state.wake_promised = true;
            return Pushed::WakeWriter;
        }
        match state.crowded {
            true => Pushed::Crowded,
            false => Pushed::Done,
        }
    }

    /// Adds what a link begins with to the core lane, however much it is, and wakes the writer.
    pub(super) fn push_beginning(&self, frames: &BytesMut) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.lane(Lane::Core).extend_from_slice(frames);
            self.wake_locked(state);
        }
    }

    /// Adds a word between the nodes, and wakes the writer. It is left out when the lane is full: then the
    /// other node takes nothing, and is found out by the PINGs it does not answer.
    pub(super) fn push_word(&self, encode: impl FnOnce(&mut BytesMut) -> Result<(), TooLong>) {
        self.push_bounded(Lane::Control, CONTROL_BYTES_MAX, 0, encode)
            .ok();
    }

    /// Adds bytes of the replicated log, and wakes the writer.
    #[allow(
        dead_code,
        reason = "called by the driver of the replicated log, which comes next"
    )]
    pub(super) fn push_bytes(&self, channel: Channel, bytes: &[u8]) -> Result<(), SendError> {
        let (lane, max) = match channel {
            Channel::Control => (Lane::Control, CONTROL_BYTES_MAX),
            Channel::Append => (Lane::Append, APPEND_BYTES_MAX),
            Channel::Bulk => (Lane::Bulk, BULK_BYTES_MAX),
        };
        self.push_bounded(lane, max, bytes.len(), |buffer| {
            hitherto_protocol::link::encode::bytes(buffer, channel, bytes)
        })
    }

    /// The same, but waits while there is no room for them.
    #[allow(
        dead_code,
        reason = "called by the driver of the replicated log, which comes next"
    )]
    pub(super) async fn push_bytes_when_room(
        &self,
        channel: Channel,
        bytes: &[u8],
    ) -> Result<(), SendError> {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Listens before it looks, so that no notice is missed between the two.
            room.as_mut().enable();
            match self.push_bytes(channel, bytes) {
                Err(SendError::Full) => room.await,
                pushed => return pushed,
            }
        }
    }

    fn push_bounded(
        &self,
        lane: Lane,
        bytes_max: usize,
        bytes: usize,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), TooLong>,
    ) -> Result<(), SendError> {
        let mut state = self.lock();
        if state.end.is_some() {
            return Err(SendError::NotLinked);
        }
        let waiting = state.lane(lane).len();
        if waiting > 0 && waiting + bytes > bytes_max {
            return Err(SendError::Full);
        }
        encode(state.lane(lane)).map_err(|TooLong| SendError::TooLong)?;
        self.wake_locked(state);
        Ok(())
    }

    fn wake_locked(&self, mut state: MutexGuard<'_, State>) {
        let is_promised = std::mem::replace(&mut state.wake_promised, true);
        drop(state);
        if !is_promised {
            self.writer.notify_one();
        }
    }

    /// Keeps the promise behind [`Pushed::WakeWriter`].
    pub(crate) fn wake_writer(&self) {
        self.writer.notify_one();
    }

    /// Waits a moment for the other node to take what waits for it.
    pub(crate) async fn give_way(&self) {
        let uncrowded = self.uncrowded.notified();
        tokio::pin!(uncrowded);
        // Listens before it looks, so that no notice is missed between the two.
        uncrowded.as_mut().enable();
        if self.is_crowded() {
            timeout(GIVE_WAY_MAX, uncrowded).await.ok();
        }
    }

    fn is_crowded(&self) -> bool {
        self.lock().crowded
    }

    /// Gives the writer what is next: fills `chunk`, which must be empty.
    pub(super) fn take_work(&self, chunk: &mut BytesMut) -> Work {
        let mut state = self.lock();
        if take_next(&mut state, chunk) {
            state.writing_bytes = chunk.len();
            let is_crowd = state.lane(Lane::Core).len() > self.core_bytes_max / 4 * 3;
            let is_relieved = state.crowded && !is_crowd;
            state.crowded = is_crowd;
            drop(state);
            if is_relieved {
                self.uncrowded.notify_waiters();
            }
            self.room.notify_waiters();
            return Work::Write;
        }
        if state.end.is_some() {
            return Work::End;
        }
        state.wake_promised = false;
        Work::Wait
    }

    /// The writer has written its chunk.
    pub(super) fn note_written(&self) {
        self.lock().writing_bytes = 0;
    }

    /// Waits until there may be work. Only the writer waits here.
    pub(super) async fn wait_for_work(&self) {
        self.writer.notified().await;
    }

    /// Ends the link. What waits is still written, unless the other node does not take it. The first reason
    /// stands.
    pub(super) fn end(&self, end: LinkEnd) {
        let state = self.lock();
        if state.end.is_none() {
            self.end_locked(state, end);
        }
    }

    fn end_locked(&self, mut state: MutexGuard<'_, State>, end: LinkEnd) {
        state.end = Some(end);
        state.crowded = false;
        self.has_ended.store(true, Ordering::Release);
        if end.gives_up() {
            state.lanes = Default::default();
        }
        drop(state);
        self.writer.notify_one();
        self.ending.notify_one();
        self.uncrowded.notify_waiters();
        self.room.notify_waiters();
    }

    /// Tells whether nothing is taken any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Why it ends; `None` while it lives.
    pub(super) fn end_reason(&self) -> Option<LinkEnd> {
        self.lock().end
    }

    /// Waits until the link is to end. Only the reader waits here.
    pub(super) async fn ended(&self) {
        while !self.has_ended() {
            self.ending.notified().await;
        }
    }

    /// Messages that were sent, and the bytes that wait.
    pub(super) fn figures(&self) -> (Traffic, usize) {
        let state = self.lock();
        (state.sent, state.waiting_bytes() + state.writing_bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves what is next into `chunk`; `false` when nothing waits.
fn take_next(state: &mut State, chunk: &mut BytesMut) -> bool {
    if !state.lane(Lane::Control).is_empty() {
        std::mem::swap(state.lane(Lane::Control), chunk);
        return true;
    }
    for ahead in 0..TURNS.len() {
        let turn = (state.turn + ahead) % TURNS.len();
        let lane = TURNS[turn];
        let waiting = state.lane(lane).len();
        if waiting == 0 {
            continue;
        }
        let others_wait = state.waiting_bytes() > waiting;
        state.turn = (turn + 1) % TURNS.len();
        let buffer = state.lane(lane);
        if others_wait && waiting > TURN_BYTES {
            *chunk = buffer.split_to(whole_frames(buffer));
        } else {
            std::mem::swap(buffer, chunk);
        }
        return true;
    }
    false
}

/// The length of the whole frames in front that make up a turn; at least one.
fn whole_frames(buffer: &[u8]) -> usize {
    let mut end = 0;
    while end < TURN_BYTES {
        let Some(length) = buffer.get(end..).and_then(<[u8]>::first_chunk::<4>) else {
            break;
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(buffer.len());
        end += HEADER_BYTES + length;
    }
    end.min(buffer.len())
}

impl fmt::Debug for LinkOutbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkOutbound")
            .field("has_ended", &self.has_ended())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
