//! What a client can say: one value per protocol line, with its payload.
//!
//! The parts are raw bytes: the decoder splits, the connection checks subjects and permissions.

use bytes::Bytes;

use crate::Connect;

/// One operation of a client. Wire reference: docs.nats.io, "Client Protocol".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientOp {
    /// `CONNECT {json}`.
    Connect(Box<Connect>),
    /// `PUB` or `HPUB`.
    Publish(Publish),
    /// `SUB subject [queue] sid`.
    Subscribe {
        /// The subject filter, unchecked.
        subject: Bytes,
        /// The queue group; `None` for a plain subscription.
        queue: Option<Bytes>,
        /// The client's name for the subscription.
        sid: Bytes,
    },
    /// `UNSUB sid [max]`.
    Unsubscribe {
        /// The client's name for the subscription.
        sid: Bytes,
        /// End after so many messages since SUB; `None` (also sent as `0`) means at once. Never
        /// `Some(0)`.
        max: Option<u64>,
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `INFO {json}`: tolerated from a client; its body is not looked at.
    Info,
    /// `+OK`: tolerated from a client.
    Ok,
    /// `-ERR text`: tolerated from a client; worth a line in the log.
    Err(Bytes),
}

/// The parts of a `PUB` or `HPUB`, shared with the read buffer: one that is kept keeps the whole
/// buffer alive, so what lives longer than the message is to be copied
/// ([`Subject::detached`](crate::Subject::detached)). The other operations own their memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The subject, unchecked.
    pub subject: Bytes,
    /// The reply subject, unchecked; `None` when absent.
    pub reply: Option<Bytes>,
    /// The header block, unchecked; `None` for a `PUB` and for a header length of 0.
    pub headers: Option<Bytes>,
    /// What follows the headers; may be empty.
    pub payload: Bytes,
}
