//! Atomic batches: all messages with consecutive sequences, or none (ADR-50).

use std::collections::HashSet;

use super::Stream;
use super::expectations::{Expectations, header};
use super::rollup::Rollup;
use crate::api::ApiError;
use crate::command::Append;
use crate::output::Stored;

/// What storing a message of a batch needs of its headers.
struct Checked {
    msg_id: Option<String>,
    rollup: Option<Rollup>,
}

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
        let checked = self.check_batch(&batch)?;
        let mut seq = self.index.last_seq();
        for (append, checked) in batch.into_iter().zip(checked) {
            seq = self.store(append, checked.msg_id, checked.rollup);
        }
        Ok(Stored {
            batch: id,
            count: Some(count),
            ..Stored::single(seq, false)
        })
    }

    /// Checks every message against the state before the batch; returns what storing them needs.
    fn check_batch(&self, batch: &[Append]) -> Result<Vec<Checked>, ApiError> {
        if batch.len() > Self::BATCH_MESSAGES_MAX {
            return Err(ApiError::atomic_publish_too_large(batch.len() as u64));
        }
        let mut subjects = HashSet::new();
        let mut seen = HashSet::new();
        let mut checked = Vec::with_capacity(batch.len());
        for (place, append) in batch.iter().enumerate() {
            let expected = Expectations::read(append.headers.as_ref())?;
            if expected.last_msg_id.is_some() {
                return Err(ApiError::atomic_publish_unsupported_header(
                    header::EXPECTED_LAST_MSG_ID,
                ));
            }
            self.check_size(append)?;
            self.check_batch_stream(&expected)?;
            if let Some(id) = expected.msg_id
                && (!seen.insert(id) || self.dedupe.get(id, append.at).is_some())
            {
                return Err(ApiError::atomic_publish_duplicate_id());
            }
            self.check_batch_sequences(&expected, &append.subject, place as u64, &subjects)?;
            let rollup = self.check_rollup(expected.rollup)?;
            match rollup {
                Some(Rollup::Subject) if subjects.contains(append.subject.as_str()) => {
                    return Err(ApiError::rollup_failed("batch rollup sub invalid"));
                }
                Some(Rollup::All) if place > 0 => {
                    return Err(ApiError::rollup_failed("batch rollup all invalid"));
                }
                Some(_) | None => {}
            }
            subjects.insert(append.subject.as_str());
            checked.push(Checked {
                msg_id: expected.msg_id.map(str::to_owned),
                rollup,
            });
        }
        self.check_room(batch)?;
        Ok(checked)
    }
}

fn batch_id(batch: &[Append]) -> Option<String> {
    let headers = batch.first()?.headers.as_ref()?;
    headers.get(header::BATCH_ID).map(str::to_owned)
}
