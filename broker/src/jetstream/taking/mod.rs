//! Taking messages in, on the threads of those who publish, and handing on what the log commits.
//!
//! | file | noun |
//! |---|---|
//! | `capture` | [`Captured`]: a stream's subscriptions; what is published there is proposed to its group |
//! | `directory` | [`Directory`]: stream names |
//! | `offline` | [`OfflineStream`]: one that does not serve because of damage |
//! | `quota` | [`Quota`]: how many bytes the streams hold, against the limits |
//! | `room` | [`WaitingRoom`]: waiting while too much is under way |
//! | `commits` | [`ToShards`]: what the log commits, on its way to the shards |

mod capture;
mod commits;
mod directory;
mod offline;
mod quota;
pub(super) mod room;

pub(super) use capture::{Captured, Intake};
pub(super) use commits::{ToShards, shard_of};
pub(super) use directory::{Directory, StreamEntry, Usage};
pub(super) use offline::{LOG_START, OfflineStream};
pub(super) use quota::Quota;
pub(super) use room::WaitingRoom;
