//! Whether a stream may acknowledge a message before it is synced.
//!
//! `persist_mode: async` says so as with nats-server (ADR-56), the metadata [`DURABILITY`] also where that is
//! not allowed: it may be changed, and goes together with atomic batches.

use super::{PersistMode, StreamConfig};
use crate::api::ApiError;

/// The metadata key: `relaxed`, or `synced` for what is the default.
pub const DURABILITY: &str = "hitherto.durability";

const RELAXED: &str = "relaxed";
const SYNCED: &str = "synced";

impl StreamConfig {
    /// Tells whether an ack may go before the sync. The configuration must be checked.
    pub fn is_relaxed(&self) -> bool {
        let asked = self.metadata.get(DURABILITY);
        self.persist_mode == PersistMode::Async || asked.is_some_and(|asked| asked == RELAXED)
    }

    pub(super) fn check_durability(&self) -> Result<(), ApiError> {
        let refuse = |text: &str| Err(ApiError::stream_invalid_config(text));
        match self.metadata.get(DURABILITY).map(String::as_str) {
            None | Some(RELAXED) => Ok(()),
            Some(SYNCED) if self.persist_mode == PersistMode::Async => refuse(&format!(
                "metadata {DURABILITY} is {SYNCED:?} although persist_mode is async: leave out one of them"
            )),
            Some(SYNCED) => Ok(()),
            Some(other) => refuse(&format!(
                "metadata {DURABILITY} is {other:?}: it must be {RELAXED:?} or {SYNCED:?}"
            )),
        }
    }
}
