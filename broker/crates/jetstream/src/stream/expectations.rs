//! The conditions in a message's headers, checked against the state the message would join.
//!
//! Order and texts follow nats-server 2.15 `server/stream.go`, `processJetStreamMsg` for single messages
//! and `checkMsgHeadersPreClusteredProposal` for batches, asked on the running server.
//! Differs from nats-server: the duplicate window is asked first, also on one replica, so that the
//! retry of an append that was committed gets its first acknowledgement and not a conflict.

use std::collections::HashSet;

use hitherto_protocol::{Headers, Subject, SubjectFilter};

use super::Stream;
use crate::StreamSeq;
use crate::api::ApiError;
use crate::lifetime::{TTL, parse_ttl};

/// Header names, case-sensitive as on nats-server.
pub(super) mod header {
    pub(crate) const MSG_ID: &str = "Nats-Msg-Id";
    pub(crate) const EXPECTED_STREAM: &str = "Nats-Expected-Stream";
    pub(crate) const EXPECTED_LAST_MSG_ID: &str = "Nats-Expected-Last-Msg-Id";
    pub(crate) const EXPECTED_LAST_SEQUENCE: &str = "Nats-Expected-Last-Sequence";
    pub(crate) const EXPECTED_LAST_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
    pub(crate) const EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT: &str =
        "Nats-Expected-Last-Subject-Sequence-Subject";
    pub(crate) const BATCH_ID: &str = "Nats-Batch-Id";
    pub(crate) const ROLLUP: &str = "Nats-Rollup";
    pub(crate) const INCREMENT: &str = "Nats-Incr";
    pub(crate) const SCHEDULE: &str = "Nats-Schedule";
}

/// What a message expects of the stream.
#[derive(Debug, Default)]
pub(super) struct Expectations<'a> {
    pub(super) msg_id: Option<&'a str>,
    pub(super) last_msg_id: Option<&'a str>,
    pub(super) last_seq: Option<&'a str>,
    pub(super) last_subject_seq: Option<&'a str>,
    pub(super) rollup: Option<&'a str>,
    ttl: Option<&'a str>,
    stream: Option<&'a str>,
    last_subject_seq_subject: Option<&'a str>,
}

impl<'a> Expectations<'a> {
    /// Reads the headers once.
    ///
    /// # Errors
    /// When a header asks for a feature no stream of this version has.
    pub(super) fn read(headers: Option<&'a Headers>) -> Result<Self, ApiError> {
        let mut read = Self::default();
        let Some(headers) = headers else {
            return Ok(read);
        };
        for (name, value) in headers.iter() {
            if !name.starts_with("Nats-") || value.is_empty() {
                continue;
            }
            let place = match name {
                header::MSG_ID => &mut read.msg_id,
                header::EXPECTED_STREAM => &mut read.stream,
                header::EXPECTED_LAST_MSG_ID => &mut read.last_msg_id,
                header::EXPECTED_LAST_SEQUENCE => &mut read.last_seq,
                header::EXPECTED_LAST_SUBJECT_SEQUENCE => &mut read.last_subject_seq,
                header::EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT => {
                    &mut read.last_subject_seq_subject
                }
                header::ROLLUP => &mut read.rollup,
                TTL => &mut read.ttl,
                header::INCREMENT => return Err(ApiError::message_counter_disabled()),
                header::SCHEDULE => return Err(ApiError::message_schedules_disabled()),
                _ => continue,
            };
            // Of several headers with one name the first counts, as on nats-server.
            place.get_or_insert(value);
        }
        Ok(read)
    }

    /// Tells whether an earlier message of the same batch has written what the condition looks at.
    pub(super) fn filter_is_written(&self, subject: &Subject, written: &HashSet<&str>) -> bool {
        match self.last_subject_seq_subject {
            None => written.contains(subject.as_str()),
            Some(filter) => parse_filter(filter)
                .is_some_and(|filter| written.iter().any(|subject| filter.matches(subject))),
        }
    }

    /// Refuses a lifetime that cannot be read.
    pub(super) fn check_lifetime(&self) -> Result<(), ApiError> {
        match self.ttl.map(parse_ttl) {
            Some(Err(_)) => Err(ApiError::message_ttl_invalid()),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Tells whether it names a lifetime that can be read.
    fn has_lifetime(&self) -> bool {
        self.ttl.is_some_and(|ttl| parse_ttl(ttl).is_ok())
    }
}

impl Stream {
    /// Checks what a message on its own expects.
    pub(super) fn check_expectations(
        &self,
        expected: &Expectations<'_>,
        subject: &Subject,
    ) -> Result<(), ApiError> {
        self.check_expected_stream(expected)?;
        if expected.has_lifetime() && !self.config.allow_msg_ttl {
            return Err(ApiError::message_ttl_disabled());
        }
        self.check_subject_expectation(expected, subject)?;
        self.check_last_seq(expected, 0)?;
        if let Some(id) = expected.last_msg_id
            && self.last_msg_id.as_deref() != Some(id)
        {
            let last = self.last_msg_id.as_deref().unwrap_or_default();
            return Err(ApiError::wrong_last_msg_id(last));
        }
        Ok(())
    }

    /// Checks what a message of a batch expects of the stream and says of its own lifetime.
    pub(super) fn check_batch_stream(&self, expected: &Expectations<'_>) -> Result<(), ApiError> {
        self.check_expected_stream(expected)?;
        if expected.ttl.is_some() && !self.config.allow_msg_ttl {
            return Err(ApiError::message_ttl_disabled());
        }
        expected.check_lifetime()
    }

    /// Checks what a message of a batch expects of the sequences. `place` is how many messages come
    /// before it, and `written` their subjects: the last sequence of the stream counts them, those of
    /// subjects are the state before the batch.
    pub(super) fn check_batch_sequences(
        &self,
        expected: &Expectations<'_>,
        subject: &Subject,
        place: u64,
        written: &HashSet<&str>,
    ) -> Result<(), ApiError> {
        self.check_last_seq(expected, place)?;
        if expected.last_subject_seq.is_some() && expected.filter_is_written(subject, written) {
            return Err(ApiError::wrong_last_sequence_in_process());
        }
        self.check_subject_expectation(expected, subject)
    }

    fn check_expected_stream(&self, expected: &Expectations<'_>) -> Result<(), ApiError> {
        match expected.stream {
            Some(name) if name != self.config.name => Err(ApiError::expected_stream_mismatch()),
            Some(_) | None => Ok(()),
        }
    }

    fn check_last_seq(&self, expected: &Expectations<'_>, place: u64) -> Result<(), ApiError> {
        match expected.last_seq {
            Some(last) => {
                let before = self.index.last_seq().0.saturating_add(place);
                expect_seq(last, StreamSeq(before))
            }
            None => Ok(()),
        }
    }

    fn check_subject_expectation(
        &self,
        expected: &Expectations<'_>,
        subject: &Subject,
    ) -> Result<(), ApiError> {
        let last = match (expected.last_subject_seq, expected.last_subject_seq_subject) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(ApiError::expected_subject_sequence_missing()),
            (Some(last), None) => (last, self.index.last_on(subject.as_str())),
            (Some(last), Some(filter)) => {
                let filter = parse_filter(filter);
                (last, filter.and_then(|filter| self.index.last(&filter)))
            }
        };
        expect_seq(last.0, last.1.unwrap_or_default())
    }
}

/// What is no filter matches nothing, as on nats-server.
fn parse_filter(filter: &str) -> Option<SubjectFilter> {
    SubjectFilter::new(filter.to_owned()).ok()
}

fn expect_seq(expected: &str, actual: StreamSeq) -> Result<(), ApiError> {
    if expected.parse() == Ok(actual.0) {
        Ok(())
    } else {
        Err(ApiError::wrong_last_sequence(actual))
    }
}
