//! The threads that own the streams and the list of them.
//!
//! | file | noun |
//! |---|---|
//! | `shard` | [`Shard`]: the thread that owns the streams of some groups |
//! | `parts` | [`ShardParts`]: what all shards share |
//! | `agenda` | which streams a shard looks after, and when |
//! | `meta_owner` | [`MetaOwner`]: group 0, on shard 0: which streams there are |
//! | `opening`, `openings` | opening a stream ([`open_stream`]), and those that wait for their files |
//! | `write_behind`, `index_relief` | moving bodies and indexes from memory to the disk |
//! | `upkeep` | what is answered to the checkpointer and the keeper |
//! | `answers` | what is answered to those who ask about streams |
//! | `went_offline` | streams whose index cannot be read |
//! | `panic_guard` | what happens when a shard panics |

mod agenda;
mod answers;
mod index_relief;
mod meta_owner;
mod opening;
mod openings;
mod panic_guard;
mod parts;
mod shard;
mod upkeep;
mod went_offline;
mod write_behind;

pub(crate) use meta_owner::MetaOwner;
pub(super) use opening::open_stream;
pub(crate) use parts::ShardParts;
pub(super) use shard::Shard;
