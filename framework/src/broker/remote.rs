//! A broker over the network, through the async-nats core client.
//!
//! Only its core features are used; reconnecting and resubscribing are its work.

use std::time::Duration;

use async_nats::client::{PublishErrorKind, RequestErrorKind};
use async_nats::{Client, HeaderMap, Request};
use async_trait::async_trait;
use futures_util::StreamExt;

use super::BrokerError;
use super::transport::{Headers, Inbox, Incoming, Outgoing, Transport, TransportError};

#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
}

impl Remote {
    pub(super) async fn connect(url: &str) -> Result<Self, BrokerError> {
        let client = async_nats::ConnectOptions::new()
            .name("hitherto")
            .connect(url)
            .await
            .map_err(|error| BrokerError::new(format!("connect to {url:?}"), error))?;
        Ok(Self { client })
    }
}

#[async_trait]
impl Transport for Remote {
    async fn publish(&self, message: Outgoing) -> Result<(), TransportError> {
        let Outgoing {
            subject,
            reply,
            headers,
            payload,
        } = message;
        let headers = header_map(&subject, &headers)?;
        let sent = match (reply, headers) {
            (None, None) => self.client.publish(subject.clone(), payload).await,
            (None, Some(headers)) => {
                self.client
                    .publish_with_headers(subject.clone(), headers, payload)
                    .await
            }
            (Some(reply), None) => {
                self.client
                    .publish_with_reply(subject.clone(), reply, payload)
                    .await
            }
            (Some(reply), Some(headers)) => {
                let client = &self.client;
                client
                    .publish_with_reply_and_headers(subject.clone(), reply, headers, payload)
                    .await
            }
        };
        sent.map_err(|error| match error.kind() {
            PublishErrorKind::Send => TransportError::Closed {
                reason: error.to_string(),
            },
            _ => TransportError::Invalid {
                subject,
                reason: error.to_string(),
            },
        })
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
        let mut request = Request::new().payload(payload).timeout(Some(timeout));
        if let Some(headers) = header_map(&subject, &headers)? {
            request = request.headers(headers);
        }
        match self.client.send_request(subject.clone(), request).await {
            Ok(answer) => Ok(incoming(answer)),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::TimedOut => TransportError::Timeout { subject, timeout },
                RequestErrorKind::NoResponders => TransportError::NoResponders { subject },
                RequestErrorKind::Other => TransportError::Closed {
                    reason: error.to_string(),
                },
                _ => TransportError::Invalid {
                    subject,
                    reason: error.to_string(),
                },
            }),
        }
    }

    async fn subscribe(&self, subject: String) -> Result<Box<dyn Inbox>, TransportError> {
        let subscriber =
            self.client
                .subscribe(subject)
                .await
                .map_err(|error| TransportError::Closed {
                    reason: error.to_string(),
                })?;
        Ok(Box::new(RemoteInbox(subscriber)))
    }

    fn new_inbox(&self) -> String {
        self.client.new_inbox()
    }

    async fn shutdown(&self) -> Result<(), BrokerError> {
        self.client
            .drain()
            .await
            .map_err(|error| BrokerError::new("drain the connection", error))
    }
}

struct RemoteInbox(async_nats::Subscriber);

#[async_trait]
impl Inbox for RemoteInbox {
    async fn next(&mut self) -> Option<Incoming> {
        self.0.next().await.map(incoming)
    }
}

fn incoming(message: async_nats::Message) -> Incoming {
    let mut headers = Headers::default();
    for (name, values) in message.headers.iter().flat_map(|map| map.iter()) {
        for value in values {
            headers.insert(name.to_string(), value.as_str());
        }
    }
    Incoming {
        subject: message.subject.into_string(),
        reply: message.reply.map(async_nats::Subject::into_string),
        status: message.status.map(|status| status.as_u16()),
        description: message.description.unwrap_or_default(),
        headers,
        payload: message.payload,
    }
}

/// `HeaderMap` panics on bad values when given text, so each is parsed.
fn header_map(subject: &str, headers: &Headers) -> Result<Option<HeaderMap>, TransportError> {
    if headers.is_empty() {
        return Ok(None);
    }
    let invalid = |reason: String| TransportError::Invalid {
        subject: subject.to_owned(),
        reason,
    };
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        let value: async_nats::HeaderValue = value
            .parse()
            .map_err(|error| invalid(format!("header {name:?}: {error}")))?;
        let name: async_nats::HeaderName = name
            .parse()
            .map_err(|error| invalid(format!("header {name:?}: {error}")))?;
        map.append(name, value);
    }
    Ok(Some(map))
}
