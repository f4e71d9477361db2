//! What is measured of one connection, to a client or to another node: when something came and how much, and how far
//! away the other side is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use hitherto_platform::Clock;
use hitherto_protocol::Timestamp;

/// How many messages, and the bytes of their headers and payloads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// Written once per read or write by the connection's own tasks, and read by who watches.
pub(crate) struct Vitals {
    clock: Arc<dyn Clock>,
    started: Timestamp,
    received_messages: AtomicU64,
    received_bytes: AtomicU64,
    /// Nanoseconds since 1970.
    last_activity: AtomicI64,
    /// 0 while it is not known.
    rtt_nanos: AtomicU64,
}

impl Traffic {
    pub(crate) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

impl Vitals {
    /// Those of a connection that begins.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let started = Timestamp::from(clock.now());
        Self {
            clock,
            started,
            received_messages: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            last_activity: AtomicI64::new(started.unix_nanos()),
            rtt_nanos: AtomicU64::new(0),
        }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from(self.clock.now())
    }

    /// When the connection began.
    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    /// Something was read or written.
    pub(crate) fn note_activity(&self) {
        self.last_activity
            .store(self.now().unix_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn last_activity(&self) -> Timestamp {
        Timestamp::from_unix_nanos(self.last_activity.load(Ordering::Relaxed))
    }

    /// So much has come since the last call.
    pub(crate) fn note_received(&self, received: Traffic) {
        self.received_messages
            .fetch_add(received.messages, Ordering::Relaxed);
        self.received_bytes
            .fetch_add(received.bytes, Ordering::Relaxed);
    }

    /// What has come so far.
    pub(crate) fn received(&self) -> Traffic {
        Traffic {
            messages: self.received_messages.load(Ordering::Relaxed),
            bytes: self.received_bytes.load(Ordering::Relaxed),
        }
    }

    /// A PING was answered after so long.
    pub(crate) fn note_rtt(&self, rtt: Duration) {
        let nanos = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        self.rtt_nanos.store(nanos.max(1), Ordering::Relaxed);
    }

    /// `None` while it is not known.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        let rtt = self.rtt_nanos.load(Ordering::Relaxed);
        (rtt > 0).then(|| Duration::from_nanos(rtt))
    }
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vitals")
            .field("started", &self.started)
            .field("received", &self.received())
            .finish_non_exhaustive()
    }
}
