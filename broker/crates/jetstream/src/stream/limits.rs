//! What a stream may hold: refused at the door (discard new) or removed at the old end (discard old).

use std::time::Duration;

use hitherto_protocol::{SubjectFilter, Timestamp};

use super::Stream;
use crate::api::ApiError;
use crate::command::{Append, Command, Control};
use crate::output::Output;
use crate::{Discard, message_bytes};

/// Header blocks of stored messages, in bytes at most: their length is kept in 16 bits by
/// nats-server, and clients rely on the error.
const HEADERS_BYTES_MAX: usize = u16::MAX as usize;

/// The log is asked to expire old messages of an idle stream once in so long.
const EXPIRY_PAUSE: Duration = Duration::from_secs(1);

impl Stream {
    /// Refuses a message the stream may not take.
    pub(super) fn check_limits(&self, append: &Append) -> Result<(), ApiError> {
        self.check_size(append)?;
        self.check_room(1, bytes_of(append))?;
        self.check_subject_room(append, &[])
    }

    /// As `check_limits`, for messages that come together.
    pub(super) fn check_batch_limits(&self, batch: &[Append]) -> Result<(), ApiError> {
        let mut bytes = 0;
        for (place, append) in batch.iter().enumerate() {
            self.check_size(append)?;
            bytes += bytes_of(append);
            self.check_subject_room(append, &batch[..place])?;
        }
        self.check_room(batch.len() as u64, bytes)
    }

    fn check_size(&self, append: &Append) -> Result<(), ApiError> {
        let headers = append.headers.as_ref().map_or(0, |h| h.as_bytes().len());
        if headers > HEADERS_BYTES_MAX {
            return Err(ApiError::headers_too_large());
        }
        match usize::try_from(self.config.max_msg_size) {
            Ok(max) if max > 0 && headers + append.payload.len() > max => {
                Err(ApiError::message_too_large())
            }
            _ => Ok(()),
        }
    }

    fn check_room(&self, messages: u64, bytes: u64) -> Result<(), ApiError> {
        if self.config.discard != Discard::New {
            return Ok(());
        }
        if limit(self.config.max_msgs).is_some_and(|max| self.index.messages() + messages > max) {
            return Err(ApiError::maximum_messages_exceeded());
        }
        if limit(self.config.max_bytes).is_some_and(|max| self.index.bytes() + bytes > max) {
            return Err(ApiError::maximum_bytes_exceeded());
        }
        Ok(())
    }

    /// `before` are the messages that come before this one in its batch.
    fn check_subject_room(&self, append: &Append, before: &[Append]) -> Result<(), ApiError> {
        if self.config.discard != Discard::New || !self.config.discard_new_per_subject {
            return Ok(());
        }
        let Some(max) = limit(self.config.max_msgs_per_subject) else {
            return Ok(());
        };
        let same = |other: &&Append| other.subject == append.subject;
        let coming = before.iter().filter(same).count() as u64;
        if self.index.count_on(append.subject.as_str()) + coming >= max {
            return Err(ApiError::maximum_messages_per_subject_exceeded());
        }
        Ok(())
    }

    /// Removes what is over the limits, oldest first. `subject` was just appended to.
    pub(super) fn enforce_limits(&mut self, subject: Option<&str>) {
        if let Some(subject) = subject {
            self.trim_subject(subject);
        }
        while self.is_over() {
            self.remove(self.index.first_seq());
        }
    }

    fn is_over(&self) -> bool {
        let over = |value, max: i64| limit(max).is_some_and(|max| value > max);
        self.index.messages() > 0
            && (over(self.index.messages(), self.config.max_msgs)
                || over(self.index.bytes(), self.config.max_bytes))
    }

    /// Applies a lowered `max_msgs_per_subject` to everything stored.
    pub(super) fn trim_subjects(&mut self) {
        let all = SubjectFilter::new(">").expect("a full wildcard is a filter");
        for (subject, _) in self.index.subjects_matching(&all) {
            self.trim_subject(&subject);
        }
    }

    fn trim_subject(&mut self, subject: &str) {
        let Some(max) = limit(self.config.max_msgs_per_subject) else {
            return;
        };
        while self.index.count_on(subject) > max {
            let Some(first) = self.index.first_on(subject) else {
                return;
            };
            self.remove(first);
        }
    }

    /// Removes what is older than `max_age` at `now`.
    pub(super) fn expire(&mut self, now: Timestamp) {
        if self.config.max_age.is_zero() {
            return;
        }
        let mut first = self.index.first_seq();
        while let Some(entry) = self.index.get(first) {
            if now < entry.at.saturating_add(self.config.max_age) {
                break;
            }
            self.remove(first);
            first = self.index.first_seq();
        }
    }

    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        if self.config.max_age.is_zero() {
            return None;
        }
        let due = self.index.first_at()?.saturating_add(self.config.max_age);
        Some(due.max(self.expiry_asked.saturating_add(EXPIRY_PAUSE)))
    }

    /// Lets the log decide that old messages go, so that every replica agrees.
    pub(super) fn propose_expiry(&mut self, now: Timestamp) {
        if self.next_expiry().is_some_and(|due| due <= now) {
            self.expiry_asked = now;
            self.outputs.push_back(Output::Propose {
                command: Command::Control(Control::Expire { at: now }),
                reply: None,
            });
        }
    }
}

fn bytes_of(append: &Append) -> u64 {
    let headers = append.headers.as_ref().map_or(0, |h| h.as_bytes().len());
    message_bytes(append.subject.as_str().len(), headers, append.payload.len())
}

/// A limit of a configuration; negative and zero mean none.
fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|max| *max > 0)
}
