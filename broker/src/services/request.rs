//! A request of a client on its way to whoever answers it.

use bytes::Bytes;
use hitherto_jetstream::api::{ApiError, is_empty_request};
use hitherto_protocol::Subject;

/// The header by which a client says which API level it needs.
pub(crate) const REQUIRED_API_LEVEL: &str = "Nats-Required-Api-Level";

/// The parts of a request that matter after its subject has been read.
#[derive(Debug)]
pub(crate) struct Request {
    /// What it was sent to.
    pub(crate) subject: Subject,
    /// Where the answer goes.
    pub(crate) reply: Subject,
    /// Its body.
    pub(crate) payload: Bytes,
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
