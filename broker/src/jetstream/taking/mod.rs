//! Taking messages in, on the threads of those who publish, and handing on what the log commits.
//!
//! | file | noun |
//! |---|---|
//! | `intake` | [`Intake`]: what all share who take messages in, and whether one may be taken |
//! | `capture` | [`Captured`]: a stream's subscriptions; what is published there is proposed to its group |
//! | `entry` | [`StreamEntry`]: what is known of a stream outside its owner |
//! | `directory` | [`Directory`]: stream names |
//! | `offline` | [`OfflineStream`]: one that does not serve because of damage |
//! | `quota` | [`Quota`]: how many bytes the streams hold, against the limits |
//! | `room` | [`WaitingRoom`]: waiting while too much is under way |
//! | `commits` | [`ToShards`]: what the log commits, on its way to the shards |

mod capture;
mod commits;
mod directory;
mod entry;
mod intake;
mod offline;
mod quota;
pub(super) mod room;

pub(super) use capture::Captured;
pub(super) use commits::ToShards;
pub(super) use directory::{Directory, Usage};
pub(crate) use entry::StreamEntry;
pub(super) use intake::Intake;
pub(super) use offline::OfflineStream;
pub(super) use quota::Quota;
pub(super) use room::WaitingRoom;
