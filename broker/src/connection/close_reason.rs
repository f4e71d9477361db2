//! Why a connection ended, in the words of nats-server.

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum CloseReason {
    /// The client closed its side.
    ClientClosed,
    /// The socket failed while the client was listened to.
    ReadFailed,
    /// The socket failed while the client was written to.
    WriteFailed,
    /// The client broke the protocol.
    ProtocolViolation,
    /// The client brought no right credentials, or did not begin with CONNECT where it must.
    NotAuthorized,
    /// The TLS handshake failed or took too long.
    TlsFailed,
    /// The client did not send CONNECT in time.
    AuthTimedOut,
    /// A message was larger than `max_payload`.
    PayloadTooLarge,
    /// A line was longer than `max_control_line`.
    ControlLineTooLong,
    /// More bytes waited for the client than `max_pending`.
    PendingTooMuch,
    /// The client's socket took no byte for `write_deadline`.
    WriteTimedOut,
    /// The client did not answer PING.
    StaleConnection,
    /// There are as many connections as allowed.
    TooManyConnections,
    /// Somebody of the system account ended it.
    Kicked,
    /// The node stops.
    Shutdown,
}

impl CloseReason {
    /// The client did not take what it was sent fast enough.
    pub(crate) fn is_slow_consumer(self) -> bool {
        matches!(self, Self::PendingTooMuch | Self::WriteTimedOut)
    }

    /// The client did not prove who it is.
    pub(super) fn is_refusal(self) -> bool {
        matches!(self, Self::NotAuthorized | Self::AuthTimedOut)
    }

    /// The client will not take what waits for it.
    pub(super) fn gives_up(self) -> bool {
        matches!(
            self,
            Self::PendingTooMuch | Self::WriteTimedOut | Self::ReadFailed | Self::WriteFailed
        )
    }

    /// The text of `/connz` (`ClosedState` in nats-server 2.15 `server/monitor.go`).
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::ClientClosed => "Client Closed",
            Self::ReadFailed => "Read Error",
            Self::WriteFailed => "Write Error",
            Self::ProtocolViolation => "Protocol Violation",
            Self::NotAuthorized => "Authentication Failure",
            Self::TlsFailed => "TLS Handshake Failure",
            Self::AuthTimedOut => "Authentication Timeout",
            Self::PayloadTooLarge => "Maximum Message Payload Exceeded",
            Self::ControlLineTooLong => "Maximum Control Line Exceeded",
            Self::PendingTooMuch => "Slow Consumer (Pending Bytes)",
            Self::WriteTimedOut => "Slow Consumer (Write Deadline)",
            Self::StaleConnection => "Stale Connection",
            Self::TooManyConnections => "Maximum Connections Exceeded",
            Self::Kicked => "Kicked",
            Self::Shutdown => "Server Shutdown",
        }
    }
}
