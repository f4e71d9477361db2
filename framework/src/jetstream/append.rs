//! Appending under the condition that nothing new happened below a subject.
//!
//! One message carries the condition in its headers; several form one atomic batch (ADR-50) whose
//! first message carries it. What happened to an append is one of three: stored, refused, unknown.

use super::api::{
    ERR_WRONG_LAST_SEQUENCE, ERR_WRONG_LAST_SEQUENCE_IN_FLIGHT, ErrorEnvelope, PubAck,
};
use super::{JetStream, JetStreamError, REQUEST_TIMEOUT};
use crate::broker::transport::{Headers, Outgoing, TransportError};
use crate::id::random_id;

/// An append was not stored, or nobody knows.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum AppendError {
    /// Something new happened below the subject; nothing is stored.
    #[error("the condition does not hold")]
    Conflict,
    /// Certainly not stored.
    #[error("the broker refused the append")]
    Refused(#[source] JetStreamError),
    /// Stored or not.
    #[error("the fate of the append is unknown")]
    Unknown(#[source] JetStreamError),
}

impl JetStream {
    /// Appends all messages or none, if the last sequence below `filter` still is `last`.
    pub(crate) async fn append(
        &self,
        stream: &str,
        mut messages: Vec<Outgoing>,
        filter: &str,
        last: u64,
    ) -> Result<PubAck, AppendError> {
        let Some(first) = messages.first_mut() else {
            return Err(AppendError::Refused(super::malformed(
                filter,
                &"nothing to append",
            )));
        };
        expect(&mut first.headers, stream, filter, last);
        if messages.len() > 1 {
            as_batch(&mut messages);
        }
        let commit = messages.pop();
        for message in messages {
            // Without its last message a batch is never applied, so failing here stores nothing.
            self.transport
                .publish(message)
                .await
                .map_err(|error| AppendError::Refused(error.into()))?;
        }
        match commit {
            Some(commit) => self.commit(commit).await,
            None => Err(AppendError::Refused(super::malformed(
                filter,
                &"nothing to append",
            ))),
        }
    }

    async fn commit(&self, message: Outgoing) -> Result<PubAck, AppendError> {
        let subject = message.subject.clone();
        let answer = self.transport.request(message, REQUEST_TIMEOUT).await;
        let answer = answer.map_err(|error: TransportError| {
            let refused = error.certainly_not_handled();
            let error = JetStreamError::from(error);
            if refused {
                AppendError::Refused(error)
            } else {
                AppendError::Unknown(error)
            }
        })?;
        let unclear =
            |error: serde_json::Error| AppendError::Unknown(super::malformed(&subject, &error));
        let envelope: ErrorEnvelope = serde_json::from_slice(&answer.payload).map_err(unclear)?;
        match envelope.error {
            None => serde_json::from_slice(&answer.payload).map_err(unclear),
            Some(error)
                if error.err_code == ERR_WRONG_LAST_SEQUENCE
                    || error.err_code == ERR_WRONG_LAST_SEQUENCE_IN_FLIGHT =>
            {
                Err(AppendError::Conflict)
            }
            Some(error) => Err(AppendError::Refused(JetStreamError::Api(error))),
        }
    }
}

fn expect(headers: &mut Headers, stream: &str, filter: &str, last: u64) {
    headers.insert("Nats-Expected-Stream", stream);
    headers.insert("Nats-Expected-Last-Subject-Sequence", last.to_string());
    headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", filter);
}

fn as_batch(messages: &mut [Outgoing]) {
    let batch = random_id();
    for (sequence, message) in (1_u32..).zip(messages.iter_mut()) {
        message.headers.insert("Nats-Batch-Id", batch.as_str());
        message
            .headers
            .insert("Nats-Batch-Sequence", sequence.to_string());
    }
    if let Some(last) = messages.last_mut() {
        last.headers.insert("Nats-Batch-Commit", "1");
    }
}
