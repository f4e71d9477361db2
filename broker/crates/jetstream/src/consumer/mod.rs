//! A consumer: one reader's place in a stream, and what it has been given and has not answered for.
//!
//! | file | noun |
//! |---|---|
//! | `mod` | [`Consumer`]: creation, configuration, what it shows of itself |
//! | `progress` | deliveries and settlements: those of the log, and the owner's ahead of it |
//! | `unreadable` | messages that cannot be read when it is their turn |
//! | `unrecorded` | deliveries on their way into the log, and lost records |
//! | `start` | where a deliver policy begins |
//! | `deliver` | a round of deliveries, whoever takes them |
//! | `pull` | waiting pull requests |
//! | `push` | the deliver subject: interest, flow control, heartbeats |
//! | `keys` | at most one message in flight for each key |
//! | `pace` | how fast messages may go |
//! | `ack` | what clients say about deliveries |
//! | `settling` | what they said, on its way into the log |
//! | `deadlines` | when an unanswered delivery is given again |
//! | `timers` | what is due |
//! | `reset` | pausing, beginning anew |
//! | `advisory` | what it tells the world about itself |
//!
//! The owner delivers first and records afterwards. What it has delivered stands in `progress`; what has
//! come out of the log stands in `recorded`, on the owner as on every replica, and only
//! [`Consumer::apply_delivered`] and [`Consumer::apply_settled`] change it. A snapshot has `recorded`, and
//! what goes from the stream depends on `recorded`: a replay of the log makes the same of it. After a
//! crash a delivery that was not recorded happens again; none is lost.

mod ack;
mod advisory;
mod deadlines;
mod deliver;
mod keys;
mod lease;
mod pace;
mod progress;
mod pull;
mod push;
mod reset;
mod settling;
mod start;
mod timers;
mod unreadable;
mod unrecorded;

use std::collections::VecDeque;
use std::time::Duration;

use hitherto_protocol::{SubjectFilter, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::ack::Ack;
use self::deadlines::Deadlines;
use self::deliver::Round;
use self::keys::Keys;
use self::pace::Pace;
use self::progress::Progress;
pub use self::pull::PullRequest;
use self::pull::Waiting;
use self::push::Push;
use self::settling::Settling;
use self::unrecorded::Unrecorded;
use crate::api::{ApiError, ConsumerInfo, SequenceInfo};
use crate::command::PutConsumer;
#[cfg(doc)]
use crate::command::Settled;
use crate::index::{Index, Selection};
use crate::output::{ConsumerKey, Output};
use crate::{AckPolicy, ConsumerConfig, StreamSeq};

/// A consumer of one stream.
#[derive(Debug)]
pub struct Consumer {
    stream: String,
    name: String,
    config: ConsumerConfig,
    created: Timestamp,
    /// Tells it from other consumers of the same name, see [`Settled::incarnation`]. 0 when it lives in
    /// memory alone, see [`Consumer::is_volatile`].
    incarnation: u64,
    selection: Selection,
    /// What the log says; see the module. Empty for a consumer that lives in memory alone.
    recorded: Progress,
    /// From here on the owner's alone.
    progress: Progress,
    unrecorded: Unrecorded,
    key: ConsumerKey,
    waiting: Waiting,
    /// `None` of a pull consumer.
    push: Option<Push>,
    /// `None` when messages are not kept in order by key.
    keys: Option<Keys>,
    deadlines: Deadlines,
    settling: Settling,
    round: Round,
    pace: Pace,
    /// `$JS.ACK.<stream>.<consumer>.`
    ack_prefix: String,
    /// The share of acknowledgements that is reported.
    sampled_percent: u64,
    /// Nothing up to here is left for a first delivery: a search that found nothing is not made again.
    searched: StreamSeq,
    /// When a client last asked or answered; an unused ephemeral goes.
    active_at: Timestamp,
    /// When the pause ends of which an advisory is to tell.
    pause_ends_at: Option<Timestamp>,
    /// Nothing is delivered before, since a receiver has too much waiting or the disk cannot be read.
    held_until: Option<Timestamp>,
    /// How long it waited after the last read, which failed.
    read_pause: Option<Duration>,
    /// The log was asked to remove this consumer.
    leaving: bool,
}

/// A consumer in the form that is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConsumerSnapshot {
    name: String,
    config: ConsumerConfig,
    created: Timestamp,
    incarnation: u64,
    progress: Progress,
}

impl Consumer {
    pub(crate) fn new(
        stream: &str,
        incarnation: u64,
        put: PutConsumer,
        index: &Index,
    ) -> Result<Self, ApiError> {
        let selection = selection_of(&put.config)?;
        let progress = start::progress(&put.config, &selection, index);
        let snapshot = ConsumerSnapshot {
            name: put.name,
            config: *put.config,
            created: put.at,
            incarnation,
            progress,
        };
        let mut consumer = Self::with(stream, snapshot, selection);
        consumer.watch_pause(put.at);
        Ok(consumer)
    }

    pub(crate) fn restore(stream: &str, snapshot: ConsumerSnapshot) -> Self {
        let selection = selection_of(&snapshot.config)
            .expect("the filters were checked before the configuration was stored");
        Self::with(stream, snapshot, selection)
    }

    fn with(stream: &str, snapshot: ConsumerSnapshot, selection: Selection) -> Self {
        let ConsumerSnapshot {
            name,
            config,
            created,
            incarnation,
            progress,
        } = snapshot;
        Self {
            stream: stream.to_owned(),
            ack_prefix: format!("$JS.ACK.{stream}.{name}."),
            push: Push::new(&config),
            keys: config.ordered_by().map(Keys::new),
            sampled_percent: config.sampled_percent(),
            name,
            config,
            created,
            incarnation,
            selection,
            recorded: if incarnation == 0 {
                Progress::default()
            } else {
                progress.clone()
            },
            progress,
            unrecorded: Unrecorded::default(),
            key: ConsumerKey::default(),
            waiting: Waiting::default(),
            deadlines: Deadlines::default(),
            settling: Settling::default(),
            round: Round::default(),
            pace: Pace::default(),
            searched: StreamSeq::default(),
            active_at: created,
            pause_ends_at: None,
            held_until: None,
            read_pause: None,
            leaving: false,
        }
    }

    /// Its name, unique in the stream.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The configuration in force.
    pub fn config(&self) -> &ConsumerConfig {
        &self.config
    }

    /// Tells it from other consumers of the same name in records.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// It lives in the memory of its owner alone: no record tells of it, and it ends with the process.
    pub(crate) fn is_volatile(&self) -> bool {
        self.incarnation == 0
    }

    pub(crate) fn set_key(&mut self, key: ConsumerKey) {
        self.key = key;
    }

    /// The consumer as the API shows it; `now` is the time of the answer.
    pub fn info(&self, now: Timestamp) -> ConsumerInfo {
        let progress = &self.progress;
        let pause = self.config.pause_until.filter(|until| *until > now);
        ConsumerInfo {
            stream_name: self.stream.clone(),
            name: self.name.clone(),
            created: self.created,
            config: self.config.clone(),
            delivered: SequenceInfo {
                consumer_seq: progress.delivered.consumer_seq.0,
                stream_seq: progress.delivered.stream_seq.0,
                last_active: progress.last_delivered_at,
            },
            ack_floor: SequenceInfo {
                consumer_seq: progress.ack_floor.consumer_seq.0,
                stream_seq: progress.ack_floor.stream_seq.0,
                last_active: progress.last_acked_at,
            },
            num_ack_pending: progress.pending.len() as u64,
            num_redelivered: progress.redelivered(),
            num_waiting: self.waiting.len() as u64,
            num_pending: progress.undelivered,
            cluster: None,
            push_bound: self.is_bound(),
            paused: pause.is_some(),
            pause_remaining: pause.map(|until| until.saturating_duration_since(now)),
            ts: now,
        }
    }

    /// Tells whether putting this configuration would change nothing.
    pub(crate) fn has_config(&self, config: &ConsumerConfig) -> bool {
        self.config == *config
    }

    /// Has it live on no more nodes than its stream.
    pub(crate) fn limit_replicas(&mut self, max: u32) {
        let max = i32::try_from(max).unwrap_or(i32::MAX);
        self.config.num_replicas = self.config.num_replicas.min(max);
    }

    /// Puts a configuration in force whose change was allowed.
    pub(crate) fn reconfigure(&mut self, config: ConsumerConfig, index: &Index, at: Timestamp) {
        if let Ok(selection) = selection_of(&config) {
            self.selection = selection;
        }
        if self.config.deliver_subject != config.deliver_subject
            || self.config.deliver_group != config.deliver_group
        {
            self.push = Push::new(&config);
        }
        self.sampled_percent = config.sampled_percent();
        self.config = config;
        self.watch_pause(at);
        self.searched = StreamSeq::default();
        self.active_at = at;
        self.progress.count_undelivered(&self.selection, index);
        if !self.is_volatile() {
            self.recorded.count_undelivered(&self.selection, index);
        }
    }

    /// What is known for good: the owner's alone, when no record tells of it.
    fn known(&self) -> &Progress {
        if self.is_volatile() {
            &self.progress
        } else {
            &self.recorded
        }
    }

    /// Tells whether the consumer delivers the messages of this subject.
    pub(crate) fn selects(&self, subject: &str) -> bool {
        self.selection.matches(subject)
    }

    /// What its filters select.
    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// A message that matches was appended. Returns whether somebody takes it.
    pub(crate) fn message_added(&mut self, seq: StreamSeq) -> bool {
        if seq < self.progress.live_from {
            return false;
        }
        self.progress.undelivered += 1;
        self.recorded.undelivered += 1;
        !self.waiting.is_empty() || self.is_bound()
    }

    /// A message that matches was removed from the stream. Nobody can acknowledge it any more, so it does
    /// not count as awaiting that: otherwise it could hold others up until its ack wait has passed.
    pub(crate) fn message_removed(&mut self, seq: StreamSeq, subject: &str) {
        let is_ordered = self.keys.is_some();
        self.recorded.message_removed(seq, is_ordered);
        if let Some(pending) = self.progress.message_removed(seq, is_ordered) {
            self.forget_pending(seq, pending);
        }
        if let Some(keys) = &mut self.keys {
            keys.removed(seq, subject);
        }
    }

    pub(crate) fn snapshot(&self) -> ConsumerSnapshot {
        ConsumerSnapshot {
            name: self.name.clone(),
            config: self.config.clone(),
            created: self.created,
            incarnation: self.incarnation,
            progress: self.recorded.clone(),
        }
    }

    /// Begins to own the consumer: deliveries of the owner before get their full ack wait from `now`.
    pub(crate) fn resume(&mut self, now: Timestamp, index: &Index) {
        if !self.is_volatile() {
            self.progress = self.recorded.clone();
            self.unrecorded = Unrecorded::default();
            self.round = Round::default();
            self.settling = Settling::default();
        }
        if let Some(keys) = &mut self.keys {
            keys.rebuild(&self.progress, index);
        }
        self.active_at = now;
        self.watch_pause(now);
        self.deadlines = Deadlines::default();
        let waits: Vec<_> = self
            .progress
            .pending
            .values()
            .map(|pending| self.ack_wait(pending.deliveries))
            .collect();
        for ((seq, pending), wait) in self.progress.pending.iter_mut().zip(waits) {
            pending.lease.sent_at = now;
            let due = now.saturating_add(wait);
            self.deadlines.set(*seq, &mut pending.lease, due);
        }
    }

    /// Ceases to own the consumer: those who wait ask the owner after this one.
    pub(crate) fn stand_down(&mut self, out: &mut VecDeque<Output>) {
        // As nats-server 2.15 says it; clients ask again at once.
        self.end_requests("Leadership Change", out);
        if let Some(push) = &mut self.push {
            push.is_bound = false;
            push.next_heartbeat = None;
            let consumer = self.name.clone();
            out.push_back(Output::Unwatch { consumer });
        }
        // What was delivered and not recorded is delivered again.
        self.searched = StreamSeq::default();
        self.pace = Pace::default();
        self.held_until = None;
        self.read_pause = None;
        self.leaving = false;
        self.pause_ends_at = None;
    }

    pub(crate) fn needs_acks(&self) -> bool {
        self.config.ack_policy != AckPolicy::None
    }

    /// Tells of the end of the pause when it comes.
    fn watch_pause(&mut self, now: Timestamp) {
        self.pause_ends_at = self.config.pause_until.filter(|until| *until > now);
    }

    pub(crate) fn is_paused(&self, now: Timestamp) -> bool {
        self.config.pause_until.is_some_and(|until| until > now)
    }
}

fn selection_of(config: &ConsumerConfig) -> Result<Selection, ApiError> {
    let filters: Result<Vec<_>, _> = config
        .filters()
        .into_iter()
        .map(|filter| SubjectFilter::new(filter.to_owned()))
        .collect();
    filters
        .map(Selection::new)
        .map_err(|error| ApiError::consumer_invalid(&error.to_string()))
}
