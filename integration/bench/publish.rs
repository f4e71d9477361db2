//! Scenario: one connection publishes into one stream and keeps a fixed number of messages in
//! flight; each ack makes room for the next message.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hitherto_integration::raw::{RawClient, RawMessage};

use crate::measure::{Latencies, Sample, Usage};

const WARM_UP: Duration = Duration::from_millis(300);

const STREAM: &[u8] = br#"{"name":"BENCH","subjects":["bench.>"],"storage":"file"}"#;

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publish {
    pub(crate) in_flight: usize,
    pub(crate) payload_bytes: usize,
    pub(crate) subjects: usize,
    pub(crate) duration: Duration,
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "publish {} B, {} in flight",
            self.payload_bytes, self.in_flight
        )
    }
}

impl Publish {
    /// Measures the server at `addr`, whose process is `pid`.
    pub(crate) fn run(self, addr: SocketAddr, pid: u32) -> Result<Sample> {
        let mut client = RawClient::connect(addr)?;
        let created = client.request("$JS.API.STREAM.CREATE.BENCH", STREAM)?;
        let created = String::from_utf8_lossy(&created).into_owned();
        ensure!(
            !created.contains("\"error\""),
            "creating the stream: {created}"
        );
        let mut publisher = Publisher::new(client, self);
        publisher.run_until(Instant::now() + WARM_UP, &mut Latencies::new()?)?;
        let mut latencies = Latencies::new()?;
        let start = Usage::of(pid)?;
        publisher.run_until(Instant::now() + self.duration, &mut latencies)?;
        let end = Usage::of(pid)?;
        ensure!(
            latencies.count() > 0,
            "no message was acknowledged within {:?}",
            self.duration
        );
        Ok(start.until(&end, &latencies, self.payload_bytes))
    }
}

/// A message in flight has a slot; the slot's number ends its reply subject.
struct Publisher {
    client: RawClient,
    subjects: Vec<String>,
    next_subject: usize,
    payload: Vec<u8>,
    replies: Vec<String>,
    sent_at: Vec<Instant>,
    free: Vec<usize>,
}

impl Publisher {
    fn new(mut client: RawClient, scenario: Publish) -> Self {
        client.subscribe("_INBOX.bench.*", 1);
        Self {
            client,
            subjects: (0..scenario.subjects)
                .map(|number| format!("bench.{number}"))
                .collect(),
            next_subject: 0,
            payload: vec![b'x'; scenario.payload_bytes],
            replies: (0..scenario.in_flight)
                .map(|slot| format!("_INBOX.bench.{slot}"))
                .collect(),
            sent_at: vec![Instant::now(); scenario.in_flight],
            free: (0..scenario.in_flight).rev().collect(),
        }
    }

    /// Publishes until `deadline`; what is in flight then is the next call's.
    fn run_until(&mut self, deadline: Instant, latencies: &mut Latencies) -> Result<()> {
        while Instant::now() < deadline {
            self.fill_up();
            self.client.flush()?;
            self.receive(latencies)?;
        }
        Ok(())
    }

    /// Queues a message for each free slot.
    fn fill_up(&mut self) {
        let now = Instant::now();
        while let Some(slot) = self.free.pop() {
            let subject = &self.subjects[self.next_subject];
            self.next_subject = (self.next_subject + 1) % self.subjects.len();
            self.sent_at[slot] = now;
            self.client
                .publish(subject, &self.replies[slot], &self.payload);
        }
    }

    fn receive(&mut self, latencies: &mut Latencies) -> Result<()> {
        let (sent_at, free) = (&self.sent_at, &mut self.free);
        let mut refused = None;
        let mut now = None;
        self.client.receive(|ack| {
            let now = *now.get_or_insert_with(Instant::now);
            match slot(ack, sent_at.len()) {
                Ok(slot) => {
                    latencies.add(now.duration_since(sent_at[slot]));
                    free.push(slot);
                }
                Err(error) => refused = Some(error),
            }
        })?;
        refused.map_or(Ok(()), Err)
    }
}

/// The slot an ack belongs to; an error when it is a refusal.
fn slot(ack: RawMessage<'_>, slots: usize) -> Result<usize> {
    if !ack.payload.starts_with(br#"{"stream":"#) {
        bail!(
            "refused: {}",
            String::from_utf8_lossy(&[ack.headers, ack.payload].concat())
        );
    }
    let number = ack
        .subject
        .rsplit('.')
        .next()
        .and_then(|text| text.parse().ok());
    number
        .filter(|slot| *slot < slots)
        .with_context(|| format!("an ack on {}", ack.subject))
}
