//! What can go wrong between the log and a read model.

use crate::event::CodecError;
use crate::id::Position;
use crate::jetstream::JetStreamError;
use crate::store::StoreError;

/// A read model cannot be kept, or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// The read store refused or failed.
    #[error("the read store of projection {projection:?} failed")]
    Store {
        /// The projection, or the table when no projection keeps it.
        projection: &'static str,
        /// What the store said.
        source: StoreError,
    },
    /// The broker did not answer, or not with sense.
    #[error("projection {projection:?} cannot read the log: {reason}")]
    Unavailable {
        /// The projection.
        projection: &'static str,
        /// What the broker said.
        reason: String,
    },
    /// A stored event cannot be read by this program. It is not skipped.
    #[error("projection {projection:?} cannot read the event at {position}")]
    Event {
        /// The projection.
        projection: &'static str,
        /// Place of the event.
        position: Position,
        /// Why.
        source: CodecError,
    },
    /// A stored row does not fit its type, or a new one cannot be written. After a change of the
    /// row type, rebuild.
    #[error(
        "a row of projection {projection:?} cannot be read or written; rebuild it if its type changed"
    )]
    Row {
        /// The projection, or the table when no projection keeps it.
        projection: &'static str,
        /// Why.
        source: CodecError,
    },
    /// The fold panicked. Its rows stay as they were before the event.
    #[error("projection {projection:?} panicked at the event at {position}: {message}")]
    Panicked {
        /// The projection.
        projection: &'static str,
        /// Place of the event.
        position: Position,
        /// What it said.
        message: String,
    },
    /// The rows come from another stream of that name (made anew, or restored): rebuild.
    #[error(
        "projection {projection:?} belongs to a stream made at {expected}, this one was made at {found}; rebuild it"
    )]
    OtherStream {
        /// The projection.
        projection: &'static str,
        /// The stream of the rows.
        expected: String,
        /// The stream there is.
        found: String,
    },
    /// The read model has not come as far as asked for, in time.
    #[error("projection {projection:?} is at {position}, not yet at {wanted}{}", failure_text(.failure))]
    Lagging {
        /// The projection.
        projection: &'static str,
        /// Where it is.
        position: Position,
        /// Where it should be.
        wanted: Position,
        /// Why it does not go on, if it does not.
        failure: Option<String>,
    },
    /// Nothing of that name is part of the application.
    #[error("{name:?} is not registered; add `.projection(..)` to the `App`")]
    NotRegistered {
        /// The projection or table.
        name: &'static str,
    },
}

impl ProjectionError {
    pub(super) fn store(projection: &'static str) -> impl Fn(StoreError) -> Self {
        move |source| Self::Store { projection, source }
    }

    pub(super) fn unavailable(projection: &'static str) -> impl Fn(JetStreamError) -> Self {
        move |error| Self::Unavailable {
            projection,
            reason: error.to_string(),
        }
    }
}

fn failure_text(failure: &Option<String>) -> String {
    failure
        .as_deref()
        .map(|failure| format!(": {failure}"))
        .unwrap_or_default()
}
