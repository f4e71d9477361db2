//! The threads that own the streams and the list of them.
//!
//! | file | noun |
//! |---|---|
//! | `shard` | [`Shard`]: the thread that owns the streams of some groups |
//! | `parts` | [`ShardParts`]: what all shards share |
//! | `meta_owner` | [`MetaOwner`]: group 0, on shard 0: which streams there are |
//! | `opening` | opening a stream: [`open_stream`] |
//! | `answers` | what is answered to those who ask about streams |

mod answers;
mod meta_owner;
mod opening;
mod parts;
mod shard;

pub(crate) use meta_owner::MetaOwner;
pub(super) use opening::open_stream;
pub(crate) use parts::ShardParts;
pub(super) use shard::{Shard, TAIL_BYTES_MAX};
