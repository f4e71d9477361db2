//! One link to another node, shared by everybody who sends over it or watches it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hitherto_platform::Clock;
use hitherto_protocol::Timestamp;

use super::NodeId;
use super::judge::LinkMark;
use super::outbound::LinkOutbound;
use crate::connection::{Traffic, Vitals};

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
    vitals: Vitals,
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
        Self {
            rid,
            mark,
            origin,
            peer,
            outbound: Arc::new(outbound),
            vitals: Vitals::new(clock),
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
        self.vitals.note_received(received);
        self.vitals.note_activity();
    }

    /// A PING was answered after so long.
    pub(super) fn note_rtt(&self, rtt: Duration) {
        self.vitals.note_rtt(rtt);
    }

    /// The other node wants so much.
    pub(super) fn note_interest(&self, interest: usize) {
        self.interest.store(interest, Ordering::Relaxed);
    }

    /// The link as it is now.
    pub(super) fn report(&self) -> LinkReport {
        let (sent, pending_bytes) = self.outbound.figures();
        LinkReport {
            rid: self.rid,
            server_id: self.mark.server_id.clone(),
            server_name: self.mark.server_name.clone(),
            dialed: self.mark.dialed,
            is_configured: self.origin == Origin::Configured,
            peer: self.peer,
            started: self.vitals.started(),
            at: self.vitals.now(),
            last_activity: self.vitals.last_activity(),
            rtt: self.vitals.rtt(),
            pending_bytes,
            received: self.vitals.received(),
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
