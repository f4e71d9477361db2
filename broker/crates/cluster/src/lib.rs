//! The replicated log: what is proposed to a group comes back committed, in the same order everywhere.
//!
//! * [`Log`] is what proposers see; [`Commits`] is told what became of each record.
//! * [`SoloLog`] is the driver of a node that stands alone: durable on its own disk is committed. One
//!   thread, the lane, owns the write-ahead log; what arrives while it syncs is the next write.
//!
//! A record is opaque here: the crate knows neither streams nor messages, and must not know tokio or
//! the broker. Waiting for room is the broker's; here a full log refuses.

#![forbid(unsafe_code)]

mod budget;
mod commits;
mod log;
mod solo;

pub use budget::InFlight;
pub use commits::{Commits, Committed};
pub use log::{Durability, Encode, Log, LogError, Refusal, Refused};
pub use solo::{
    ENTRY_BYTES_MAX, ENTRY_RECORDS_MAX, RELAXED_SYNC_WITHIN, ROUND_BYTES_MAX, SoloLog, SoloOptions,
};
