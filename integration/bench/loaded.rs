//! The store that the reading scenarios share: filled once per server, read in every round.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use hitherto_integration::raw::RawClient;

use crate::api;
use crate::closed_loop::{ClosedLoop, End};
use crate::measure::Latencies;
use crate::publish::{Publish, Publisher};

/// Bytes of each payload.
pub(crate) const PAYLOAD_BYTES: usize = 128;

/// How many messages of one aggregate the stream `AGGREGATES` holds.
pub(crate) const EVENTS_EACH: usize = 20;

/// How many messages of one subject the stream `EVENTS` holds.
const MESSAGES_EACH: usize = 10;

/// Acks that may be missing while a store is filled.
const IN_FLIGHT: usize = 2_000;

/// What is in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loaded {
    /// In each stream.
    pub(crate) messages: usize,
}

impl Loaded {
    pub(crate) const EVENTS: &str = "EVENTS";
    pub(crate) const AGGREGATES: &str = "AGGREGATES";

    /// Subjects of the stream `EVENTS`: `event.<number>`.
    pub(crate) fn event_subjects(self) -> usize {
        (self.messages / MESSAGES_EACH).max(1)
    }

    /// Subjects of the stream `AGGREGATES`: `aggregate.<number>`.
    pub(crate) fn aggregates(self) -> usize {
        (self.messages / EVENTS_EACH).max(1)
    }

    /// Fills both streams of an empty server. The messages of one subject lie far apart.
    pub(crate) fn fill(self, addr: SocketAddr) -> Result<()> {
        fill(
            addr,
            Self::EVENTS,
            "event",
            self.event_subjects(),
            self.messages,
        )?;
        fill(
            addr,
            Self::AGGREGATES,
            "aggregate",
            self.aggregates(),
            self.messages,
        )
    }
}

/// Creates a stream on `<prefix>.>` and puts messages on its subjects in turn.
pub(crate) fn fill(
    addr: SocketAddr,
    stream: &str,
    prefix: &str,
    subjects: usize,
    messages: usize,
) -> Result<()> {
    let mut client = RawClient::connect(addr)?;
    let config = format!(
        r#"{{"name":"{stream}","subjects":["{prefix}.>"],"storage":"file","allow_direct":true}}"#
    );
    api::call(&mut client, &format!("STREAM.CREATE.{stream}"), &config)?;
    let publish = Publish {
        connections: 1,
        in_flight: IN_FLIGHT,
        payload_bytes: PAYLOAD_BYTES,
        subjects,
        conditional: false,
    };
    let mut publishers = ClosedLoop::connect(addr, IN_FLIGHT, Publisher::several(prefix, publish))?;
    let messages = u64::try_from(messages)?;
    publishers.run(End::After(messages), &mut Latencies::new()?)?;
    let stored = api::messages(&mut client, stream)?;
    ensure!(stored == messages, "{stored} of {messages} are stored");
    Ok(())
}
