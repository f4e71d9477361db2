//! One stream with its consumers inside.
//!
//! | file | noun |
//! |---|---|
//! | `mod` | [`Stream`] and its inputs |
//! | `apply` | what each command does |
//! | `consumers` | the consumers, by everything they are looked for by |
//! | `controls` | creating, changing, pausing, resetting, removing a consumer |
//! | `expiry` | what goes because it is old |
//! | `lifetimes` | the messages that say themselves how long they stay |
//! | `rollup` | messages that take the place of those before them |
//! | `expectations` | the conditions in a message's headers |
//! | `dedupe` | the duplicate window |
//! | `limits` | what a stream may hold |
//! | `queries` | what others may ask |
//! | `retention` | what goes when consumers have dealt with it |
//! | `snapshot` | the state without the index, to be stored |
//! | `tables` | the part of the index that lies in tables |

mod apply;
mod batch;
mod consumers;
mod controls;
mod dedupe;
mod expectations;
mod expiry;
mod lifetimes;
mod limits;
mod queries;
mod retention;
mod rollup;
mod snapshot;
mod tables;

use std::collections::VecDeque;

use hitherto_protocol::{Subject, SubjectTransform, Timestamp};

use self::consumers::Consumers;
use self::dedupe::Dedupe;
use self::lifetimes::Lifetimes;
pub use self::snapshot::{OpenTables, RestoreError, Restoring, StreamSnapshot};
pub use self::tables::Freeze;
use crate::consumer::{Ack, Consumer, PullRequest};
use crate::index::Index;
use crate::output::{ConsumerKey, Output};
use crate::{LogIndex, StreamConfig, StreamSeq, Surroundings};

/// The state machine of one stream.
///
/// Memory: the index takes about 10 bytes per message and, for each distinct subject, 40 to 60 bytes
/// and the part of its text that it shares with no other; the duplicate window at most [`Stream::DEDUPE_IDS_MAX`] ids; a consumer some 200
/// bytes per message it waits an acknowledgement for. Bodies are not here.
#[derive(Debug)]
pub struct Stream {
    config: StreamConfig,
    created: Timestamp,
    index: Index,
    lifetimes: Lifetimes,
    /// What `config.republish` says; `None` when it says nothing.
    republish: Option<SubjectTransform>,
    dedupe: Dedupe,
    /// When the last message came, whether it is still there or not.
    last_at: Timestamp,
    /// The `Nats-Msg-Id` of the last message, for `Nats-Expected-Last-Msg-Id`.
    last_msg_id: Option<String>,
    consumers: Consumers,
    /// How many consumers there have ever been.
    consumers_created: u64,
    /// See [`Stream::is_relaxed`].
    relaxed: bool,
    applied: LogIndex,
    /// Entries up to here are part of the snapshot this stream was restored from.
    restored: LogIndex,
    /// When the log was last asked to expire messages; it is not asked again at once.
    expiry_asked: Timestamp,
    outputs: VecDeque<Output>,
}

impl Stream {
    /// Message ids remembered at most: 1,000,000. Beyond it the oldest is forgotten before the
    /// duplicate window has passed.
    pub const DEDUPE_IDS_MAX: usize = 1_000_000;

    /// Bytes of the message ids remembered at most: 64 MiB; beyond it as above.
    pub const DEDUPE_BYTES_MAX: usize = 64 * 1024 * 1024;

    /// The largest sequence a stream may be made to begin with: half of all sequences are left to
    /// count on from there. Differs from nats-server, which takes any number.
    pub const FIRST_SEQ_MAX: StreamSeq = StreamSeq(u64::MAX / 2);

    /// Sequences that may be given out in a relaxed stream and be lost by a power cut: 65,536. After one the
    /// stream goes on so far behind its last message, so that no sequence ever names two messages.
    pub const UNSYNCED_SEQS_MAX: u64 = 65_536;

    /// Consumers of a stream whose `max_consumers` says nothing: 1,000, as nats-server 2.15.
    pub const CONSUMERS_MAX: usize = 1_000;

    /// A stream without messages. The configuration must be checked.
    pub fn new(config: StreamConfig, created: Timestamp) -> Self {
        let last = StreamSeq(config.first_seq.saturating_sub(1));
        let republish = republish_of(&config);
        Self {
            config,
            created,
            index: Index::new(last),
            lifetimes: Lifetimes::default(),
            republish,
            dedupe: Dedupe::default(),
            last_at: Timestamp::ZERO,
            last_msg_id: None,
            consumers: Consumers::default(),
            consumers_created: 0,
            relaxed: false,
            applied: LogIndex::default(),
            restored: LogIndex::default(),
            expiry_asked: Timestamp::ZERO,
            outputs: VecDeque::new(),
        }
    }

    /// Begins to own the stream: every unacknowledged message gets its full ack wait from `now`,
    /// since nobody knows what the owner before granted.
    pub fn resume(&mut self, now: Timestamp) {
        self.consumers.resume(now, &self.index);
        let watches = self.consumers.values().filter_map(Consumer::watch);
        self.outputs.extend(watches.map(Output::Watch));
    }

    /// Ceases to own the stream, which another replica does from now on: waiting requests end with the status
    /// 409, nobody watches deliver subjects, and consumers that live in memory alone are gone. What the log
    /// says stays, and [`Stream::resume`] begins from it again.
    ///
    /// Until then only [`Stream::apply`] is to be called, and of the effects of that only those on bodies are to
    /// be carried out: the owner sees to the others.
    pub fn stand_down(&mut self) {
        let volatile = self.consumers.values().filter(|one| one.is_volatile());
        let volatile: Vec<_> = volatile.map(|one| one.name().to_owned()).collect();
        for name in volatile {
            if let Some(mut consumer) = self.consumers.remove(&name) {
                consumer.stand_down(&mut self.outputs);
            }
        }
        self.consumers.stand_down(&mut self.outputs);
    }

    /// Takes a pull request of a client. Returns `false` when there is no such consumer.
    pub fn handle_pull(&mut self, now: Timestamp, consumer: &str, request: PullRequest) -> bool {
        let Some(consumer) = self.consumers.get_mut(consumer) else {
            return false;
        };
        consumer.handle_pull(now, request, &mut self.outputs);
        true
    }

    /// Takes what a client says about a delivery. Returns `false` when there is no such consumer, or
    /// it asks for no acknowledgements: then nobody listens for them, as on nats-server.
    pub fn handle_ack(&mut self, now: Timestamp, ack: Ack) -> bool {
        let consumer = self.consumers.get_mut(&ack.consumer);
        let Some(consumer) = consumer.filter(|consumer| consumer.needs_acks()) else {
            return false;
        };
        consumer.handle_ack(now, ack, &mut self.outputs);
        true
    }

    /// Takes whether anybody listens on the deliver subject of a push consumer: the answer to
    /// [`Output::Watch`], and every change.
    pub fn handle_interest(&mut self, now: Timestamp, consumer: &str, is_bound: bool) {
        if let Some(consumer) = self.consumers.get_mut(consumer) {
            consumer.handle_interest(now, is_bound);
        }
    }

    /// Takes the answer of a client to a request of flow control, by its subject.
    pub fn handle_flow(&mut self, consumer: &str, subject: &Subject) {
        if let Some(consumer) = self.consumers.get_mut(consumer) {
            consumer.handle_flow(subject.as_str());
        }
    }

    /// The receiver of a delivery has too much waiting: its consumer delivers nothing until then.
    pub fn hold_back(&mut self, consumer: ConsumerKey, until: Timestamp) {
        if let Some(consumer) = self.consumers.by_key(consumer) {
            consumer.hold_back(until);
        }
    }

    /// Some records this stream proposed are not in the log and never will be, as the disk was full when it
    /// was their turn. What its consumers still need recorded is proposed again before anything new.
    pub fn handle_lost_records(&mut self, now: Timestamp) {
        self.consumers.handle_lost_records(now);
    }

    /// Does what is due: expired pulls, heartbeats, ack waits, old messages.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.consumers.handle_timeout(now, &mut self.outputs);
        self.remove_unused(now);
        self.propose_expiry(now);
    }

    /// When [`Stream::handle_timeout`] has something to do next; `None` when nothing is due ever.
    /// [`Stream::deliver`] comes first.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        let consumers = self.consumers.next_timeout();
        consumers.into_iter().chain(self.next_expiry()).min()
    }

    /// Proposes what clients have acknowledged, and delivers what consumers have for those who wait, one
    /// round of each consumer something has changed for.
    pub fn deliver(&mut self, now: Timestamp, around: &mut dyn Surroundings) {
        self.consumers
            .deliver(now, &self.index, around, &mut self.outputs);
    }

    /// Tells whether [`Stream::deliver`] has more to do right away.
    pub fn has_ready(&self) -> bool {
        self.consumers.has_ready()
    }

    /// Takes the next effect; they are to be carried out in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

/// The transform by which messages are published again; the configuration is checked.
fn republish_of(config: &StreamConfig) -> Option<SubjectTransform> {
    config.republish.as_ref()?.parse().ok()
}

#[cfg(test)]
mod shadow_tests;
#[cfg(test)]
mod tests;
