//! Which streams there are: the state machine of group 0.
//!
//! | file | noun |
//! |---|---|
//! | [`state`] | [`Meta`]: names, groups and configurations |
//! | [`command`] | [`MetaCommand`] and its stored form |
//! | [`snapshot`] | [`MetaSnapshot`]: the state between restarts |

mod command;
mod snapshot;
mod state;

pub use command::{MetaCommand, MetaCommandError};
pub use snapshot::{MetaRestoreError, MetaSnapshot};
pub use state::{Meta, MetaOutcome, StreamEntry};
