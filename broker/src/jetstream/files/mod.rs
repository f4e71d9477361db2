//! The files of the groups, but for the log.
//!
//! | file | noun |
//! |---|---|
//! | `stores` | [`Stores`]: makes and opens the stores of streams |
//! | `stream_dirs` | where the bodies of each stream lie |
//! | `state_record` | the state of a group as its checkpoint keeps it |
//! | `freezing` | moving the older part of an index into tables |
//! | `log_start` | where the log begins |
//! | `reserve` | [`Reserve`]: room kept back for a full disk |

pub(super) mod freezing;
mod log_start;
mod reserve;
pub(super) mod state_record;
mod stores;
pub(super) mod stream_dirs;

pub(crate) use freezing::IndexBudget;
pub(super) use log_start::LOG_START;
pub use reserve::RESERVE_BYTES;
pub(super) use reserve::Reserve;
pub(super) use state_record::StateSnapshot;
pub(crate) use stores::Stores;
pub(super) use stores::TAIL_BYTES_MAX;
