//! The threads that look after the files.
//!
//! | file | noun |
//! |---|---|
//! | `checkpointer` | [`Checkpointer`]: makes checkpoints and releases the log |
//! | `keeper` | [`Keeper`]: verifies and rewrites segments, and merges tables |

mod checkpointer;
mod keeper;

pub(super) use checkpointer::{Checkpointer, CheckpointerThread};
pub use keeper::{
    KEEPER_BYTES_PER_SECOND, KeeperOptions, REWRITE_INTERVAL, SCRUB_DELAY, SCRUB_INTERVAL,
};
pub(super) use keeper::{Keeper, KeeperThread};
