//! How a client can break the protocol, and what it is told before its connection is closed.
//!
//! Compared on the wire with nats-server 2.15.0.

/// Says how a client broke the protocol.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The line begins with no verb a client may send.
    #[error("unknown protocol operation")]
    UnknownOperation,
    /// The arguments of a line, or a line whose end has not come, are too long.
    #[error("control line exceeds {max} bytes")]
    ControlLineTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// A line lacks words, has too many, or a number in it is none.
    #[error("arguments of {verb} are malformed")]
    MalformedArguments {
        /// The verb of the line.
        verb: &'static str,
    },
    /// An HPUB announces more headers than message.
    #[error("header size {headers} exceeds total size {total}")]
    HeadersTooLong {
        /// Announced size of the headers in bytes.
        headers: u64,
        /// Announced size of headers and payload in bytes.
        total: u64,
    },
    /// The announced message is larger than the limit.
    #[error("message of {bytes} bytes exceeds max_payload of {max} bytes")]
    PayloadTooLarge {
        /// Announced size of headers and payload in bytes.
        bytes: u64,
        /// The limit in bytes.
        max: usize,
    },
    /// No CRLF where the announced payload ends.
    #[error("payload is not followed by CRLF")]
    MalformedPayload,
    /// The body of CONNECT is not the JSON it should be.
    #[error("body of CONNECT is malformed")]
    InvalidConnect {
        /// What the JSON reader says.
        source: serde_json::Error,
    },
}

impl DecodeError {
    /// The text for `-ERR` before the connection is closed; `None` when it is closed silently.
    pub fn wire_text(&self) -> Option<&'static str> {
        match self {
            Self::UnknownOperation | Self::MalformedPayload => Some("Unknown Protocol Operation"),
            Self::ControlLineTooLong { .. } => Some("maximum control line exceeded"),
            Self::PayloadTooLarge { .. } => Some("Maximum Payload Violation"),
            Self::MalformedArguments { .. }
            | Self::HeadersTooLong { .. }
            | Self::InvalidConnect { .. } => None,
        }
    }
}
