//! The protocol between the nodes of a cluster: frames on a byte stream, without IO.
//!
//! | noun | what it is |
//! |---|---|
//! | [`Frame`] | everything a node says to another |
//! | [`FrameDecoder`] | bytes to frames, with a bound on their length |
//! | [`encode`] | frames to bytes |
//! | [`Hello`], [`Refusal`], [`NodeNews`], [`PeerAddress`] | what nodes say about themselves and others, as JSON |
//! | [`Channel`] | what the bytes of the replicated log travel under |
//!
//! It is our own: no client sees it, and nodes of nats-server do not speak it. A frame is
//!
//! ```text
//! offset  bytes  what
//! 0       4      length of kind and body, little endian
//! 4       4      crc32c of kind and body, little endian
//! 8       1      kind
//! 9       ...    body
//! ```
//!
//! What is said seldom is JSON, so that fields can be added: unknown ones are ignored. What is said often
//! has fixed fields. The versions a node speaks are in its [`Hello`]; both sides use the highest that both
//! know, and there is no frame of a later version before that.

mod decode;
mod documents;
pub mod encode;
mod error;
mod frame;

pub use decode::FrameDecoder;
pub use documents::{Credentials, Hello, NodeNews, PeerAddress, Refusal, RefusalKind, Versions};
pub use error::FrameError;
pub use frame::{Channel, Frame, Interest, Routed, SpaceId};

/// The versions of the protocol this code speaks.
pub const VERSIONS: Versions = Versions { min: 1, max: 1 };

/// Bytes of a frame before its kind: length and checksum.
pub const HEADER_BYTES: usize = 8;

/// Kind and body of a frame have at most so many bytes while two nodes get to know each other: 64 KiB.
pub const FRAME_BYTES_MAX_BEFORE_HELLO: usize = 64 * 1024;

/// Kind and body of a frame have at most so many bytes: 80 MiB, the largest message and what it carries.
pub const FRAME_BYTES_MAX: usize = 80 * 1024 * 1024;
