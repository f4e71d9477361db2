//! Pull consumers: create, pull, settle.
//!
//! One pull request is open at a time. A request that stays silent for longer than it said is an
//! error: whoever reads opens the consumer anew, which covers a reconnect, a new stream leader and
//! a consumer that is gone.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout_at};

use super::api::{ConsumerInfo, CreateConsumer, Done, Nanos, PullRequest};
use super::{ConsumerConfig, JetStream, JetStreamError, REQUEST_TIMEOUT, StoredMessage, malformed};
use crate::broker::transport::{Inbox, Incoming, Outgoing, TransportError};

/// How long one pull request waits for messages.
const PULL_EXPIRES: Duration = Duration::from_secs(5);
/// Grace for the answer to an expired request.
const PULL_GRACE: Duration = Duration::from_secs(2);

/// A pull consumer and its open request.
pub(crate) struct PullConsumer {
    jetstream: JetStream,
    stream: String,
    name: String,
    /// Messages waiting under the filter when the consumer was made.
    pub(crate) num_pending: u64,
    reply: String,
    inbox: Box<dyn Inbox>,
    request: Option<OpenRequest>,
}

struct OpenRequest {
    left: usize,
    give_up_at: Instant,
}

/// A message on its way through a handler.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) message: StoredMessage,
    /// Counted from 1.
    pub(crate) deliveries: u64,
    /// Consumer sequence; without gaps as long as nothing is lost on the way.
    pub(crate) consumer_seq: u64,
    /// Messages under the filter not delivered yet.
    pub(crate) num_pending: u64,
    ack_subject: String,
}

/// The ways to settle a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settle {
    Ack,
    Nak { delay: Duration },
    Progress,
    Term { reason: String },
}

impl JetStream {
    /// Creates the consumer, or finds it when it is there with the same settings.
    pub(crate) async fn consumer(
        &self,
        stream: &str,
        config: &ConsumerConfig,
    ) -> Result<PullConsumer, JetStreamError> {
        let body = CreateConsumer {
            stream_name: stream,
            config,
        };
        let name = config
            .durable_name
            .as_deref()
            .or(config.name.as_deref())
            .unwrap_or_default();
        let info: ConsumerInfo = self
            .api(&format!("CONSUMER.CREATE.{stream}.{name}"), &body)
            .await?;
        let reply = self.transport.new_inbox();
        Ok(PullConsumer {
            jetstream: self.clone(),
            stream: stream.to_owned(),
            name: info.name,
            num_pending: info.num_pending,
            inbox: self.transport.subscribe(reply.clone()).await?,
            reply,
            request: None,
        })
    }

    /// Settles a delivery and waits until the broker has taken note ("double ack").
    pub(crate) async fn settle(
        &self,
        delivery: &AckSubject,
        settle: &Settle,
        timeout: Duration,
    ) -> Result<(), JetStreamError> {
        let request = Outgoing::new(delivery.0.as_str(), settle.payload());
        self.transport.request(request, timeout).await?;
        Ok(())
    }
}

impl PullConsumer {
    /// Waits for the next message, with at most `batch` asked for at once. Cancel-safe. After an
    /// error the consumer must be opened anew.
    pub(crate) async fn next(&mut self, batch: usize) -> Result<Delivery, JetStreamError> {
        loop {
            let give_up_at = match &self.request {
                Some(request) => request.give_up_at,
                None => self.pull(batch).await?,
            };
            let Ok(message) = timeout_at(give_up_at, self.inbox.next()).await else {
                self.request = None;
                return Err(self.silence());
            };
            let message = message.ok_or_else(closed)?;
            if let Some(delivery) = self.handle_message(message)? {
                return Ok(delivery);
            }
        }
    }

    /// Returns a message that is here already, without waiting.
    pub(crate) fn try_next(&mut self) -> Result<Option<Delivery>, JetStreamError> {
        loop {
            let ready = futures_util::FutureExt::now_or_never(self.inbox.next());
            let Some(message) = ready else {
                return Ok(None);
            };
            let message = message.ok_or_else(closed)?;
            if let Some(delivery) = self.handle_message(message)? {
                return Ok(Some(delivery));
            }
        }
    }

    /// Reads the sequence through which everything is acknowledged.
    pub(crate) async fn ack_floor(&self) -> Result<u64, JetStreamError> {
        let subject = format!("CONSUMER.INFO.{}.{}", self.stream, self.name);
        let info: ConsumerInfo = self.jetstream.api_empty(&subject).await?;
        Ok(info.ack_floor.stream_seq)
    }

    /// Deletes the consumer from the broker.
    pub(crate) async fn delete(self) -> Result<(), JetStreamError> {
        let subject = format!("CONSUMER.DELETE.{}.{}", self.stream, self.name);
        let Done {} = self.jetstream.api_empty(&subject).await?;
        Ok(())
    }

    /// The broker did not even say that it has nothing: the consumer may be gone.
    fn silence(&self) -> JetStreamError {
        let subject = format!("consumer {} of {}", self.name, self.stream);
        TransportError::Timeout {
            subject,
            timeout: PULL_EXPIRES + PULL_GRACE,
        }
        .into()
    }

    async fn pull(&mut self, batch: usize) -> Result<Instant, JetStreamError> {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream, self.name);
        let body = serde_json::to_vec(&PullRequest {
            batch,
            expires: Nanos(PULL_EXPIRES),
        })
        .map_err(|error| malformed(&subject, &error))?;
        let request = Outgoing::new(subject, body).with_reply(&self.reply);
        self.jetstream.transport.publish(request).await?;
        let give_up_at = Instant::now() + PULL_EXPIRES + PULL_GRACE;
        self.request = Some(OpenRequest {
            left: batch,
            give_up_at,
        });
        Ok(give_up_at)
    }

    /// Returns the delivery in a message, or takes note of a status.
    fn handle_message(&mut self, message: Incoming) -> Result<Option<Delivery>, JetStreamError> {
        match message.status {
            None => {}
            Some(100) => return Ok(None),
            Some(404 | 408) => {
                self.request = None;
                return Ok(None);
            }
            Some(503) => {
                return Err(TransportError::NoResponders {
                    subject: self.name.clone(),
                }
                .into());
            }
            Some(status) => {
                self.request = None;
                let text = format!("status {status} {}", message.description);
                return Err(malformed(&self.name, &text));
            }
        }
        if let Some(request) = &mut self.request {
            request.left = request.left.saturating_sub(1);
            if request.left == 0 {
                self.request = None;
            }
        }
        parse_delivery(message).map(Some)
    }
}

/// Where a delivery is settled.
#[derive(Debug, Clone)]
pub(crate) struct AckSubject(String);

impl AckSubject {
    #[cfg(test)]
    pub(crate) fn new(subject: &str) -> Self {
        Self(subject.to_owned())
    }
}

impl Delivery {
    pub(crate) fn ack_subject(&self) -> AckSubject {
        AckSubject(self.ack_subject.clone())
    }
}

impl Settle {
    fn payload(&self) -> Vec<u8> {
        match self {
            Self::Ack => b"+ACK".to_vec(),
            Self::Nak { delay } => format!("-NAK {{\"delay\":{}}}", delay.as_nanos()).into_bytes(),
            Self::Progress => b"+WPI".to_vec(),
            Self::Term { reason } => format!("+TERM {reason}").into_bytes(),
        }
    }
}

/// Reads the ack subject, in its first form (9 tokens) or its second (ADR-15: 11 or more).
fn parse_delivery(message: Incoming) -> Result<Delivery, JetStreamError> {
    let ack_subject = message.reply.unwrap_or_default();
    let numbers = ack_numbers(&ack_subject)
        .ok_or_else(|| malformed(&message.subject, &format!("ack subject {ack_subject:?}")))?;
    let [deliveries, seq, consumer_seq, stored_ns, num_pending] = numbers;
    Ok(Delivery {
        message: StoredMessage {
            subject: message.subject,
            seq,
            stored_at: SystemTime::UNIX_EPOCH + Duration::from_nanos(stored_ns),
            headers: message.headers,
            payload: message.payload,
        },
        deliveries,
        consumer_seq,
        num_pending,
        ack_subject,
    })
}

fn ack_numbers(ack_subject: &str) -> Option<[u64; 5]> {
    let tokens: Vec<&str> = ack_subject.strip_prefix("$JS.ACK.")?.split('.').collect();
    let from = match tokens.len() {
        7 => 2,
        9.. => 4,
        _ => return None,
    };
    let mut numbers = [0; 5];
    for (number, token) in numbers.iter_mut().zip(tokens.get(from..)?) {
        *number = token.parse().ok()?;
    }
    Some(numbers)
}

fn closed() -> JetStreamError {
    TransportError::Closed {
        reason: "no more deliveries".to_owned(),
    }
    .into()
}

/// How long a settlement may take.
pub(crate) const SETTLE_TIMEOUT: Duration = REQUEST_TIMEOUT;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_ack_subject_are_read() {
        let numbers = Some([1, 22, 3, 1_700_000_000_000_000_000, 5]);
        let first = "$JS.ACK.ORDERS.c.1.22.3.1700000000000000000.5";
        assert_eq!(ack_numbers(first), numbers);
        let second = "$JS.ACK._.hash.ORDERS.c.1.22.3.1700000000000000000.5.random";
        assert_eq!(ack_numbers(second), numbers);
        assert_eq!(ack_numbers("$JS.ACK.ORDERS.c.1"), None);
    }

    #[test]
    fn settlements_are_written_as_the_wire_wants_them() {
        assert_eq!(
            Settle::Nak {
                delay: Duration::from_secs(2)
            }
            .payload(),
            b"-NAK {\"delay\":2000000000}"
        );
        assert_eq!(
            Settle::Term {
                reason: "bad".to_owned()
            }
            .payload(),
            b"+TERM bad"
        );
    }
}
