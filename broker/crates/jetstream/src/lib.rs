//! JetStream as pure state machines: what a stream, its consumers and the set of streams do with a
//! command, and what comes out.
//!
//! | module | noun |
//! |---|---|
//! | [`command`] | [`Command`]: a change of a stream as it travels through the log |
//! | `stream` | [`Stream`]: one stream with its consumers inside |
//! | `consumer` | [`Consumer`]: deliveries, acknowledgements, redeliveries |
//! | `output` | [`Outcome`] of a command, [`Output`]: an effect for the owner to carry out |
//! | `index` | the messages of a stream by sequence, subject and time, without bodies |
//! | `meta` | [`Meta`]: which streams there are, which nodes, and who keeps what |
//! | `surroundings` | [`Surroundings`]: what the owner looks up in the middle of a round |
//! | `config` | [`StreamConfig`] and [`ConsumerConfig`] with their checks |
//! | [`api`] | requests and responses of the JetStream API, and its error table |
//! | [`ack_subject`] | the text form of a delivery's reply subject |
//!
//! Two kinds of input. A [`Command`] comes out of the log and is applied by every replica
//! ([`Stream::apply`]); it must decide the same everywhere, so it carries the leader's clock.
//! Everything else ([`Stream::handle_pull`], [`Stream::handle_ack`], [`Stream::handle_timeout`],
//! [`Stream::deliver`] and their like) happens on the owner alone and changes only what may be lost: waiting pulls,
//! deadlines, deliveries not yet recorded. Effects come out of [`Stream::poll_output`] as values.
//!
//! This crate knows no clock, random source, file, socket, thread or async runtime, and of the other
//! crates only `hitherto-protocol`.
//!
//! # Not in this version
//!
//! Mirrors, sources, counters, schedules, priority groups. A configuration that
//! asks for one of them is refused with the error a NATS server uses for an unusable setting.

#![forbid(unsafe_code)]

pub mod ack_subject;
pub mod api;
pub mod command;
mod config;
mod consumer;
mod event;
mod ids;
mod index;
mod lifetime;
mod message;
mod meta;
pub mod numbers;
mod output;
mod ranges;
mod stream;
mod surroundings;

pub use command::Command;
pub use config::*;
pub use consumer::{Ack, Consumer, PullRequest};
pub use event::TypedEvent;
pub use ids::{ConsumerSeq, GroupId, LogIndex, NodeId, StreamSeq};
pub use index::{
    MergedTable, SavedTables, Selection, TableBytes, TableCache, TableDraft, TableMerge,
    Unreadable, catch_unreadable, check_table,
};
pub use lifetime::Lifetime;
pub(crate) use message::MESSAGE_RECORD_BYTES;
pub use message::{MessageMeta, MetaPart, StoredMessage, message_bytes};
pub use meta::*;
pub use output::{ConsumerKey, Delivery, Outcome, Output, Republished, Status, Stored, Watch};
pub use ranges::SeqRanges;
pub use stream::{Freeze, OpenTables, RestoreError, Restoring, Stream, StreamSnapshot};
pub use surroundings::{Fetched, MessageLens, Surroundings};
