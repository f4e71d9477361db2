//! Why an application does not start.

use crate::consumer::MissingDependency;
use crate::jetstream::{JetStreamError, StreamError};

/// An application did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The stream of a context cannot be found, made or used.
    #[error("{reason}")]
    Stream {
        /// What is wrong with it.
        reason: String,
    },
    /// The durable consumer cannot be made, or is there with other settings.
    #[error("consumer {durable:?} cannot be made: {reason}")]
    Consumer {
        /// Its durable name.
        durable: &'static str,
        /// What the broker said.
        reason: String,
    },
    /// A handler asks for something nobody provided.
    #[error("consumer {durable:?} cannot run")]
    Dependency {
        /// Its durable name.
        durable: &'static str,
        /// What is missing.
        source: MissingDependency,
    },
    /// Consumers remember what they have handled in an inbox, and there is none.
    #[error("consumer {durable:?} needs an inbox; add `.inbox(store)` to the `App`")]
    NoInbox {
        /// Its durable name.
        durable: &'static str,
    },
    /// Two projections have one name, or keep rows in one table.
    #[error("projections {first:?} and {second:?} share a name or the table {table:?}")]
    Duplicate {
        /// The one added first.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// The table of the other.
        table: &'static str,
    },
}

impl StartError {
    #[allow(clippy::needless_pass_by_value, reason = "used with map_err")]
    pub(super) fn stream(error: StreamError) -> Self {
        Self::Stream {
            reason: crate::chain(&error),
        }
    }

    pub(super) fn consumer(durable: &'static str, error: &JetStreamError) -> Self {
        Self::Consumer {
            durable,
            reason: error.to_string(),
        }
    }
}
