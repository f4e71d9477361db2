//! The queue of a shard.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hitherto_jetstream::GroupId;

use super::input::Input;
use super::keep_order::{Kept, TakeBack};

/// API calls and pulls that may wait for one shard: 10,000, as in nats-server. More are refused.
const CALLS_MAX: usize = 10_000;

/// Acks that may wait for one shard. More are dropped: their messages are delivered again. Readers stop
/// at an eighth of it, see [`ShardQueue::is_pressed`].
const ACKS_MAX: usize = 256 * 1024;

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
        let sleeps = mem::take(&mut state.sleeps);
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
        let inputs = mem::take(&mut state.inputs);
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
        mem::swap(inputs, &mut state.inputs);
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

impl TakeBack for ShardQueue {
    fn take_back(&self, group: GroupId, kept: Kept) {
        self.push(Input::Kept(group, Box::new(kept)));
    }
}

impl fmt::Debug for ShardQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardQueue")
            .field("inputs", &self.lock().inputs.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;

    use bytes::Bytes;
    use hitherto_jetstream::{StoredMessage, StreamSeq};
    use hitherto_platform::FaultyDisk;
    use hitherto_protocol::{Subject, Timestamp};
    use hitherto_storage::{BlockCache, StreamStore, StreamStoreOptions};

    use super::super::keep_order::KeepWork;
    use super::*;

    /// A store whose first segment is worth rewriting, with a file to overwrite.
    fn store_with_work() -> StreamStore {
        let options = StreamStoreOptions {
            segment_bytes: 4096,
            block_bytes: 700,
            compression: false,
            cache: BlockCache::new(10_000),
        };
        let disk = Arc::new(FaultyDisk::new());
        let mut store = StreamStore::create(disk, Path::new("/s"), options).unwrap();
        for seq in 1..=200 {
            store.append(StoredMessage {
                seq: StreamSeq(seq),
                at: Timestamp::from_unix_nanos(1),
                subject: Subject::new("s").unwrap(),
                headers: None,
                payload: Bytes::from(vec![7; 50]),
            });
        }
        let save = |store: &mut StreamStore| {
            let manifest = store.prepare_checkpoint().unwrap().sync().unwrap();
            store.checkpoint_saved(&manifest).unwrap();
        };
        save(&mut store);
        store.erase(StreamSeq(3));
        let rewrite = store.begin_rewrite().unwrap();
        let rewritten = rewrite.run(&mut |_| true);
        assert!(store.finish_rewrite(&rewrite, rewritten));
        save(&mut store);
        store.erase(StreamSeq(4));
        store
    }

    #[test]
    fn work_nobody_waited_for_goes_back_to_the_owner() {
        let (queue, group) = (Arc::new(ShardQueue::new()), GroupId(1));
        let mut store = store_with_work();
        for _ in 0..2 {
            let work = KeepWork {
                merge: None,
                group,
                rewrite: store.begin_rewrite(),
                shreds: store.take_shreds(),
                owner: Arc::<ShardQueue>::clone(&queue),
            };
            assert!(work.rewrite.is_some() && work.shreds.len() == 1);
            let (answer, answers) = sync_channel(1);
            drop(answers);
            assert!(answer.send(vec![work]).is_err());
            let mut inputs = Vec::new();
            queue.take(&mut inputs, Some(Duration::ZERO));
            let Some(Input::Kept(GroupId(1), kept)) = inputs.pop() else {
                panic!("the work is lost");
            };
            let Kept::LeftUndone(rewrite, shreds) = *kept else {
                panic!("it is not done");
            };
            store.finish_rewrite(&rewrite.unwrap(), Ok(None));
            store.return_shreds(shreds);
        }
    }
}
