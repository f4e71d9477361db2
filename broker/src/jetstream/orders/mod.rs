//! What the shards are told.
//!
//! | file | noun |
//! |---|---|
//! | `input` | [`ShardQueue`] and what waits in it |

mod input;

pub(crate) use input::{Input, ShardQueue};
