//! Why a link ends.

/// Why a link ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkEnd {
    /// The other node closed it.
    ClosedByPeer,
    /// The socket failed.
    Failed,
    /// Nothing came from the other node for too long.
    Stale,
    /// The other node does not take what it is sent.
    Slow,
    /// What came made no sense.
    Malformed,
    /// The other node wants more subjects than may be.
    TooMuchInterest,
    /// Another link to the same node takes its place.
    Replaced,
    /// The other node said so.
    Refused,
    /// This node stops.
    Shutdown,
}

impl LinkEnd {
    /// Nobody will take what still waits.
    pub(super) fn gives_up(self) -> bool {
        !matches!(self, Self::Shutdown)
    }

    /// What the log says, in the words of nats-server where it has them.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::ClosedByPeer => "Client Closed",
            Self::Failed => "Read Error",
            Self::Stale => "Stale Connection",
            Self::Slow => "Slow Consumer",
            Self::Malformed => "Protocol Violation",
            Self::TooMuchInterest => "maximum subscriptions exceeded",
            Self::Replaced => "Duplicate Route",
            Self::Refused => "refused by the other node",
            Self::Shutdown => "Server Shutdown",
        }
    }
}
