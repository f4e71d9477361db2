//! A broker inside this process, through its in-process client.

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use hitherto_broker::{
    Error, HeadersBuilder, LocalClient, LocalMessage, LocalSubscription, Node, NodeConfig, Subject,
    SubjectFilter,
};
use tokio::sync::Mutex;

use super::BrokerError;
use super::transport::{Headers, Inbox, Incoming, Outgoing, Transport, TransportError};

pub(super) struct Embedded {
    client: LocalClient,
    /// `None` once it is shut down.
    node: Mutex<Option<Node>>,
}

impl Embedded {
    pub(super) async fn start(config: NodeConfig) -> Result<Self, BrokerError> {
        let node = Node::start(config)
            .await
            .map_err(|error| BrokerError::new("start the embedded broker", error))?;
        Ok(Self {
            client: node.client(),
            node: Mutex::new(Some(node)),
        })
    }
}

impl Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Embedded {
    async fn publish(&self, message: Outgoing) -> Result<(), TransportError> {
        let Outgoing {
            subject,
            reply,
            headers,
            payload,
        } = message;
        let to = parse_subject(&subject)?;
        let reply = reply.as_deref().map(parse_subject).transpose()?;
        let headers = build_headers(&subject, &headers)?;
        let sent = self.client.publish(to, reply, headers, payload).await;
        sent.map_err(|error| transport_error(subject, &error))
    }

    async fn request(
        &self,
        message: Outgoing,
        timeout: Duration,
    ) -> Result<Incoming, TransportError> {
        let Outgoing {
            subject,
            headers,
            payload,
            ..
        } = message;
        let to = parse_subject(&subject)?;
        let headers = build_headers(&subject, &headers)?;
        let answer = self.client.request(to, headers, payload, timeout).await;
        answer
            .map(incoming)
            .map_err(|error| transport_error(subject, &error))
    }

    async fn subscribe(&self, subject: String) -> Result<Box<dyn Inbox>, TransportError> {
        let filter =
            SubjectFilter::new(subject.as_str()).map_err(|error| invalid(&subject, &error))?;
        let subscription = self.client.subscribe(filter, None);
        let subscription = subscription.map_err(|error| transport_error(subject, &error))?;
        Ok(Box::new(LocalInbox(subscription)))
    }

    fn new_inbox(&self) -> String {
        self.client.new_inbox().as_str().to_owned()
    }

    async fn shutdown(&self) -> Result<(), BrokerError> {
        let Some(node) = self.node.lock().await.take() else {
            return Ok(());
        };
        node.shutdown()
            .await
            .map_err(|error| BrokerError::new("stop the embedded broker in order", error))
    }
}

struct LocalInbox(LocalSubscription);

#[async_trait]
impl Inbox for LocalInbox {
    async fn next(&mut self) -> Option<Incoming> {
        self.0.next().await.map(incoming)
    }
}

fn incoming(message: LocalMessage) -> Incoming {
    let status = message
        .headers
        .as_ref()
        .and_then(|headers| headers.status());
    let (status, description) = match status {
        Some((status, description)) => (Some(status), description.to_owned()),
        None => (None, String::new()),
    };
    let mut headers = Headers::default();
    for (name, value) in message.headers.iter().flat_map(|block| block.iter()) {
        headers.insert(name.to_owned(), value);
    }
    Incoming {
        subject: message.subject.as_str().to_owned(),
        reply: message.reply.map(|reply| reply.as_str().to_owned()),
        status,
        description,
        headers,
        payload: message.payload,
    }
}

fn parse_subject(subject: &str) -> Result<Subject, TransportError> {
    Subject::new(subject).map_err(|error| invalid(subject, &error))
}

fn build_headers(
    subject: &str,
    headers: &Headers,
) -> Result<Option<hitherto_broker::Headers>, TransportError> {
    if headers.is_empty() {
        return Ok(None);
    }
    let mut block = HeadersBuilder::new();
    for (name, value) in headers.iter() {
        block
            .insert(name, value)
            .map_err(|error| invalid(subject, &error))?;
    }
    Ok(Some(block.build()))
}

fn invalid(subject: &str, error: &impl ToString) -> TransportError {
    TransportError::Invalid {
        subject: subject.to_owned(),
        reason: error.to_string(),
    }
}

fn transport_error(subject: String, error: &Error) -> TransportError {
    match error {
        Error::NoResponders { .. } => TransportError::NoResponders { subject },
        Error::Timeout { after, .. } => TransportError::Timeout {
            subject,
            timeout: *after,
        },
        Error::PayloadTooLarge { .. } | Error::TooManyRequests { .. } => TransportError::Invalid {
            subject,
            reason: error.to_string(),
        },
        _ => TransportError::Closed {
            reason: error.to_string(),
        },
    }
}
