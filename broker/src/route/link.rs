//! One link to another node, shared by everybody who sends over it or watches it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hitherto_platform::Clock;
use hitherto_protocol::Timestamp;

use super::NodeId;
use super::judge::LinkMark;
use super::outbound::LinkOutbound;
use crate::connection::Traffic;

/// How the other side's address became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The other node connected.
    Accepted,
    /// It is in the configuration.
    Configured,
    /// Another node told of it.
    Learned,
}

/// One link.
pub(crate) struct Link {
    /// Numbers connections and links of this node together, as nats-server does.
    pub(super) rid: u64,
    pub(super) mark: LinkMark,
    pub(super) origin: Origin,
    pub(super) peer: SocketAddr,
    pub(super) outbound: Arc<LinkOutbound>,
    clock: Arc<dyn Clock>,
    started: Timestamp,
    received_messages: AtomicU64,
    received_bytes: AtomicU64,
    /// Nanoseconds since 1970.
    last_activity: AtomicI64,
    /// 0 while it is not known.
    rtt_nanos: AtomicU64,
    /// What the other node wants.
    interest: AtomicUsize,
}

/// A link at one moment.
#[derive(Debug, Clone)]
pub(crate) struct LinkReport {
    pub(crate) rid: u64,
    pub(crate) server_id: String,
    pub(crate) server_name: String,
    pub(crate) dialed: bool,
    pub(crate) is_configured: bool,
    pub(crate) peer: SocketAddr,
    pub(crate) started: Timestamp,
    pub(crate) at: Timestamp,
    pub(crate) last_activity: Timestamp,
    pub(crate) rtt: Option<Duration>,
    pub(crate) pending_bytes: usize,
    pub(crate) received: Traffic,
    pub(crate) sent: Traffic,
    pub(crate) interest: usize,
}

impl Link {
    pub(super) fn new(
        rid: u64,
        mark: LinkMark,
        (origin, peer): (Origin, SocketAddr),
        outbound: LinkOutbound,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let started = Timestamp::from(clock.now());
        Self {
            rid,
            mark,
            origin,
            peer,
            outbound: Arc::new(outbound),
            clock,
            started,
            received_messages: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            last_activity: AtomicI64::new(started.unix_nanos()),
            rtt_nanos: AtomicU64::new(0),
            interest: AtomicUsize::new(0),
        }
    }

    /// The node at the other end.
    pub(crate) fn node(&self) -> NodeId {
        self.mark.node
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.mark.server_name
    }

    /// Messages came.
    pub(super) fn note_received(&self, received: Traffic) {
        self.received_messages
            .fetch_add(received.messages, Ordering::Relaxed);
        self.received_bytes
            .fetch_add(received.bytes, Ordering::Relaxed);
        self.last_activity.store(
            Timestamp::from(self.clock.now()).unix_nanos(),
            Ordering::Relaxed,
        );
    }

    /// A PING was answered after so long.
    pub(super) fn note_rtt(&self, rtt: Duration) {
        let nanos = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        self.rtt_nanos.store(nanos.max(1), Ordering::Relaxed);
    }

    /// The other node wants so much.
    pub(super) fn note_interest(&self, interest: usize) {
        self.interest.store(interest, Ordering::Relaxed);
    }

    /// The link as it is now.
    pub(super) fn report(&self) -> LinkReport {
        let (sent, pending_bytes) = self.outbound.figures();
        let rtt = self.rtt_nanos.load(Ordering::Relaxed);
        LinkReport {
            rid: self.rid,
            server_id: self.mark.server_id.clone(),
            server_name: self.mark.server_name.clone(),
            dialed: self.mark.dialed,
            is_configured: self.origin == Origin::Configured,
            peer: self.peer,
            started: self.started,
            at: Timestamp::from(self.clock.now()),
            last_activity: Timestamp::from_unix_nanos(self.last_activity.load(Ordering::Relaxed)),
            rtt: (rtt > 0).then(|| Duration::from_nanos(rtt)),
            pending_bytes,
            received: Traffic {
                messages: self.received_messages.load(Ordering::Relaxed),
                bytes: self.received_bytes.load(Ordering::Relaxed),
            },
            sent,
            interest: self.interest.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("rid", &self.rid)
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}
