//! What one client may take up, and the defaults: those of nats-server 2.15.

use std::time::Duration;

/// Largest message in bytes, headers and payload together: 1 MiB.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// Largest protocol line in bytes, CONNECT included: 4,096.
pub const MAX_CONTROL_LINE: usize = 4_096;

/// Most client connections at a time: 65,536. One more gets INFO, an `-ERR` and is closed.
pub const MAX_CONNECTIONS: usize = 65_536;

/// Most subscriptions of one connection: 1,000,000. One more gets an `-ERR`; the connection stays.
/// Differs from nats-server, which has no limit by default: every table fed by a peer is bounded here.
pub const MAX_SUBSCRIPTIONS: usize = 1_000_000;

/// Most bytes that may wait for one client, or for one local subscription: 64 MiB. With more it is a slow
/// consumer and is closed.
pub const MAX_PENDING: usize = 64 * 1024 * 1024;

/// A PING goes to a client this often: every 2 minutes.
pub const PING_INTERVAL: Duration = Duration::from_secs(2 * 60);

/// A client that left so many PINGs unanswered when the next is due is closed: 2.
pub const PING_MAX: u32 = 2;

/// A client whose socket takes no byte for so long is a slow consumer: 10 s.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// What one client may take up.
#[derive(Debug, Clone)]
pub(crate) struct ClientLimits {
    pub(crate) payload_bytes_max: usize,
    pub(crate) control_line_bytes_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) subscriptions_max: usize,
    pub(crate) pending_bytes_max: usize,
    pub(crate) ping_interval: Duration,
    pub(crate) pings_outstanding_max: u32,
    pub(crate) write_deadline: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            payload_bytes_max: MAX_PAYLOAD,
            control_line_bytes_max: MAX_CONTROL_LINE,
            connections_max: MAX_CONNECTIONS,
            subscriptions_max: MAX_SUBSCRIPTIONS,
            pending_bytes_max: MAX_PENDING,
            ping_interval: PING_INTERVAL,
            pings_outstanding_max: PING_MAX,
            write_deadline: WRITE_DEADLINE,
        }
    }
}
