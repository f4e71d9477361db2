//! The conditions in a message's headers, checked against the state the message would join.
//!
//! Order and texts follow nats-server 2.15 `server/stream.go`, `processJetStreamMsg`.
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
    pub(super) fn filter_is_written(
        &self,
        subject: &Subject,
        written: &HashSet<&str>,
    ) -> Result<bool, ApiError> {
        match self.last_subject_seq_subject {
            None => Ok(written.contains(subject.as_str())),
            Some(filter) => {
                let filter = parse_filter(filter)?;
                Ok(written.iter().any(|subject| filter.matches(subject)))
            }
        }
    }
}

impl Stream {
    /// Checks what a message expects. `place` is how many messages come before it in its batch: the
    /// last sequence of the stream counts them, everything else is the state before the batch.
    pub(super) fn check_expectations(
        &self,
        expected: &Expectations<'_>,
        subject: &Subject,
        place: u64,
    ) -> Result<(), ApiError> {
        if expected.stream.is_some_and(|name| name != self.config.name) {
            return Err(ApiError::expected_stream_mismatch());
        }
        if let Some(ttl) = expected.ttl {
            if !self.config.allow_msg_ttl {
                return Err(ApiError::message_ttl_disabled());
            }
            parse_ttl(ttl).map_err(|_| ApiError::message_ttl_invalid())?;
        }
        if let Some(id) = expected.last_msg_id
            && self.last_msg_id.as_deref() != Some(id)
        {
            let last = self.last_msg_id.as_deref().unwrap_or_default();
            return Err(ApiError::wrong_last_msg_id(last));
        }
        if let Some(last) = expected.last_seq {
            let before = self.index.last_seq().0.saturating_add(place);
            expect_seq(last, StreamSeq(before))?;
        }
        self.check_subject_expectation(expected, subject)
    }

    fn check_subject_expectation(
        &self,
        expected: &Expectations<'_>,
        subject: &Subject,
    ) -> Result<(), ApiError> {
        let last = match (expected.last_subject_seq, expected.last_subject_seq_subject) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(ApiError::expected_subject_sequence_missing()),
            (Some(last), None) => {
                return expect_seq(
                    last,
                    self.index.last_on(subject.as_str()).unwrap_or_default(),
                );
            }
            (Some(last), Some(filter)) => (last, parse_filter(filter)?),
        };
        expect_seq(last.0, self.index.last(&last.1).unwrap_or_default())
    }
}

fn parse_filter(filter: &str) -> Result<SubjectFilter, ApiError> {
    SubjectFilter::new(filter.to_owned()).map_err(|_| ApiError::expected_subject_sequence_missing())
}

fn expect_seq(expected: &str, actual: StreamSeq) -> Result<(), ApiError> {
    if expected.parse() == Ok(actual.0) {
        Ok(())
    } else {
        Err(ApiError::wrong_last_sequence(actual))
    }
}
