//! Kill -9 of the broker at random moments: what was acknowledged is there, where the ack said, and
//! nothing is there twice.
//!
//! Publishers keep many messages in flight and never send one twice, so a message without an ack may
//! be there or not, but at most once, and each publisher's messages keep their order. Some rounds
//! kill the server again while it recovers.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream;
use futures_util::TryStreamExt;
use hitherto_integration::client::{PATIENCE, connect_jetstream, create_orders, delivery};
use hitherto_integration::raw::RawClient;
use hitherto_integration::seed::Seeded;
use hitherto_integration::{Server, on_both_servers};

const ROUNDS: usize = 20;
const PUBLISHERS: usize = 4;
const IN_FLIGHT_MAX: u64 = 64;
const PAYLOAD_BYTES_MAX: usize = 2000;

/// The server is killed after at most this many acks of a round.
const ACKS_MAX: usize = 2500;

/// Which message it is: the publisher and its own count, over all rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    publisher: usize,
    number: u64,
}

#[derive(Debug, Clone, Copy)]
struct Acked {
    identity: Identity,
    seq: u64,
}

impl Identity {
    fn subject(self) -> String {
        format!("orders.{}.{}", self.publisher, self.number % 50)
    }

    /// The one content this message may have: its name, then bytes drawn from it.
    fn payload(self) -> Vec<u8> {
        let seed = self.number.wrapping_mul(PUBLISHERS as u64) ^ self.publisher as u64;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut payload = format!("{} {} ", self.publisher, self.number).into_bytes();
        let length = payload.len() + random.usize(..PAYLOAD_BYTES_MAX);
        payload.resize_with(length, || random.u8(..));
        payload
    }

    fn of_payload(payload: &[u8]) -> Result<Self> {
        let mut words = payload.splitn(3, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(words.next().unwrap_or_default());
        Ok(Self {
            publisher: word()?.parse()?,
            number: word()?.parse()?,
        })
    }
}

/// What the test knows of the stream.
#[derive(Debug, Default)]
struct Ledger {
    /// The message at each sequence; the first is 1.
    stored: Vec<Identity>,
    /// The next number of each publisher.
    next: [u64; PUBLISHERS],
}

async fn no_acknowledged_message_is_lost_or_doubled(server: &mut Server) -> Result<()> {
    let mut seeded = Seeded::from_env();
    let context = connect_jetstream(server).await?;
    create_orders(&context).await?;
    let mut ledger = Ledger::default();
    for round in 1..=ROUNDS {
        one_round(server, &mut seeded, &mut ledger)
            .await
            .with_context(|| format!("round {round}, {seeded}"))?;
    }
    // Once more from the start: what a later round's recovery did to old messages.
    let stream = connect_jetstream(server)
        .await?
        .get_stream("ORDERS")
        .await?;
    let known = std::mem::take(&mut ledger.stored);
    read_from(&stream, &mut ledger, &[])
        .await
        .with_context(|| seeded.to_string())?;
    ensure!(
        ledger.stored == known,
        "the stream changed behind the test's back, {seeded}"
    );
    ensure!(
        known.len() >= ROUNDS,
        "only {} messages were stored, {seeded}",
        known.len()
    );
    Ok(())
}

async fn one_round(server: &mut Server, seeded: &mut Seeded, ledger: &mut Ledger) -> Result<()> {
    let kill_after = seeded.random().usize(1..ACKS_MAX);
    let addr = server.addr();
    let (sender, receiver) = sync_channel(1024);
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (sender, first) = (sender.clone(), ledger.next[publisher]);
            thread::spawn(move || publish_until_cut(addr, publisher, first, &sender))
        })
        .collect();
    drop(sender);
    let acked = collect_and_kill(server, &receiver, kill_after)?;
    for (publisher, thread) in publishers.into_iter().enumerate() {
        ledger.next[publisher] = thread.join().expect("a publisher does not panic");
    }
    if seeded.random().u8(..4) == 0 {
        // Once more, at some moment of its start; how far it came does not matter.
        server.relaunch()?;
        for _ in 0..seeded.random().usize(..2000) {
            tokio::task::yield_now().await;
        }
        server.kill()?;
    }
    server.restart().await?;
    let context = connect_jetstream(server).await?;
    let stream = context.get_stream("ORDERS").await?;
    read_from(&stream, ledger, &acked).await
}

/// Gathers acks, kills the server at the chosen one, and gathers those that were on their way.
fn collect_and_kill(
    server: &mut Server,
    acks: &Receiver<Acked>,
    kill_after: usize,
) -> Result<Vec<Acked>> {
    let mut acked = Vec::with_capacity(kill_after);
    while acked.len() < kill_after {
        acked.push(
            acks.recv()
                .context("every publisher ended before the kill")?,
        );
    }
    server.kill()?;
    acked.extend(acks.iter());
    Ok(acked)
}

/// Publishes with many in flight until the connection breaks; answers the next number.
fn publish_until_cut(
    addr: SocketAddr,
    publisher: usize,
    first: u64,
    acks: &SyncSender<Acked>,
) -> u64 {
    let mut next = first;
    // Every error here is the broken connection this test provokes.
    if let Ok(client) = RawClient::connect(addr) {
        publish_loop(client, publisher, &mut next, acks).ok();
    }
    next
}

fn publish_loop(
    mut client: RawClient,
    publisher: usize,
    next: &mut u64,
    acks: &SyncSender<Acked>,
) -> std::io::Result<()> {
    let inbox = format!("_INBOX.kill{publisher}");
    client.subscribe(&format!("{inbox}.*"), 1);
    let mut in_flight = 0;
    loop {
        while in_flight < IN_FLIGHT_MAX {
            let identity = Identity {
                publisher,
                number: *next,
            };
            let reply = format!("{inbox}.{}", identity.number);
            client.publish(&identity.subject(), &reply, &identity.payload());
            *next += 1;
            in_flight += 1;
        }
        client.flush()?;
        client.receive(|message| {
            let number = message
                .subject
                .rsplit('.')
                .next()
                .and_then(|text| text.parse().ok());
            let ack: Option<serde_json::Value> = serde_json::from_slice(message.payload).ok();
            let seq = ack.as_ref().and_then(|ack| ack["seq"].as_u64());
            if let (Some(number), Some(seq @ 1..)) = (number, seq) {
                // The collector has stopped only when it failed.
                acks.send(Acked {
                    identity: Identity { publisher, number },
                    seq,
                })
                .ok();
            }
            in_flight -= 1;
        })?;
    }
}

/// Reads everything after what the ledger has, checks it, and adds it.
async fn read_from(stream: &stream::Stream, ledger: &mut Ledger, acked: &[Acked]) -> Result<()> {
    let state = stream.get_info().await?.state;
    let known = ledger.stored.len() as u64;
    ensure!(
        state.last_sequence >= known,
        "{known} messages were read, now {state:?}"
    );
    ensure!(
        state.messages == state.last_sequence,
        "no message was ever deleted: {state:?}"
    );
    let consumer = stream
        .create_consumer(pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: known + 1,
            },
            ack_policy: AckPolicy::None,
            ..Default::default()
        })
        .await?;
    let mut left = state.last_sequence - known;
    while left > 0 {
        let batch = usize::try_from(left.min(500))?;
        let mut messages = consumer
            .batch()
            .max_messages(batch)
            .expires(PATIENCE)
            .messages()
            .await?;
        let before = left;
        while let Some(message) = messages
            .try_next()
            .await
            .map_err(anyhow::Error::from_boxed)?
        {
            let seq = delivery(&message)?.stream_sequence;
            let identity = Identity::of_payload(&message.payload)?;
            ensure!(
                seq == ledger.stored.len() as u64 + 1,
                "sequence {seq} is out of order"
            );
            ensure!(
                *message.payload == identity.payload(),
                "{identity:?} at {seq} is damaged"
            );
            ensure!(
                message.subject.as_str() == identity.subject(),
                "{identity:?} at {seq}"
            );
            ledger.stored.push(identity);
            left -= 1;
        }
        ensure!(left < before, "the last {left} messages do not come");
    }
    in_order_and_once(&ledger.stored)?;
    every_ack_holds(&ledger.stored, acked)
}

/// Each publisher's numbers only rise, so none is there twice.
fn in_order_and_once(stored: &[Identity]) -> Result<()> {
    let mut last = [None; PUBLISHERS];
    for (identity, seq) in stored.iter().zip(1_u64..) {
        let last = &mut last[identity.publisher];
        ensure!(
            *last < Some(identity.number),
            "{identity:?} at {seq} comes after {last:?}"
        );
        *last = Some(identity.number);
    }
    Ok(())
}

fn every_ack_holds(stored: &[Identity], acked: &[Acked]) -> Result<()> {
    for ack in acked {
        let there = usize::try_from(ack.seq)?
            .checked_sub(1)
            .and_then(|at| stored.get(at));
        ensure!(
            there == Some(&ack.identity),
            "acknowledged {ack:?}, found {there:?}"
        );
    }
    Ok(())
}

on_both_servers!(no_acknowledged_message_is_lost_or_doubled);
