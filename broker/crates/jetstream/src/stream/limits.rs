//! What a stream may hold: refused at the door (discard new) or removed at the old end (discard old).

use hitherto_protocol::SubjectFilter;

use super::Stream;
use crate::api::ApiError;
use crate::command::Append;
use crate::{Discard, message_bytes};

/// Header blocks of stored messages, in bytes at most: their length is kept in 16 bits by
/// nats-server, and clients rely on the error.
const HEADERS_BYTES_MAX: usize = u16::MAX as usize;

impl Stream {
    /// Refuses a message the stream never takes.
    pub(super) fn check_size(&self, append: &Append) -> Result<(), ApiError> {
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

    /// Refuses messages where none may be pushed out for them: message by message the subject first,
    /// then the stream. A message that takes the place of an older one on its full subject is not one
    /// more, and has room when it is smaller (`server/filestore.go` of nats-server 2.15,
    /// `storeRawMsg`).
    pub(super) fn check_room(&self, batch: &[Append]) -> Result<(), ApiError> {
        if self.config.discard != Discard::New {
            return Ok(());
        }
        let over = |value, max: i64| limit(max).is_some_and(|max| value > max);
        let (mut messages, mut bytes) = (self.index.messages(), self.index.bytes());
        for (place, append) in batch.iter().enumerate() {
            let replaced = self.replaced_bytes(append, &batch[..place]);
            if replaced.is_some() && self.config.discard_new_per_subject {
                return Err(ApiError::maximum_messages_per_subject_exceeded());
            }
            messages += u64::from(replaced.is_none());
            if over(messages, self.config.max_msgs) {
                return Err(ApiError::maximum_messages_exceeded());
            }
            let own = bytes_of(append);
            let shrinks = replaced.is_some_and(|replaced| replaced > own);
            if over(bytes + own, self.config.max_bytes) && !shrinks {
                return Err(ApiError::maximum_bytes_exceeded());
            }
            bytes = (bytes + own).saturating_sub(replaced.unwrap_or(0));
        }
        Ok(())
    }

    /// The size of the message that goes from the full subject of this one; `None` while the subject
    /// has room. `before` are the messages that come before this one in its batch.
    fn replaced_bytes(&self, append: &Append, before: &[Append]) -> Option<u64> {
        let max = limit(self.config.max_msgs_per_subject)?;
        let same = |other: &&Append| other.subject == append.subject;
        let mut coming = before.iter().filter(same);
        let subject = append.subject.as_str();
        let stored = self.index.count_on(subject);
        let place = (stored + coming.clone().count() as u64).checked_sub(max)?;
        if place < stored {
            let seq = self.index.nth_on(subject, usize::try_from(place).ok()?)?;
            return self.index.get(seq).map(|entry| entry.bytes);
        }
        let place = usize::try_from(place - stored).ok()?;
        coming.nth(place).map(bytes_of)
    }

    /// Removes what is over the limits, oldest first. `subject` was just appended to. With `discard: new` nothing stored
    /// makes room: an update that lowers a limit keeps what is there, and refuses what comes (`server/filestore.go` of
    /// nats-server 2.15, `enforceMsgLimit`).
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
        self.config.discard == Discard::Old
            && self.index.messages() > 0
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
}

fn bytes_of(append: &Append) -> u64 {
    let headers = append.headers.as_ref().map_or(0, |h| h.as_bytes().len());
    message_bytes(append.subject.as_str().len(), headers, append.payload.len())
}

/// A limit of a configuration; negative and zero mean none.
fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|max| *max > 0)
}
