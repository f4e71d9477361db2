//! What others may ask a stream. Nothing here changes it.

use std::ops::RangeInclusive;

use hitherto_protocol::{SubjectFilter, Timestamp};

use super::Stream;
use crate::api::{ConsumerInfo, LostMessages, StreamInfo, StreamState};
use crate::command::Control;
use crate::consumer::Consumer;
use crate::index::Selection;
use crate::{LogIndex, StreamConfig, StreamSeq};

impl Stream {
    /// Tells whether sequences may have been given out that are not safe from a power cut: the node
    /// acknowledges before it syncs, or has ended while it did.
    pub fn is_relaxed(&self) -> bool {
        self.relaxed
    }

    /// What says that a node owns the stream from now on: acks go before the sync or not, and sequences that
    /// may be lost are left out. `None` when there is nothing to say.
    pub fn durability_to_resume(&self) -> Option<Control> {
        let last = self.index.last_seq().0;
        self.relaxed.then(|| Control::Durability {
            relaxed: self.config.is_relaxed(),
            skip_to: Some(StreamSeq(last.saturating_add(Self::UNSYNCED_SEQS_MAX))),
        })
    }

    /// The configuration in force.
    pub fn config(&self) -> &StreamConfig {
        &self.config
    }

    /// When the stream was created; together with its name this tells it from one of the same name
    /// before.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// The last entry applied.
    pub fn applied(&self) -> LogIndex {
        self.applied
    }

    /// The state as the API shows it, without lists of subjects or deleted messages.
    pub fn state(&self) -> StreamState {
        let messages = self.index.messages();
        let last = self.index.last_seq();
        let first = match messages {
            // nats-server says 0 of a stream nothing was ever stored in, unless its configuration
            // names the first sequence.
            0 if last.0 == 0 && self.config.first_seq == 0 => StreamSeq(0),
            _ => self.index.first_seq(),
        };
        StreamState {
            messages,
            bytes: self.index.bytes(),
            first_seq: first.0,
            first_ts: self.index.first_at().unwrap_or(Timestamp::ZERO),
            last_seq: last.0,
            last_ts: self.last_at,
            num_subjects: self.index.subjects(),
            num_deleted: (last.0 + 1)
                .saturating_sub(self.index.first_seq().0)
                .saturating_sub(messages),
            consumer_count: self.consumers.len(),
            ..StreamState::default()
        }
    }

    /// The stream as the API shows it; `now` is the time of the answer.
    pub fn info(&self, now: Timestamp) -> StreamInfo {
        StreamInfo {
            config: self.config.clone(),
            created: self.created,
            state: self.state(),
            cluster: None,
            ts: now,
            did_create: false,
        }
    }

    /// About how much memory the index of the messages takes, in bytes.
    pub fn index_bytes(&self) -> u64 {
        self.index.memory_bytes()
    }

    /// The sequences deleted between the first and the last message, ascending.
    pub fn deleted(&self) -> impl Iterator<Item = StreamSeq> {
        self.index.holes()
    }

    /// The subjects that match, ascending, with their message counts.
    pub fn subjects(&self, filter: &SubjectFilter) -> Vec<(String, u64)> {
        self.index.subjects_matching(filter)
    }

    /// The newest message whose subject matches.
    pub fn last_by_filter(&self, filter: &SubjectFilter) -> Option<StreamSeq> {
        self.index.last(filter)
    }

    /// The newest message of each subject that matches, ascending.
    pub fn last_per_subject(&self, selection: &Selection) -> Vec<StreamSeq> {
        self.index.last_per_subject(selection)
    }

    /// The newest message of each subject that matches, of those not above `upto`, ascending.
    pub fn last_per_subject_upto(&self, selection: &Selection, upto: StreamSeq) -> Vec<StreamSeq> {
        self.index.last_per_subject_upto(selection, upto)
    }

    /// The first message at or after `from` whose subject matches.
    pub fn next_match(&self, from: StreamSeq, selection: &Selection) -> Option<StreamSeq> {
        self.index.next(from, selection)
    }

    /// How many messages at or after `from` match.
    pub fn count_matches(&self, from: StreamSeq, selection: &Selection) -> u64 {
        self.index.count(from, selection)
    }

    /// The first message stored at `at` or later; one past the last when there is none.
    pub fn seq_at_time(&self, at: Timestamp) -> StreamSeq {
        self.index.at_time(at)
    }

    /// Tells whether the message is there.
    pub fn contains(&self, seq: StreamSeq) -> bool {
        self.index.contains(seq)
    }

    /// The messages within these ranges of sequences; `None` when there are none.
    pub fn messages_in(
        &self,
        ranges: impl IntoIterator<Item = RangeInclusive<u64>>,
    ) -> Option<LostMessages> {
        let mut found = LostMessages::default();
        for seq in ranges.into_iter().flatten() {
            if let Some(entry) = self.index.get(StreamSeq(seq)) {
                found.bytes += entry.bytes;
                if found.msgs.len() < LostMessages::LISTED_MAX {
                    found.msgs.push(seq);
                }
            }
        }
        (!found.msgs.is_empty()).then_some(found)
    }

    /// The sequence of the newest message ever stored.
    pub fn last_seq(&self) -> StreamSeq {
        self.index.last_seq()
    }

    /// A consumer by name.
    pub fn consumer(&self, name: &str) -> Option<&Consumer> {
        self.consumers.get(name)
    }

    /// The consumers, by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.consumers.values()
    }

    /// A consumer as the API shows it; `now` is the time of the answer.
    pub fn consumer_info(&self, name: &str, now: Timestamp) -> Option<ConsumerInfo> {
        Some(self.consumers.get(name)?.info(now))
    }
}
