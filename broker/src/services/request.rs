//! A request of a client on its way to whoever answers it.

use std::sync::Arc;

use bytes::Bytes;
use hitherto_jetstream::API_LEVEL;
use hitherto_jetstream::api::{ApiError, is_empty_request};
use hitherto_protocol::{Headers, Subject};

use super::audit::Audited;

/// The header by which a client says which API level it needs.
const REQUIRED_API_LEVEL: &str = "Nats-Required-Api-Level";

/// The parts of a request that matter after its subject has been read.
#[derive(Debug)]
pub(crate) struct Request {
    /// What it was sent to.
    pub(crate) subject: Subject,
    /// Who waits for the answer.
    pub(crate) asker: Asker,
    /// Its body.
    pub(crate) payload: Bytes,
}

/// Who waits for the answer to a request, and who else wants to know it.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// Where the answer goes.
    pub(crate) reply: Subject,
    /// `None` while nobody listens to the audit of the API.
    pub(crate) audited: Option<Arc<Audited>>,
}

impl Request {
    /// Refuses a body where there must be none.
    pub(crate) fn expect_empty(&self) -> Result<(), ApiError> {
        if is_empty_request(&self.payload) {
            return Ok(());
        }
        Err(ApiError::not_empty_request())
    }
}

/// Tells whether these headers require a later API than ours; what is no number does.
pub(super) fn asks_too_much(headers: &Headers) -> bool {
    let level = headers.get(REQUIRED_API_LEVEL);
    level.is_some_and(|level| {
        level
            .trim()
            .parse()
            .map_or(true, |level: u32| level > API_LEVEL)
    })
}
