//! One of the two servers: carries out operations and gathers what comes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hitherto_integration::raw::RawClient;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Map, Value, json};

use crate::op::{DIRECT_PREFIX, Op, ROUND, pull_batch};

/// How long a server may take to answer what is always answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one waits for the ack of a publish, which a stream with `no_ack` does not send.
const ACK_PATIENCE: Duration = Duration::from_millis(250);

/// How long one waits for the answer to an ack, which may not come.
const SILENCE: Duration = Duration::from_millis(100);

/// How long one waits for the next message of a pull: messages of a consumer with `replay_policy` original
/// come with the gaps they were published at.
const PULL_PATIENCE: Duration = Duration::from_millis(700);

/// A connection to one server, and what it delivered in this round.
pub(crate) struct Peer {
    client: RawClient,
    prefix: String,
    /// How many times longer than usual to wait for answers that may not come.
    pub(crate) patience: u32,
    /// The ack subjects of the round's deliveries, in their order.
    deliveries: Vec<String>,
    inboxes: u64,
}

/// A request as it is sent, but for the round's prefix.
#[derive(Clone, Copy)]
struct Request<'a> {
    subject: &'a str,
    headers: Option<&'a BTreeMap<String, String>>,
    body: &'a str,
    /// How long to wait for each next answer.
    patience: Duration,
}

/// One message that came back.
struct Came {
    subject: String,
    headers: Vec<u8>,
    payload: Vec<u8>,
    reply: String,
}

impl Peer {
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self> {
        Ok(Self {
            client: RawClient::connect(addr)?,
            prefix: String::new(),
            patience: 1,
            deliveries: Vec::new(),
            inboxes: 0,
        })
    }

    pub(crate) fn start_round(&mut self, prefix: &str) {
        self.prefix = prefix.to_owned();
        self.deliveries.clear();
    }

    /// Removes the round's streams.
    pub(crate) fn end_round(&mut self) -> Result<()> {
        let names = self.call(Request::to("$JS.API.STREAM.NAMES"))?;
        for name in names["streams"].as_array().into_iter().flatten() {
            if let Some(name) = name.as_str().filter(|name| name.starts_with(ROUND)) {
                self.call(Request::to(&format!("$JS.API.STREAM.DELETE.{name}")))?;
            }
        }
        Ok(())
    }

    /// What the server answers to `op`.
    pub(crate) fn carry_out(&mut self, op: &Op) -> Result<Value> {
        match op {
            Op::Api { call, body } => self.call(Request {
                body,
                ..Request::to(&format!("$JS.API.{call}"))
            }),
            Op::Publish {
                subject,
                headers,
                len,
            } => self.call(Request {
                subject,
                headers: Some(headers).filter(|headers| !headers.is_empty()),
                body: &"p".repeat(*len),
                patience: ACK_PATIENCE,
            }),
            Op::Direct { call, body } => self.direct(call, body),
            Op::Pull {
                stream,
                consumer,
                body,
            } => self.pull(stream, consumer, body),
            Op::Ack { delivery, kind } => self.ack(*delivery, kind),
        }
    }

    fn call(&mut self, request: Request<'_>) -> Result<Value> {
        let subject = request.subject;
        let came = self.exchange(request, |_| true)?;
        let Some(first) = came.first() else {
            return Ok(json!("no answer"));
        };
        if first.headers.is_empty() && !first.payload.is_empty() {
            let text = self.without_prefix(&first.payload);
            return serde_json::from_str(&text).with_context(|| format!("{subject}: {text}"));
        }
        Ok(self.message(first))
    }

    fn direct(&mut self, call: &str, body: &Value) -> Result<Value> {
        let several = ["batch", "multi_last"]
            .iter()
            .any(|name| body.get(name).is_some());
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let subject = format!("{DIRECT_PREFIX}{call}");
        let last = |came: &Came| !several || is_status(&came.headers);
        let request = Request {
            body: &body,
            ..Request::to(&subject)
        };
        let came = self.exchange(request, last)?;
        Ok(came.iter().map(|came| self.message(came)).collect())
    }

    fn pull(&mut self, stream: &str, consumer: &str, body: &str) -> Result<Value> {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let batch = pull_batch(body);
        let mut count = 0;
        // Bytes that were asked for and did not come are said behind the last message.
        let ends_with_status = body.contains("max_bytes");
        let last = |came: &Came| {
            count += 1;
            (count == batch && !ends_with_status) || is_status(&came.headers)
        };
        let request = Request {
            body,
            patience: PULL_PATIENCE,
            ..Request::to(&subject)
        };
        let came = self.exchange(request, last)?;
        let answer = came.iter().map(|came| self.message(came)).collect();
        self.keep_deliveries(came);
        Ok(answer)
    }

    fn ack(&mut self, delivery: usize, kind: &str) -> Result<Value> {
        if self.deliveries.is_empty() {
            return Ok(Value::Null);
        }
        let subject = self.deliveries[delivery % self.deliveries.len()].clone();
        let request = Request {
            body: kind,
            patience: SILENCE,
            ..Request::to(&subject)
        };
        let came = self.exchange(request, |_| true)?;
        let answer = came.iter().map(|came| self.message(came)).collect();
        self.keep_deliveries(came);
        Ok(answer)
    }

    fn keep_deliveries(&mut self, came: Vec<Came>) {
        let replies = came.into_iter().map(|came| came.reply);
        let acks = replies.filter(|reply| reply.starts_with("$JS.ACK."));
        self.deliveries.extend(acks);
    }

    /// Sends a request and gathers its answers until `last` says so or nothing comes any more.
    fn exchange(
        &mut self,
        request: Request<'_>,
        mut last: impl FnMut(&Came) -> bool,
    ) -> Result<Vec<Came>> {
        self.inboxes += 1;
        let inbox = format!("_INBOX.differential.{}", self.inboxes);
        let subject = request.subject.replace(ROUND, &self.prefix);
        let body = request.body.replace(ROUND, &self.prefix);
        self.client.subscribe(&inbox, self.inboxes);
        match request.headers {
            None => self.client.publish(&subject, &inbox, body.as_bytes()),
            Some(headers) => {
                let block: String = headers
                    .iter()
                    .map(|(name, value)| {
                        format!("{name}: {}\r\n", value.replace(ROUND, &self.prefix))
                    })
                    .collect();
                let block = format!("NATS/1.0\r\n{block}\r\n");
                self.client.publish_with_headers(
                    &subject,
                    &inbox,
                    block.as_bytes(),
                    body.as_bytes(),
                );
            }
        }
        self.client.flush()?;
        let mut came = Vec::new();
        let patience = request.patience * self.patience;
        let mut deadline = Instant::now() + patience;
        let mut done = false;
        while !done && wait_for_input(&self.client, deadline)? {
            let before = came.len();
            self.client.receive(|message| {
                let message = Came {
                    subject: message.subject.to_owned(),
                    headers: message.headers.to_vec(),
                    payload: message.payload.to_vec(),
                    reply: message.reply.unwrap_or_default().to_owned(),
                };
                // A delivery has the subject it was published to; answers come one after the other.
                done |= last(&message);
                came.push(message);
            })?;
            // A PING of the server is no answer.
            if came.len() > before {
                deadline = Instant::now() + patience;
            }
        }
        self.client
            .queue(format!("UNSUB {}\r\n", self.inboxes).as_bytes());
        if !done {
            // What comes too late is not taken for the answer to the next request.
            self.client.ping()?;
        }
        Ok(came)
    }

    /// A message as JSON; of an ack subject, what does not depend on the time.
    fn message(&self, came: &Came) -> Value {
        let subject = if came.subject.starts_with("_INBOX.") {
            ""
        } else {
            &came.subject
        };
        let reply: Vec<&str> = came.reply.split('.').collect();
        let place = match reply.as_slice() {
            [
                "$JS",
                "ACK",
                stream,
                consumer,
                delivered,
                stream_seq,
                consumer_seq,
                _,
                pending,
            ] => {
                json!([
                    stream,
                    consumer,
                    delivered,
                    stream_seq,
                    consumer_seq,
                    pending
                ])
            }
            _ => json!(came.reply),
        };
        let text = json!({
            "subject": subject,
            "headers": headers_of(&came.headers),
            "payload": String::from_utf8_lossy(&came.payload),
            "reply": place,
        });
        let text = self.without_prefix(text.to_string().as_bytes());
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    fn without_prefix(&self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).replace(&self.prefix, ROUND)
    }
}

impl<'a> Request<'a> {
    fn to(subject: &'a str) -> Self {
        Self {
            subject,
            headers: None,
            body: "",
            patience: PATIENCE,
        }
    }
}

/// Whether input came before the deadline.
fn wait_for_input(client: &RawClient, deadline: Instant) -> Result<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).context("a wait is short")?;
    let mut fds = [PollFd::new(client, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&timeout))? > 0)
}

/// Whether a header block carries a status instead of a message.
fn is_status(headers: &[u8]) -> bool {
    headers.starts_with(b"NATS/1.0 ")
}

/// The status line and each header with its values.
fn headers_of(block: &[u8]) -> Value {
    let text = String::from_utf8_lossy(block);
    let mut lines = text.lines();
    let mut fields = Map::new();
    if let Some(status) = lines.next().and_then(|line| line.strip_prefix("NATS/1.0 ")) {
        fields.insert("status".into(), status.trim().into());
    }
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let values = fields.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(value.trim().into());
        }
    }
    Value::Object(fields)
}
