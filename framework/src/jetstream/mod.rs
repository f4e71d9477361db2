//! The JetStream API as the framework uses it: JSON and headers over a `Transport`.
//!
//! Written once for all brokers. Sources: JetStream wire API (docs.nats.io), ADR-31 (batched direct
//! get), ADR-50 (atomic batch publish).

mod api;
mod append;
mod consumer;
mod direct_get;
mod stream;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::broker::Broker;
use crate::broker::transport::{Headers, Outgoing, Transport, TransportError};

pub(crate) use self::api::{AckPolicy, ConsumerConfig, DeliverPolicy, Nanos};
pub(crate) use self::append::AppendError;
pub(crate) use self::consumer::{AckSubject, Delivery, PullConsumer, SETTLE_TIMEOUT, Settle};
pub(crate) use self::stream::{EnsuredStream, StreamError};

/// How long the broker may take to answer a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A handle on the JetStream of a broker.
#[derive(Debug, Clone)]
pub(crate) struct JetStream {
    transport: Arc<dyn Transport>,
}

impl JetStream {
    pub(crate) fn new(broker: &Broker) -> Self {
        Self {
            transport: Arc::clone(&broker.transport),
        }
    }

    /// A handle over any transport.
    #[cfg(test)]
    pub(crate) fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    /// Sends an API request and reads its answer.
    async fn api<Answer: DeserializeOwned>(
        &self,
        subject: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<Answer, JetStreamError> {
        let body = serde_json::to_vec(body).map_err(|error| malformed(subject, &error))?;
        self.api_raw(subject, body.into()).await
    }

    /// The same for requests that must have an empty body.
    async fn api_empty<Answer: DeserializeOwned>(
        &self,
        subject: &str,
    ) -> Result<Answer, JetStreamError> {
        self.api_raw(subject, Bytes::new()).await
    }

    async fn api_raw<Answer: DeserializeOwned>(
        &self,
        subject: &str,
        body: Bytes,
    ) -> Result<Answer, JetStreamError> {
        let subject = format!("$JS.API.{subject}");
        let request = Outgoing::new(subject.as_str(), body);
        let answer = self.transport.request(request, REQUEST_TIMEOUT).await?;
        let envelope: api::ErrorEnvelope =
            serde_json::from_slice(&answer.payload).map_err(|error| malformed(&subject, &error))?;
        match envelope.error {
            Some(error) => Err(JetStreamError::Api(error)),
            None => {
                serde_json::from_slice(&answer.payload).map_err(|error| malformed(&subject, &error))
            }
        }
    }
}

/// A message as it stands in a stream.
#[derive(Debug, Clone)]
pub(crate) struct StoredMessage {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    pub(crate) stored_at: SystemTime,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

/// A JetStream request failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum JetStreamError {
    /// The broker said no.
    #[error("{0}")]
    Api(api::ApiError),
    /// The request or its answer did not get through.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The answer makes no sense.
    #[error("unexpected answer from {subject:?}: {reason}")]
    Malformed {
        /// Where it was sent.
        subject: String,
        /// What is wrong.
        reason: String,
    },
}

impl JetStreamError {
    fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(error) if error.code == 404)
    }
}

fn malformed(subject: &str, error: &impl ToString) -> JetStreamError {
    JetStreamError::Malformed {
        subject: subject.to_owned(),
        reason: error.to_string(),
    }
}
