//! Messages that take the place of those before them: `Nats-Rollup`.

use super::Stream;
use crate::StreamSeq;
use crate::api::ApiError;

/// What a message takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rollup {
    /// Everything on its subject.
    Subject,
    /// Everything in the stream.
    All,
}

impl Stream {
    /// Reads the value of the header.
    ///
    /// # Errors
    /// 10111 when the stream does not allow it, or for any other value.
    pub(super) fn check_rollup(&self, value: Option<&str>) -> Result<Option<Rollup>, ApiError> {
        let Some(value) = value else {
            return Ok(None);
        };
        if !self.config.allow_rollup_hdrs || self.config.deny_purge {
            return Err(ApiError::rollup_not_permitted());
        }
        match value.to_ascii_lowercase().as_str() {
            "sub" => Ok(Some(Rollup::Subject)),
            "all" => Ok(Some(Rollup::All)),
            other => Err(ApiError::rollup_failed(&format!(
                "rollup value invalid: {other:?}"
            ))),
        }
    }

    /// Removes what the message just stored at `seq` takes the place of.
    pub(super) fn roll_up(&mut self, rollup: Rollup, seq: StreamSeq, subject: &str) {
        loop {
            let oldest = match rollup {
                Rollup::Subject => self.index.first_on(subject),
                Rollup::All => self.index.next_any(StreamSeq(0)),
            };
            match oldest.filter(|oldest| *oldest < seq) {
                Some(oldest) => self.remove(oldest),
                None => return,
            }
        }
    }
}
