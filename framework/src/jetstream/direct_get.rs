//! Reading stored messages without a consumer: batched direct get (ADR-31).
//!
//! Cost: the messages under the filter, not the stream. Any replica may answer, so the answer may
//! lag behind; whoever decides on it must append under a condition.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::timeout;

use super::api::{DirectGetBatch, DirectGetLast};
use super::{JetStream, JetStreamError, REQUEST_TIMEOUT, StoredMessage, malformed};
use crate::broker::transport::{Incoming, Outgoing, TransportError};

/// Messages asked for at once.
const BATCH: usize = 1_000;

const STATUS_END_OF_BATCH: u16 = 204;
const STATUS_NOT_FOUND: u16 = 404;

impl JetStream {
    /// Reads all messages under `filter` after the sequence `after`.
    pub(crate) async fn read_after(
        &self,
        stream: &str,
        filter: &str,
        after: u64,
    ) -> Result<Vec<StoredMessage>, JetStreamError> {
        let mut messages: Vec<StoredMessage> = Vec::new();
        loop {
            let seq = messages.last().map_or(after, |message| message.seq) + 1;
            let page = self.read_page(stream, filter, seq).await?;
            let complete = page.complete;
            messages.extend(page.messages);
            if complete {
                return Ok(messages);
            }
        }
    }

    /// Reads the sequence of the last message under `filter`; `None` when there is none.
    pub(crate) async fn last_seq(
        &self,
        stream: &str,
        filter: &str,
    ) -> Result<Option<u64>, JetStreamError> {
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let body = serde_json::to_vec(&DirectGetLast {
            last_by_subj: filter,
        })
        .map_err(|error| malformed(&subject, &error))?;
        let request = Outgoing::new(subject.as_str(), body);
        let answer = self.transport.request(request, REQUEST_TIMEOUT).await?;
        match answer.status {
            None => Ok(Some(stored(&subject, answer)?.seq)),
            Some(STATUS_NOT_FOUND) => Ok(None),
            Some(_) => Err(unexpected_status(&subject, &answer)),
        }
    }

    async fn read_page(
        &self,
        stream: &str,
        filter: &str,
        seq: u64,
    ) -> Result<Page, JetStreamError> {
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let body = serde_json::to_vec(&DirectGetBatch {
            seq,
            next_by_subj: filter,
            batch: BATCH,
        })
        .map_err(|error| malformed(&subject, &error))?;
        let reply = self.transport.new_inbox();
        let mut inbox = self.transport.subscribe(reply.clone()).await?;
        self.transport
            .publish(Outgoing::new(subject.as_str(), body).with_reply(&reply))
            .await?;
        let mut page = Page {
            messages: Vec::new(),
            complete: true,
        };
        loop {
            let answer = timeout(REQUEST_TIMEOUT, inbox.next())
                .await
                .map_err(|_| TransportError::Timeout {
                    subject: subject.clone(),
                    timeout: REQUEST_TIMEOUT,
                })?
                .ok_or_else(|| TransportError::Closed {
                    reason: "no more answers".to_owned(),
                })?;
            match answer.status {
                None => page.push(&subject, answer)?,
                Some(STATUS_NOT_FOUND) => return Ok(page),
                Some(STATUS_END_OF_BATCH) => return page.finish(&subject, &answer),
                Some(503) => return Err(TransportError::NoResponders { subject }.into()),
                Some(_) => return Err(unexpected_status(&subject, &answer)),
            }
        }
    }
}

struct Page {
    messages: Vec<StoredMessage>,
    complete: bool,
}

impl Page {
    /// Takes one message, if it directly follows the one before: a decision on a history with a
    /// hole would be wrong.
    fn push(&mut self, subject: &str, answer: Incoming) -> Result<(), JetStreamError> {
        self.check_previous(subject, &answer)?;
        self.messages.push(stored(subject, answer)?);
        Ok(())
    }

    fn finish(mut self, subject: &str, answer: &Incoming) -> Result<Self, JetStreamError> {
        self.check_previous(subject, answer)?;
        let pending = answer.headers.last("Nats-Num-Pending").unwrap_or("0");
        self.complete = pending == "0";
        if !self.complete && self.messages.is_empty() {
            return Err(malformed(subject, &"an empty page with more to come"));
        }
        Ok(self)
    }

    fn check_previous(&self, subject: &str, answer: &Incoming) -> Result<(), JetStreamError> {
        let Some(previous) = answer.headers.last("Nats-Last-Sequence") else {
            return Ok(());
        };
        let last = self.messages.last().map_or(0, |message| message.seq);
        if previous.parse() == Ok(last) {
            return Ok(());
        }
        Err(malformed(
            subject,
            &format!("message {previous} was lost on the way, have {last}"),
        ))
    }
}

fn stored(subject: &str, answer: Incoming) -> Result<StoredMessage, JetStreamError> {
    let header = |name: &str| {
        // A message may carry such fields of an earlier stream; this stream's stand behind them.
        let value = answer.headers.last(name);
        value.ok_or_else(|| malformed(subject, &format!("an answer without {name}")))
    };
    let seq = header("Nats-Sequence")?
        .parse()
        .map_err(|error| malformed(subject, &error))?;
    let stored_at = parse_time(subject, header("Nats-Time-Stamp")?)?;
    Ok(StoredMessage {
        subject: header("Nats-Subject")?.to_owned(),
        seq,
        stored_at,
        headers: answer.headers,
        payload: answer.payload,
    })
}

fn parse_time(subject: &str, text: &str) -> Result<SystemTime, JetStreamError> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map(SystemTime::from)
        .map_err(|error| malformed(subject, &format!("{text:?} is not a time: {error}")))
}

fn unexpected_status(subject: &str, answer: &Incoming) -> JetStreamError {
    let status = answer.status.unwrap_or_default();
    malformed(subject, &format!("status {status} {}", answer.description))
}
