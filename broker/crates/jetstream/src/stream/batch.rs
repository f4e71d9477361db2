//! Atomic batches: all messages with consecutive sequences, or none (ADR-50).

use std::collections::HashSet;

use super::Stream;
use super::expectations::{Expectations, header};
use crate::api::ApiError;
use crate::command::Append;
use crate::output::Stored;

impl Stream {
    /// Messages of one batch at most, as nats-server 2.15.
    pub const BATCH_MESSAGES_MAX: usize = 1_000;

    pub(super) fn append_batch(&mut self, batch: Vec<Append>) -> Result<Stored, ApiError> {
        let Some(last) = batch.last() else {
            return Err(ApiError::atomic_publish_incomplete());
        };
        self.check_open()?;
        self.expire(last.at);
        let id = batch_id(&batch);
        let count = batch.len() as u64;
        let msg_ids = self.check_batch(&batch)?;
        let mut seq = self.index.last_seq();
        for (append, msg_id) in batch.into_iter().zip(msg_ids) {
            seq = self.store(append, msg_id);
        }
        Ok(Stored {
            batch: id,
            count: Some(count),
            ..Stored::single(seq, false)
        })
    }

    /// Checks every message against the state before the batch; returns their message ids.
    fn check_batch(&self, batch: &[Append]) -> Result<Vec<Option<String>>, ApiError> {
        if batch.len() > Self::BATCH_MESSAGES_MAX {
            return Err(ApiError::atomic_publish_too_large(batch.len() as u64));
        }
        let mut subjects = HashSet::new();
        let mut seen = HashSet::new();
        let mut msg_ids = Vec::with_capacity(batch.len());
        for (place, append) in batch.iter().enumerate() {
            let expected = Expectations::read(append.headers.as_ref())?;
            if let Some(id) = expected.msg_id
                && (!seen.insert(id) || self.dedupe.get(id, append.at).is_some())
            {
                return Err(ApiError::atomic_publish_duplicate_id());
            }
            if expected.last_msg_id.is_some() {
                return Err(ApiError::atomic_publish_unsupported_header(
                    header::EXPECTED_LAST_MSG_ID,
                ));
            }
            if expected.last_seq.is_some() && place > 0 {
                return Err(ApiError::atomic_publish_unsupported_header(
                    header::EXPECTED_LAST_SEQUENCE,
                ));
            }
            if expected.last_subject_seq.is_some()
                && expected.filter_is_written(&append.subject, &subjects)?
            {
                return Err(ApiError::wrong_last_sequence_in_process());
            }
            self.check_expectations(&expected, &append.subject)?;
            subjects.insert(append.subject.as_str());
            msg_ids.push(expected.msg_id.map(str::to_owned));
        }
        self.check_batch_limits(batch)?;
        Ok(msg_ids)
    }
}

fn batch_id(batch: &[Append]) -> Option<String> {
    let headers = batch.first()?.headers.as_ref()?;
    headers.get(header::BATCH_ID).map(str::to_owned)
}
