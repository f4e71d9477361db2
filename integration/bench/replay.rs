//! Scenarios: a stream read from its beginning in order, and the last message of each of its subjects.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::delivery::Delivery;
use crate::loaded::Loaded;
use crate::measure::{Cost, Figure, Sample, Usage, Watched};

/// Everything, each message exactly once and in order.
pub(crate) fn everything(addr: SocketAddr, watched: Watched<'_>, loaded: Loaded) -> Result<Sample> {
    let count = u64::try_from(loaded.messages)?;
    let reading = Reading::run(addr, watched, ("all", count))?;
    ensure!(
        reading.last_seq == count,
        "of {count} messages the last is {}",
        reading.last_seq
    );
    let figures = [
        Figure::rate(count, reading.all),
        Figure::millis("first", reading.first),
    ];
    Ok(reading.sample(figures))
}

/// The last message of each subject, in order.
pub(crate) fn last_per_subject(
    addr: SocketAddr,
    watched: Watched<'_>,
    loaded: Loaded,
) -> Result<Sample> {
    let subjects = u64::try_from(loaded.event_subjects())?;
    let reading = Reading::run(addr, watched, ("last_per_subject", subjects))?;
    ensure!(
        reading.last_seq == u64::try_from(loaded.messages)?,
        "for {subjects} subjects the last is {}",
        reading.last_seq
    );
    let figures = [
        Figure::millis("first", reading.first),
        Figure::millis("all", reading.all),
    ];
    Ok(reading.sample(figures))
}

/// A delivery from the request for it to its last message.
struct Reading {
    first: Duration,
    all: Duration,
    last_seq: u64,
    cost: Cost,
    way: &'static str,
}

impl Reading {
    fn run(
        addr: SocketAddr,
        watched: Watched<'_>,
        (deliver_policy, count): (&str, u64),
    ) -> Result<Self> {
        let start = Usage::of(watched)?;
        let started = Instant::now();
        let mut delivery = Delivery::start(addr, Loaded::EVENTS, deliver_policy)?;
        let (mut received, mut last_seq) = (0, 0);
        let mut in_order = true;
        let mut first = None;
        while received < count {
            received += delivery.receive(|seq| {
                in_order &= seq > last_seq;
                last_seq = seq;
            })?;
            if received > 0 {
                first.get_or_insert_with(|| started.elapsed());
            }
        }
        let all = started.elapsed();
        let end = Usage::of(watched)?;
        ensure!(
            received == count && in_order,
            "{received} of {count} messages came, in order: {in_order}"
        );
        let way = delivery.way();
        delivery.end()?;
        Ok(Self {
            first: first.context("nothing was delivered")?,
            all,
            last_seq,
            cost: start.until(&end, 0),
            way,
        })
    }

    fn sample(self, figures: [Figure; 2]) -> Sample {
        Sample {
            figures: figures.into(),
            cost: Some(self.cost),
            way: Some(self.way),
        }
    }
}
