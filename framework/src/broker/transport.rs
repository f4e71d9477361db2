//! The one seam between the framework and a broker: NATS messages with headers.
//!
//! Deliberately not here: anything JetStream. See `jetstream` for that.

#![cfg_attr(
    not(any(feature = "embedded", feature = "remote")),
    allow(dead_code, reason = "without a broker nobody sends")
)]

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::BrokerError;

/// How messages reach a broker and come back.
#[async_trait]
pub(crate) trait Transport: Debug + Send + Sync + 'static {
    /// Publishes; messages of one caller arrive in order. May wait while the broker has no room.
    async fn publish(&self, message: Outgoing) -> Result<(), TransportError>;

    /// Publishes with a fresh reply subject and waits for one answer.
    async fn request(
        &self,
        message: Outgoing,
        timeout: Duration,
    ) -> Result<Incoming, TransportError>;

    /// Subscribes; in force when it returns.
    async fn subscribe(&self, subject: String) -> Result<Box<dyn Inbox>, TransportError>;

    /// Makes a reply subject nobody else has.
    fn new_inbox(&self) -> String;

    /// Closes.
    async fn shutdown(&self) -> Result<(), BrokerError>;
}

/// The messages of one subscription; dropping it unsubscribes.
#[async_trait]
pub(crate) trait Inbox: Send + Sync {
    /// Waits for the next message; `None` when the connection is closed for good. Cancel-safe.
    async fn next(&mut self) -> Option<Incoming>;
}

/// A message to publish.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

impl Outgoing {
    pub(crate) fn new(subject: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            subject: subject.into(),
            reply: None,
            headers: Headers::default(),
            payload: payload.into(),
        }
    }

    pub(crate) fn with_reply(mut self, reply: &str) -> Self {
        self.reply = Some(reply.to_owned());
        self
    }

    pub(crate) fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }
}

/// A message received.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    /// Code of a status message (`NATS/1.0 404 ..`).
    pub(crate) status: Option<u16>,
    /// Text of a status message.
    pub(crate) description: String,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

/// Header lines in order; names are case-sensitive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(Vec<(Cow<'static, str>, String)>);

impl Headers {
    pub(crate) fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The last of several of one name.
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rfind(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A message did not get through, or its answer did not come.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum TransportError {
    /// Nobody listens: certainly not handled.
    #[error("nobody answers on {subject:?}")]
    NoResponders {
        /// Where it was sent.
        subject: String,
    },
    /// Sent, but no answer in time: handled or not.
    #[error("no answer from {subject:?} within {timeout:?}")]
    Timeout {
        /// Where it was sent.
        subject: String,
        /// How long we waited.
        timeout: Duration,
    },
    /// The message cannot be sent as it is: certainly not handled.
    #[error("the message to {subject:?} cannot be sent: {reason}")]
    Invalid {
        /// Where it should have gone.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection is closed or failed while sending: handled or not.
    #[error("the connection to the broker is closed or failed: {reason}")]
    Closed {
        /// What the connection said.
        reason: String,
    },
}

impl TransportError {
    /// Whether the broker cannot have handled the message.
    pub(crate) fn certainly_not_handled(&self) -> bool {
        matches!(self, Self::NoResponders { .. } | Self::Invalid { .. })
    }
}
