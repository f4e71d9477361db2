//! Scenario: connections publish into one stream and keep a fixed number of messages in flight each;
//! every ack makes room for the next message.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hitherto_integration::raw::{RawClient, RawMessage};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::measure::{Latencies, Sample, Usage, Watched};

const WARM_UP: Duration = Duration::from_millis(300);

/// How long several connections wait for an ack before the run fails.
const PATIENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

const STREAM: &[u8] = br#"{"name":"BENCH","subjects":["bench.>"],"storage":"file"}"#;

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publish {
    pub(crate) connections: usize,
    /// On each connection.
    pub(crate) in_flight: usize,
    pub(crate) payload_bytes: usize,
    pub(crate) subjects: usize,
    pub(crate) duration: Duration,
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.connections, self.in_flight) {
            (1, count) => write!(f, "one connection, {count} in flight"),
            (connections, 1) => write!(f, "{connections} connections, each waiting"),
            (connections, count) => write!(f, "{connections} connections, {count} in flight each"),
        }
    }
}

impl Publish {
    /// Measures the server at `addr`.
    pub(crate) fn run(self, addr: SocketAddr, watched: Watched<'_>) -> Result<Sample> {
        let mut client = RawClient::connect(addr)?;
        let created = client.request("$JS.API.STREAM.CREATE.BENCH", STREAM)?;
        let created = String::from_utf8_lossy(&created).into_owned();
        ensure!(
            !created.contains("\"error\""),
            "creating the stream: {created}"
        );
        let mut publishers = Vec::with_capacity(self.connections);
        publishers.push(Publisher::new(client, self, 0));
        for number in 1..self.connections {
            publishers.push(Publisher::new(RawClient::connect(addr)?, self, number));
        }
        run_until(
            &mut publishers,
            Instant::now() + WARM_UP,
            &mut Latencies::new()?,
        )?;
        let mut latencies = Latencies::new()?;
        let start = Usage::of(watched)?;
        run_until(
            &mut publishers,
            Instant::now() + self.duration,
            &mut latencies,
        )?;
        let end = Usage::of(watched)?;
        ensure!(
            latencies.count() > 0,
            "no message was acknowledged within {:?}",
            self.duration
        );
        check_stored(&mut publishers)?;
        Ok(start.until(&end, &latencies, self.payload_bytes))
    }
}

/// Every message that was acknowledged is in the stream: nobody is fast by forgetting.
fn check_stored(publishers: &mut [Publisher]) -> Result<()> {
    let acknowledged: u64 = publishers
        .iter()
        .map(|publisher| publisher.acknowledged)
        .sum();
    let info = publishers[0]
        .client
        .request("$JS.API.STREAM.INFO.BENCH", b"")?;
    let info: serde_json::Value = serde_json::from_slice(&info)?;
    let stored = info["state"]["messages"].as_u64();
    ensure!(
        stored >= Some(acknowledged),
        "{acknowledged} were acknowledged, stored: {info}"
    );
    Ok(())
}

/// Publishes until `deadline`; what is in flight then is the next call's.
fn run_until(
    publishers: &mut [Publisher],
    deadline: Instant,
    latencies: &mut Latencies,
) -> Result<()> {
    for publisher in &mut *publishers {
        publisher.fill_up()?;
    }
    while Instant::now() < deadline {
        for at in readable(publishers)? {
            publishers[at].receive(latencies)?;
            publishers[at].fill_up()?;
        }
    }
    Ok(())
}

/// Which publishers have input; waits until one has. A single one is left to its blocking read.
fn readable(publishers: &[Publisher]) -> Result<Vec<usize>> {
    if publishers.len() == 1 {
        return Ok(vec![0]);
    }
    let mut polled: Vec<PollFd<'_>> = publishers
        .iter()
        .map(|publisher| PollFd::new(&publisher.client, PollFlags::IN))
        .collect();
    if rustix::event::poll(&mut polled, Some(&PATIENCE))? == 0 {
        bail!("no ack came within {} s", PATIENCE.tv_sec);
    }
    let ready = polled
        .iter()
        .enumerate()
        .filter(|(_, polled)| !polled.revents().is_empty());
    Ok(ready.map(|(at, _)| at).collect())
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
    acknowledged: u64,
}

impl Publisher {
    /// Publisher number `number` of the scenario; each starts at another subject.
    fn new(mut client: RawClient, scenario: Publish, number: usize) -> Self {
        let inbox = format!("_INBOX.bench{number}");
        client.subscribe(&format!("{inbox}.*"), 1);
        Self {
            client,
            subjects: (0..scenario.subjects)
                .map(|number| format!("bench.{number}"))
                .collect(),
            next_subject: number * scenario.subjects / scenario.connections,
            payload: vec![b'x'; scenario.payload_bytes],
            replies: (0..scenario.in_flight)
                .map(|slot| format!("{inbox}.{slot}"))
                .collect(),
            sent_at: vec![Instant::now(); scenario.in_flight],
            free: (0..scenario.in_flight).rev().collect(),
            acknowledged: 0,
        }
    }

    /// Sends a message for each free slot.
    fn fill_up(&mut self) -> Result<()> {
        let now = Instant::now();
        while let Some(slot) = self.free.pop() {
            let subject = &self.subjects[self.next_subject];
            self.next_subject = (self.next_subject + 1) % self.subjects.len();
            self.sent_at[slot] = now;
            self.client
                .publish(subject, &self.replies[slot], &self.payload);
        }
        Ok(self.client.flush()?)
    }

    fn receive(&mut self, latencies: &mut Latencies) -> Result<()> {
        let (sent_at, free) = (&self.sent_at, &mut self.free);
        let free_before = free.len();
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
        self.acknowledged += u64::try_from(self.free.len() - free_before)?;
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
