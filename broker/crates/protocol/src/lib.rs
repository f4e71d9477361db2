//! The NATS client protocol without IO: subjects and filters, the subject tree, headers, the codec
//! of the client protocol, the time format of the JetStream API, and the protocol between nodes.
//!
//! Bytes go in, values come out, and the other way round. Sockets, clocks, random sources and
//! runtimes belong to the callers; this crate knows none of them and depends on no other crate of
//! the workspace.
//!
//! | noun | what it is |
//! |---|---|
//! | [`Subject`], [`SubjectFilter`] | checked names; a filter may hold wildcards |
//! | [`SubjectTransform`] | makes one subject out of another |
//! | [`SubjectTree`] | finds the filters that match a subject |
//! | [`Decoder`] -> [`ClientOp`] | what a client sends |
//! | [`encode`] | what a server sends, and client operations for tests and tools |
//! | [`Connect`], [`ServerInfo`] | the JSON bodies of CONNECT and INFO |
//! | [`Headers`], [`HeadersBuilder`] | the header block of a message |
//! | [`link`] | what the nodes of a cluster say to each other |
//! | [`Timestamp`] | nanoseconds since 1970, written as Go writes `time.Time` |

#![forbid(unsafe_code)]

mod client_op;
mod connect;
mod decode_error;
mod decoder;
pub mod encode;
mod filter;
mod go_duration;
mod headers;
pub mod link;
mod server_info;
mod subject;
mod timestamp;
mod transform;
mod tree;
mod verb;
mod words;

pub use client_op::{ClientOp, Publish};
pub use connect::{Connect, Secret};
pub use decode_error::DecodeError;
pub use decoder::{Decoder, Limits};
pub use filter::SubjectFilter;
pub use go_duration::{format_go_duration, parse_go_duration};
pub use headers::{Headers, HeadersBuilder, HeadersError};
pub use server_info::ServerInfo;
pub use subject::{Subject, SubjectError, SubjectErrorKind};
pub use timestamp::{Timestamp, TimestampError};
pub use transform::{SubjectTransform, TransformError};
pub use tree::SubjectTree;
