//! What can go wrong with a command, by what the caller can do about it.

use std::fmt::Debug;

use crate::event::CodecError;
use crate::id::{CommandId, Position};
use crate::jetstream::JetStreamError;

/// An aggregate could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The broker did not answer, or not with sense.
    #[error("the broker is unavailable: {reason}")]
    Unavailable {
        /// What it said.
        reason: String,
    },
    /// A stored event cannot be read by this program: a decision without it would be wrong.
    #[error("cannot read the event at {position} ({subject:?})")]
    Incompatible {
        /// Subject of the event.
        subject: String,
        /// Its place in the stream.
        position: Position,
        /// Why.
        source: CodecError,
    },
    /// The kind of aggregate is not part of the application.
    #[error("{aggregate} is not registered; add `.aggregate::<{aggregate}>()` to the `App`")]
    NotRegistered {
        /// Its type.
        aggregate: &'static str,
    },
}

impl From<JetStreamError> for LoadError {
    fn from(error: JetStreamError) -> Self {
        Self::Unavailable {
            reason: error.to_string(),
        }
    }
}

/// A command took no effect, or nobody knows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError<R> {
    /// The domain said no; nothing is written.
    #[error("{0}")]
    Rejected(R),
    /// The command creates, and the aggregate exists; nothing is written.
    #[error("{aggregate} {id:?} exists already")]
    AlreadyExists {
        /// The kind of aggregate.
        aggregate: &'static str,
        /// Its id.
        id: String,
    },
    /// The command needs the aggregate, and it does not exist; nothing is written.
    #[error("{aggregate} {id:?} does not exist")]
    NotFound {
        /// The kind of aggregate.
        aggregate: &'static str,
        /// Its id.
        id: String,
    },
    /// Others kept changing the aggregate; nothing is written.
    #[error("the aggregate changed {attempts} times while the command was decided")]
    Conflict {
        /// How often it was tried.
        attempts: u32,
        /// The version last seen.
        actual: Position,
    },
    /// The append may have been stored. Sending the command again with the same id is safe.
    #[error("the fate of command {command_id} is unknown; send it again with the same id")]
    Unknown {
        /// The command.
        command_id: CommandId,
    },
    /// The broker did not take it; nothing is written.
    #[error("the broker is unavailable: {reason}")]
    Unavailable {
        /// What it said.
        reason: String,
    },
    /// The history cannot be read by this program; nothing is written.
    #[error("the aggregate cannot be loaded")]
    Incompatible(#[source] LoadError),
    /// The command cannot be executed as it is; nothing is written.
    #[error("the command cannot be executed: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
}

impl<R> ExecuteError<R> {
    /// Whether sending the command again later, with the same id, may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Conflict { .. } | Self::Unknown { .. } | Self::Unavailable { .. }
        )
    }

    /// Whether it is certain that nothing was written.
    #[must_use]
    pub const fn certainly_not_written(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}

impl<R> From<LoadError> for ExecuteError<R> {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Unavailable { reason } => Self::Unavailable { reason },
            LoadError::NotRegistered { .. } => Self::Invalid {
                reason: error.to_string(),
            },
            LoadError::Incompatible { .. } => Self::Incompatible(error),
        }
    }
}
