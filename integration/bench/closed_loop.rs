//! Connections that keep a fixed number of requests in flight each: every answer makes room for the next.
//! One thread drives them all, so that it is not the client which is measured.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use hitherto_integration::raw::{RawClient, RawMessage};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::measure::Latencies;

/// How long several connections wait for an answer before the run fails.
const PATIENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// What is asked on one connection.
pub(crate) trait Requests {
    /// Queues the next request of a slot; its answer goes to `reply`.
    fn queue(&mut self, client: &mut RawClient, slot: usize, reply: &str);

    /// Takes one message of the answer; `true` when it was the last.
    ///
    /// # Errors
    /// When it is a refusal, or not what was asked for.
    fn take_answer(&mut self, slot: usize, message: RawMessage<'_>) -> Result<bool>;
}

/// When a run is over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// What is in flight then is the next run's.
    At(Instant),
    /// Nothing is in flight then.
    After(u64),
}

/// The connections of a scenario.
pub(crate) struct ClosedLoop<R> {
    requesters: Vec<Requester<R>>,
    /// Waits for input on all of them; `None` for a single one, which is left to its blocking read.
    epoll: Option<OwnedFd>,
}

/// A request in flight has a slot; the slot's number ends its reply subject.
struct Requester<R> {
    client: RawClient,
    requests: R,
    replies: Vec<String>,
    sent_at: Vec<Instant>,
    free: Vec<usize>,
    answered: u64,
}

impl<R: Requests> ClosedLoop<R> {
    /// Connects once for each of `requests`.
    pub(crate) fn connect(
        addr: SocketAddr,
        in_flight: usize,
        requests: impl IntoIterator<Item = R>,
    ) -> Result<Self> {
        let mut requesters = Vec::new();
        for (number, requests) in requests.into_iter().enumerate() {
            requesters.push(Requester::connect(addr, number, in_flight, requests)?);
        }
        let epoll = match requesters.as_slice() {
            [_] => None,
            several => {
                let epoll = epoll::create(CreateFlags::CLOEXEC)?;
                for (number, requester) in several.iter().enumerate() {
                    let data = EventData::new_u64(u64::try_from(number)?);
                    epoll::add(&epoll, &requester.client, data, EventFlags::IN)?;
                }
                Some(epoll)
            }
        };
        Ok(Self { requesters, epoll })
    }

    /// Asks until `end`.
    pub(crate) fn run(&mut self, end: End, latencies: &mut Latencies) -> Result<()> {
        let mut left = match end {
            End::At(_) => u64::MAX,
            End::After(count) => count,
        };
        for requester in &mut self.requesters {
            requester.fill_up(&mut left)?;
        }
        let mut ready = Vec::new();
        while !self.is_over(end, left) {
            self.wait(&mut ready)?;
            for at in ready.drain(..) {
                let requester = &mut self.requesters[at];
                requester.receive(latencies)?;
                requester.fill_up(&mut left)?;
            }
        }
        Ok(())
    }

    /// Answers taken since the connections were made.
    pub(crate) fn answered(&self) -> u64 {
        self.requesters.iter().map(|one| one.answered).sum()
    }

    fn is_over(&self, end: End, left: u64) -> bool {
        match end {
            End::At(deadline) => Instant::now() >= deadline,
            End::After(_) => left == 0 && self.requesters.iter().all(Requester::is_idle),
        }
    }

    /// Waits until somebody has input, and says who.
    fn wait(&self, ready: &mut Vec<usize>) -> Result<()> {
        let Some(epoll) = &self.epoll else {
            ready.push(0);
            return Ok(());
        };
        let mut events: Vec<Event> = Vec::with_capacity(self.requesters.len());
        epoll::wait(epoll, spare_capacity(&mut events), Some(&PATIENCE))?;
        ensure!(
            !events.is_empty(),
            "no answer came within {} s",
            PATIENCE.tv_sec
        );
        for event in events {
            // A copy: the event is packed.
            let data = event.data;
            ready.push(usize::try_from(data.u64())?);
        }
        Ok(())
    }
}

impl<R: Requests> Requester<R> {
    fn connect(addr: SocketAddr, number: usize, in_flight: usize, requests: R) -> Result<Self> {
        let mut client = RawClient::connect(addr)?;
        let inbox = format!("_INBOX.bench{number}");
        client.subscribe(&format!("{inbox}.*"), 1);
        let replies = (0..in_flight).map(|slot| format!("{inbox}.{slot}"));
        Ok(Self {
            client,
            requests,
            replies: replies.collect(),
            sent_at: vec![Instant::now(); in_flight],
            free: (0..in_flight).rev().collect(),
            answered: 0,
        })
    }

    /// Sends a request for each free slot while some are `left`.
    fn fill_up(&mut self, left: &mut u64) -> Result<()> {
        if self.free.is_empty() || *left == 0 {
            return Ok(());
        }
        let now = Instant::now();
        while *left > 0
            && let Some(slot) = self.free.pop()
        {
            *left -= 1;
            self.sent_at[slot] = now;
            self.requests
                .queue(&mut self.client, slot, &self.replies[slot]);
        }
        Ok(self.client.flush()?)
    }

    fn receive(&mut self, latencies: &mut Latencies) -> Result<()> {
        let (requests, sent_at, free) = (&mut self.requests, &self.sent_at, &mut self.free);
        let free_before = free.len();
        let mut now = None;
        let mut outcome = Ok(());
        self.client.receive(|message| {
            let now = *now.get_or_insert_with(Instant::now);
            let taken = slot(message.subject, sent_at.len())
                .and_then(|slot| Ok((slot, requests.take_answer(slot, message)?)));
            match taken {
                Ok((slot, true)) => {
                    latencies.add(now.duration_since(sent_at[slot]));
                    free.push(slot);
                }
                Ok((_, false)) => {}
                Err(error) => outcome = Err(error),
            }
        })?;
        self.answered += u64::try_from(self.free.len() - free_before)?;
        outcome
    }

    fn is_idle(&self) -> bool {
        self.free.len() == self.replies.len()
    }
}

/// The slot an answer belongs to.
fn slot(subject: &str, slots: usize) -> Result<usize> {
    let number = subject
        .rsplit('.')
        .next()
        .and_then(|text| text.parse().ok());
    number
        .filter(|slot| *slot < slots)
        .with_context(|| format!("an answer on {subject}"))
}

/// The sequence in a PubAck.
pub(crate) fn pub_ack_seq(message: RawMessage<'_>) -> Result<u64> {
    const BEFORE: &[u8] = br#""seq":"#;
    let ack = message.payload;
    if !ack.starts_with(br#"{"stream":"#) {
        bail!("refused: {}", text(message));
    }
    let at = memchr::memmem::find(ack, BEFORE).context("a PubAck without a sequence")?;
    let digits = ack[at + BEFORE.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    Ok(digits.fold(0, |seq, digit| seq * 10 + u64::from(digit - b'0')))
}

/// The code of a status message, for example 204; `None` when the message is none.
pub(crate) fn status(message: RawMessage<'_>) -> Option<u16> {
    let code = message.headers.strip_prefix(b"NATS/1.0 ")?.get(..3)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

/// Headers and payload, for complaints.
pub(crate) fn text(message: RawMessage<'_>) -> String {
    String::from_utf8_lossy(&[message.headers, message.payload].concat()).into_owned()
}
