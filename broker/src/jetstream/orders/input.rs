//! What a shard is told, and the queue it waits in.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hitherto_cluster::{Committed, LogError};
use hitherto_jetstream::GroupId;
use hitherto_storage::Manifest;

use crate::jetstream::keeping::{CheckpointOrder, KeepOrder, Kept};
use crate::jetstream::shards::StreamOrder;
use crate::jetstream::telling::Receipt;
use crate::jetstream::watch::Watch;
use crate::services::{MetaCall, StreamAck, StreamCall, StreamFlow};

/// API calls and pulls that may wait for one shard: 10,000, as in nats-server. More are refused.
pub(crate) const CALLS_MAX: usize = 10_000;

/// Acks that may wait for one shard. More are dropped: their messages are delivered again. Readers stop
/// at an eighth of it, see [`ShardQueue::is_pressed`].
pub(crate) const ACKS_MAX: usize = 256 * 1024;

/// One thing for a shard to do.
pub(crate) enum Input {
    /// A committed entry of one of its groups. Bounded by what the log lets be under way.
    Committed(Committed<Receipt>),
    /// Records that are not committed, or nobody knows.
    Failed(GroupId, Vec<Receipt>, LogError),
    /// A client's call to a stream.
    Call(GroupId, Box<StreamCall>),
    /// A client's ack.
    Ack(GroupId, StreamAck),
    /// A client's answer to a request of flow control.
    Flow(GroupId, StreamFlow),
    /// Interest in the deliver subject of this consumer has come or gone. One at a time for each.
    Interest(GroupId, String),
    /// A client's call that the meta group decides; for shard 0.
    Meta(Box<MetaCall>),
    /// Another configuration for this stream: refuse what its consumers do not fit into, and hand the
    /// rest to shard 0, whose queue this is.
    Update(GroupId, Box<MetaCall>, Arc<ShardQueue>),
    /// What the meta group has decided about one of its streams.
    Order(Box<StreamOrder>),
    /// The first message of an atomic batch is staged: the shard watches that it does not stay for ever.
    BatchOpened(GroupId),
    /// Somebody watches. Few at a time: whoever asks waits for the answer before asking on.
    Watch(Watch),
    /// Describe your groups for a checkpoint.
    Checkpoint(CheckpointOrder),
    /// The checkpoint of a group is on disk.
    CheckpointSaved(GroupId, Box<Manifest>),
    /// Say what there is to verify or to rewrite.
    Keep(KeepOrder),
    /// What became of the files of a group.
    Kept(GroupId, Box<Kept>),
    /// The node ends in order: let every stream say that nothing it acknowledges is lost, then answer.
    Settle(SyncSender<()>),
    /// Come to an end.
    Stop,
    /// Come to a bad end.
    #[cfg(test)]
    Panic,
}

/// The queue of one shard. Many threads push, the shard takes everything at once.
pub(crate) struct ShardQueue {
    state: Mutex<State>,
    wake: Condvar,
    /// Of the inputs pushed since the shard last looked.
    calls: AtomicUsize,
    acks: AtomicUsize,
}

struct State {
    inputs: Vec<Input>,
    /// The shard waits; who pushes wakes it, with one system call instead of one per input.
    sleeps: bool,
    /// Set once, by a shard that has panicked.
    closed: bool,
}

impl ShardQueue {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                inputs: Vec::new(),
                sleeps: false,
                closed: false,
            }),
            wake: Condvar::new(),
            calls: AtomicUsize::new(0),
            acks: AtomicUsize::new(0),
        }
    }

    /// Adds an input of the node itself, whose number is bounded elsewhere. It is dropped when the shard has
    /// panicked, so that whoever waits for an answer is not left waiting.
    pub(crate) fn push(&self, input: Input) {
        let mut state = self.lock();
        if state.closed {
            // Dropping an input may push another one.
            drop(state);
            drop(input);
            return;
        }
        state.inputs.push(input);
        let sleeps = std::mem::take(&mut state.sleeps);
        drop(state);
        if sleeps {
            self.wake.notify_one();
        }
    }

    /// Adds a client's call; `false` when [`CALLS_MAX`] wait already.
    pub(crate) fn push_call(&self, input: Input) -> bool {
        if self.calls.fetch_add(1, Ordering::SeqCst) >= CALLS_MAX {
            return false;
        }
        self.push(input);
        true
    }

    /// Adds an ack, or an answer to flow control; `false` when [`ACKS_MAX`] wait already.
    pub(crate) fn push_ack(&self, input: Input) -> bool {
        if self.acks.fetch_add(1, Ordering::SeqCst) >= ACKS_MAX {
            return false;
        }
        self.push(input);
        true
    }

    /// Drops what waits and what will come: nobody takes it any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let inputs = std::mem::take(&mut state.inputs);
        drop(state);
        drop(inputs);
    }

    /// Tells whether clients should wait before they send more.
    pub(crate) fn is_pressed(&self) -> bool {
        self.acks.load(Ordering::SeqCst) >= ACKS_MAX / 8
            || self.calls.load(Ordering::SeqCst) >= CALLS_MAX / 2
    }

    /// Takes everything, waiting for something at most `wait_max`; `None` waits for ever. `inputs` must
    /// be empty; its room is given to the pushers.
    pub(crate) fn take(&self, inputs: &mut Vec<Input>, wait_max: Option<Duration>) {
        let mut state = self.lock();
        if state.inputs.is_empty() && wait_max != Some(Duration::ZERO) {
            state.sleeps = true;
            state = self.wait(state, wait_max);
            state.sleeps = false;
        }
        std::mem::swap(inputs, &mut state.inputs);
        self.calls.store(0, Ordering::SeqCst);
        self.acks.store(0, Ordering::SeqCst);
    }

    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        wait_max: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        let nothing_yet = |state: &mut State| state.inputs.is_empty();
        match wait_max {
            None => self
                .wake
                .wait_while(state, nothing_yet)
                .unwrap_or_else(PoisonError::into_inner),
            Some(wait_max) => {
                self.wake
                    .wait_timeout_while(state, wait_max, nothing_yet)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ShardQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardQueue")
            .field("inputs", &self.lock().inputs.len())
            .finish_non_exhaustive()
    }
}
