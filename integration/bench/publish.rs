//! Scenario: connections publish into one stream, and wait for the ack of each message.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hitherto_integration::raw::{RawClient, RawMessage};

use crate::api;
use crate::closed_loop::{ClosedLoop, End, Requests, pub_ack_seq};
use crate::measure::{Figure, Latencies, Sample, Usage, Watched};

const STREAM: &str = "BENCH";

/// Before anything is measured.
const WARM_UP: Duration = Duration::from_millis(300);

/// How it is published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publish {
    pub(crate) connections: usize,
    /// On each connection.
    pub(crate) in_flight: usize,
    pub(crate) payload_bytes: usize,
    /// All connections together.
    pub(crate) subjects: usize,
    /// Each message says what its subject's last sequence is, as appends to an aggregate do.
    pub(crate) conditional: bool,
}

impl Publish {
    /// Measures the server at `addr` for `duration`.
    pub(crate) fn run(
        self,
        addr: SocketAddr,
        watched: Watched<'_>,
        duration: Duration,
    ) -> Result<Sample> {
        let mut client = RawClient::connect(addr)?;
        let config = format!(r#"{{"name":"{STREAM}","subjects":["bench.>"],"storage":"file"}}"#);
        api::call(&mut client, &format!("STREAM.CREATE.{STREAM}"), &config)?;
        let mut publishers =
            ClosedLoop::connect(addr, self.in_flight, Publisher::several("bench", self))?;
        publishers.run(End::At(Instant::now() + WARM_UP), &mut Latencies::new()?)?;
        let mut latencies = Latencies::new()?;
        let start = Usage::of(watched)?;
        publishers.run(End::At(Instant::now() + duration), &mut latencies)?;
        let time = start.elapsed();
        let end = Usage::of(watched)?;
        ensure!(
            latencies.count() > 0,
            "no message was acknowledged within {duration:?}"
        );
        // Every message that was acknowledged is in the stream: nobody is fast by forgetting.
        let (acknowledged, stored) = (publishers.answered(), api::messages(&mut client, STREAM)?);
        ensure!(
            stored >= acknowledged,
            "{acknowledged} were acknowledged, {stored} are stored"
        );
        let payload_bytes = latencies.count() * u64::try_from(self.payload_bytes)?;
        let mut figures = vec![Figure::rate(latencies.count(), time)];
        figures.extend(latencies.figures());
        Ok(Sample {
            figures,
            cost: Some(start.until(&end, payload_bytes)),
            way: None,
        })
    }
}

/// What one connection publishes: payloads of one size, its subjects in turn.
pub(crate) struct Publisher {
    subjects: Vec<String>,
    next: usize,
    payload: Vec<u8>,
    /// Of each subject; only where messages are conditional.
    last_seqs: Vec<u64>,
    /// The subject a slot published to; only where messages are conditional.
    under_way: Vec<usize>,
    headers: String,
}

impl Publisher {
    /// The publishers of a scenario; each has its own share of the subjects.
    pub(crate) fn several(prefix: &str, publish: Publish) -> impl Iterator<Item = Self> {
        let prefix = prefix.to_owned();
        (0..publish.connections).map(move |number| {
            let of_mine = (number..publish.subjects).step_by(publish.connections);
            let subjects: Vec<_> = of_mine.map(|at| format!("{prefix}.{at}")).collect();
            let conditional = |count| vec![0; if publish.conditional { count } else { 0 }];
            Self {
                last_seqs: vec![0; conditional(subjects.len()).len()],
                under_way: conditional(publish.in_flight),
                subjects,
                next: 0,
                payload: vec![b'x'; publish.payload_bytes],
                headers: String::new(),
            }
        })
    }
}

impl Requests for Publisher {
    fn queue(&mut self, client: &mut RawClient, slot: usize, reply: &str) {
        let at = self.next;
        self.next = (self.next + 1) % self.subjects.len();
        let subject = &self.subjects[at];
        let Some(under_way) = self.under_way.get_mut(slot) else {
            return client.publish(subject, reply, &self.payload);
        };
        *under_way = at;
        self.headers.clear();
        self.headers
            .push_str("NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: ");
        self.headers.push_str(&self.last_seqs[at].to_string());
        self.headers.push_str("\r\n\r\n");
        client.publish_with_headers(subject, reply, self.headers.as_bytes(), &self.payload);
    }

    fn take_answer(&mut self, slot: usize, message: RawMessage<'_>) -> Result<bool> {
        let seq = pub_ack_seq(message)?;
        if let Some(at) = self.under_way.get(slot) {
            self.last_seqs[*at] = seq;
        }
        Ok(true)
    }
}
