//! Scenario: one connection publishes, one receives; no stream is involved.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hitherto_integration::raw::RawClient;

use crate::measure::{Figure, Sample, Usage, Watched};

const SUBJECT: &str = "bench.core";

const PAYLOAD_BYTES: usize = 128;

/// Messages of one write of the publisher.
const CHUNK: usize = 512;

/// Writes whose messages may be under way: 9 MiB, far below what makes a slow consumer.
const CHUNKS_UNDER_WAY: usize = 128;

const WARM_UP: Duration = Duration::from_millis(300);

/// A PING of the server may be among the messages; it is counted out at the end.
const PING_BYTES: usize = "PING\r\n".len();

/// Measures the server at `addr` for `duration`.
pub(crate) fn run(addr: SocketAddr, watched: Watched<'_>, duration: Duration) -> Result<Sample> {
    let mut subscriber = RawClient::connect(addr)?;
    subscriber.subscribe(SUBJECT, 1);
    subscriber.ping()?;
    let publisher = RawClient::connect(addr)?;
    let (credit, credits) = sync_channel(CHUNKS_UNDER_WAY);
    for _ in 0..CHUNKS_UNDER_WAY {
        credit.send(())?;
    }
    thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(publisher, credits));
        let mut received = Received {
            subscriber,
            bytes: 0,
            credited: 0,
        };
        received.until(Instant::now() + WARM_UP, &credit)?;
        let start = Usage::of(watched)?;
        let before = received.messages();
        received.until(Instant::now() + duration, &credit)?;
        let time = start.elapsed();
        let count = received.messages() - before;
        let end = Usage::of(watched)?;
        drop(credit);
        let published = publishing.join().ok().context("the publisher panicked")??;
        received.rest(published)?;
        Ok(Sample {
            figures: vec![Figure::rate(u64::try_from(count)?, time)],
            cost: Some(start.until(&end, 0)),
            way: None,
        })
    })
}

/// Publishes a chunk for each credit, until nobody gives any more; returns how many messages it was.
fn publish(mut client: RawClient, credits: Receiver<()>) -> Result<usize> {
    let payload = "x".repeat(PAYLOAD_BYTES);
    let chunk = format!("PUB {SUBJECT} {PAYLOAD_BYTES}\r\n{payload}\r\n").repeat(CHUNK);
    let mut published = 0;
    for () in credits {
        client.queue(chunk.as_bytes());
        client.flush()?;
        published += CHUNK;
    }
    client.ping()?;
    Ok(published)
}

/// What has come. All messages have the same length, so bytes are counted instead of messages.
struct Received {
    subscriber: RawClient,
    bytes: usize,
    /// Chunks for which a credit was given.
    credited: usize,
}

impl Received {
    fn until(&mut self, deadline: Instant, credit: &SyncSender<()>) -> Result<()> {
        while Instant::now() < deadline {
            self.bytes += self.subscriber.discard()?;
            while self.credited < self.messages() / CHUNK {
                credit.send(()).context("the publisher has ended")?;
                self.credited += 1;
            }
        }
        Ok(())
    }

    /// Takes what is left of `published` messages, and checks that there is nothing else.
    fn rest(&mut self, published: usize) -> Result<()> {
        while self.messages() < published {
            self.bytes += self.subscriber.discard()?;
        }
        let beside = self.bytes - published * frame_bytes();
        ensure!(
            beside.is_multiple_of(PING_BYTES) && beside / PING_BYTES <= 3,
            "{beside} bytes came beside {published} messages"
        );
        Ok(())
    }

    fn messages(&self) -> usize {
        self.bytes / frame_bytes()
    }
}

fn frame_bytes() -> usize {
    format!("MSG {SUBJECT} 1 {PAYLOAD_BYTES}\r\n\r\n").len() + PAYLOAD_BYTES
}
