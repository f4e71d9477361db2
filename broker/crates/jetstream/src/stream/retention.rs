//! What goes from a stream because its consumers have dealt with it (retention `interest` and
//! `workqueue`).
//!
//! Decided from the replicated state of the consumers when their records are applied, so every
//! replica removes the same messages at the same place of the log. Limits apply as well.

use hitherto_protocol::SubjectFilter;

use super::Stream;
use crate::api::ApiError;
use crate::command::PutConsumer;
use crate::index::Selection;
use crate::{AckPolicy, DeliverPolicy, Retention, StreamSeq};

impl Stream {
    /// Tells whether a message of this subject is kept at all. Without a consumer that wants it a
    /// stream with retention `interest` acknowledges it and counts on (`server/stream.go` of
    /// nats-server 2.15, `processJetStreamMsg`).
    pub(super) fn has_interest(&self, subject: &str) -> bool {
        match self.config.retention {
            Retention::Limits | Retention::WorkQueue => true,
            Retention::Interest => self.consumers.recorded().any(|one| one.selects(subject)),
        }
    }

    /// A consumer is done with these messages: removes those nobody else needs.
    pub(super) fn release(&mut self, done: impl IntoIterator<Item = StreamSeq>) {
        match self.config.retention {
            Retention::Limits => {}
            Retention::WorkQueue => done.into_iter().for_each(|seq| self.remove(seq)),
            Retention::Interest => {
                for seq in done {
                    if !self.is_needed(seq) {
                        self.remove(seq);
                    }
                }
            }
        }
    }

    /// Removes what nobody needs among the messages a consumer selected that does not any more.
    pub(super) fn release_selected(&mut self, selection: &Selection) {
        if self.config.retention == Retention::Interest {
            self.release(self.index.selected(selection, None));
        }
    }

    /// The stream has retention `interest` from now on: removes what its consumers have dealt with,
    /// and everything when it has none, as nats-server 2.15 does.
    pub(super) fn release_all(&mut self) {
        let consumers = self.consumers.recorded();
        let mut selections: Vec<_> = consumers.map(|one| one.selection().clone()).collect();
        if selections.is_empty() {
            selections.push(Selection::all());
        }
        for selection in &selections {
            self.release_selected(selection);
        }
    }

    /// Tells whether a consumer still has to deliver the message, or waits for its acknowledgement.
    fn is_needed(&self, seq: StreamSeq) -> bool {
        let mut needing = self.consumers.recorded().filter(|one| one.needs(seq));
        let Some(first) = needing.next() else {
            return false;
        };
        let Some(subject) = self.index.subject(seq) else {
            return false;
        };
        first.selects(subject.as_str()) || needing.any(|one| one.selects(subject.as_str()))
    }

    /// In a work queue every message has one consumer at most, which acknowledges it by itself: no two may select the
    /// same subject, and none may begin in the middle.
    ///
    /// # Errors
    /// 10098 for another ack policy, 10101 for another deliver policy, then 10099 when one of two consumers has no
    /// filter and 10100 when both have.
    pub(super) fn check_queue_consumer(&self, put: &PutConsumer) -> Result<(), ApiError> {
        if self.config.retention != Retention::WorkQueue {
            return Ok(());
        }
        if matches!(put.config.ack_policy, AckPolicy::None | AckPolicy::All) {
            return Err(ApiError::consumer_queue_requires_explicit_ack());
        }
        if put.config.deliver_policy != DeliverPolicy::All {
            return Err(ApiError::consumer_queue_not_deliver_all());
        }
        let mut others = self.consumers.recorded();
        let filters = put.config.subject_filters();
        let clashes = others.any(|other| {
            other.name() != put.name && overlaps(&filters, &other.config().subject_filters())
        });
        match (clashes, filters.is_empty()) {
            (false, _) => Ok(()),
            (true, true) => Err(ApiError::consumer_queue_not_filtered()),
            (true, false) => Err(ApiError::consumer_queue_not_unique()),
        }
    }
}

/// No filter at all selects everything.
fn overlaps(some: &[SubjectFilter], others: &[SubjectFilter]) -> bool {
    let meets = |one: &SubjectFilter| others.iter().any(|other| other.overlaps(one));
    some.is_empty() || others.is_empty() || some.iter().any(meets)
}
