//! The threads that own the streams and the list of them.
//!
//! | file | noun |
//! |---|---|
//! | `shard` | [`Shard`]: the thread that owns the streams of some groups |
//! | `meta_owner` | [`MetaOwner`]: group 0, on shard 0: which streams there are |
//! | `order` | what it has decided, for the shard of the stream |

mod meta_owner;
pub(super) mod order;
mod shard;

pub(crate) use meta_owner::MetaOwner;
pub(super) use order::StreamOrder;
pub(crate) use shard::ShardParts;
pub(super) use shard::{Shard, TAIL_BYTES_MAX};
