//! A consumer: one reader's place in a stream, and what it has been given and has not answered for.
//!
//! | file | noun |
//! |---|---|
//! | `mod` | [`Consumer`]: creation, configuration, what it shows of itself |
//! | `progress` | the replicated part: deliveries and settlements |
//! | `start` | where a deliver policy begins |
//! | `pull` | waiting pull requests |
//! | `deliver` | giving messages to waiting requests |
//! | `ack` | what clients say about deliveries, and what is due |
//! | `deadlines` | when an unanswered delivery is given again |
//!
//! Only [`Consumer::apply_delivered`] and [`Consumer::apply_settled`] change the replicated part on
//! every replica. The owner delivers first and records afterwards: its own record then finds the
//! change made. After a crash a delivery that was not recorded happens again; none is lost.

mod ack;
mod deadlines;
mod deliver;
mod progress;
mod pull;
mod start;

use hitherto_protocol::{SubjectFilter, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::ack::Ack;
use self::deadlines::Deadlines;
use self::progress::Progress;
pub use self::pull::PullRequest;
use self::pull::Waiting;
use crate::api::{ApiError, ConsumerInfo, SequenceInfo};
use crate::command::PutConsumer;
#[cfg(doc)]
use crate::command::Settled;
use crate::index::{Index, Selection};
use crate::{AckPolicy, ConsumerConfig, StreamSeq};

/// A consumer of one stream.
#[derive(Debug)]
pub struct Consumer {
    stream: String,
    name: String,
    config: ConsumerConfig,
    created: Timestamp,
    /// Tells it from other consumers of the same name, see [`Settled::incarnation`].
    incarnation: u64,
    selection: Selection,
    /// Replicated; see the module.
    progress: Progress,
    /// From here on the owner's alone.
    waiting: Waiting,
    deadlines: Deadlines,
    /// Nothing up to here is left for a first delivery: a search that found nothing is not made again.
    searched: StreamSeq,
    /// When a client last asked or answered; an unused ephemeral goes.
    active_at: Timestamp,
    /// Something has changed since the last [`Consumer::deliver`] that may allow a delivery.
    ready: bool,
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
        Ok(Self {
            stream: stream.to_owned(),
            name: put.name,
            config: *put.config,
            created: put.at,
            incarnation,
            selection,
            progress,
            waiting: Waiting::default(),
            deadlines: Deadlines::default(),
            searched: StreamSeq::default(),
            active_at: put.at,
            ready: true,
            leaving: false,
        })
    }

    /// Its name, unique in the stream.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The configuration in force.
    pub fn config(&self) -> &ConsumerConfig {
        &self.config
    }

    /// The consumer as the API shows it; `now` is the time of the answer.
    pub fn info(&self, now: Timestamp) -> ConsumerInfo {
        ConsumerInfo {
            stream_name: self.stream.clone(),
            name: self.name.clone(),
            created: self.created,
            config: self.config.clone(),
            delivered: SequenceInfo {
                consumer_seq: self.progress.delivered.consumer_seq.0,
                stream_seq: self.progress.delivered.stream_seq.0,
                last_active: self.progress.last_delivered_at,
            },
            ack_floor: SequenceInfo {
                consumer_seq: self.progress.ack_floor.consumer_seq.0,
                stream_seq: self.progress.ack_floor.stream_seq.0,
                last_active: self.progress.last_acked_at,
            },
            num_ack_pending: self.progress.pending.len() as u64,
            num_redelivered: self.progress.redelivered(),
            num_waiting: self.waiting.len() as u64,
            num_pending: self.progress.undelivered,
            cluster: None,
            ts: now,
        }
    }

    /// Tells whether putting this configuration would change nothing.
    pub(crate) fn has_config(&self, config: &ConsumerConfig) -> bool {
        self.config == *config
    }

    /// Puts a configuration in force whose change was allowed.
    pub(crate) fn reconfigure(&mut self, config: ConsumerConfig, index: &Index, at: Timestamp) {
        if let Ok(selection) = selection_of(&config) {
            self.selection = selection;
        }
        self.config = config;
        self.searched = StreamSeq::default();
        self.active_at = at;
        self.ready = true;
        let from = self.progress.delivered.stream_seq.next();
        self.progress.undelivered = index.count(from.max(self.progress.live_from), &self.selection)
            + self.progress.initial.len() as u64;
    }

    /// Tells whether the consumer delivers the messages of this subject.
    pub(crate) fn selects(&self, subject: &str) -> bool {
        self.selection.matches(subject)
    }

    /// What its filters select.
    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// A message was appended.
    pub(crate) fn message_added(&mut self, seq: StreamSeq, subject: &str) {
        if seq >= self.progress.live_from && self.selection.matches(subject) {
            self.progress.undelivered += 1;
            self.ready = true;
        }
    }

    /// A message was removed from the stream.
    pub(crate) fn message_removed(&mut self, seq: StreamSeq, subject: &str) {
        if self
            .progress
            .forget_undelivered(seq, || self.selection.matches(subject))
        {
            self.ready = true;
        }
    }

    pub(crate) fn snapshot(&self) -> ConsumerSnapshot {
        ConsumerSnapshot {
            name: self.name.clone(),
            config: self.config.clone(),
            created: self.created,
            incarnation: self.incarnation,
            progress: self.progress.clone(),
        }
    }

    pub(crate) fn restore(stream: &str, snapshot: ConsumerSnapshot) -> Self {
        let selection = selection_of(&snapshot.config)
            .expect("the filters were checked before the configuration was stored");
        Self {
            stream: stream.to_owned(),
            name: snapshot.name,
            config: snapshot.config,
            created: snapshot.created,
            incarnation: snapshot.incarnation,
            selection,
            progress: snapshot.progress,
            waiting: Waiting::default(),
            deadlines: Deadlines::default(),
            searched: StreamSeq::default(),
            active_at: snapshot.created,
            ready: true,
            leaving: false,
        }
    }

    /// Begins to own the consumer: deliveries of the owner before get their full ack wait from `now`.
    pub(crate) fn resume(&mut self, now: Timestamp) {
        self.active_at = now;
        self.ready = true;
        self.deadlines = Deadlines::default();
        let pending: Vec<_> = self
            .progress
            .pending
            .iter()
            .map(|(seq, pending)| (*seq, pending.deliveries))
            .collect();
        for (seq, deliveries) in pending {
            self.deadlines
                .set(seq, now.saturating_add(self.ack_wait(deliveries)));
        }
    }

    fn needs_acks(&self) -> bool {
        self.config.ack_policy != AckPolicy::None
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
