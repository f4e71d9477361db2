//! Aggregates and the log: load, decide, append.
//!
//! A cached state is only a head start. What is appended carries the condition "nothing new on this
//! aggregate since", which the broker checks; what is answered without appending (a rejection,
//! nothing to do) is first confirmed against the log.

mod cache;
mod error;
mod execute;
mod known;

use std::time::Duration;

use crate::aggregate::Aggregate;
use crate::envelope;
use crate::event::{Event, Recorded};
use crate::id::Position;
use crate::jetstream::{JetStream, StoredMessage};

use self::cache::Cache;
use self::known::Known;

pub use self::error::{ExecuteError, LoadError};

/// Attempts to append before a command is given up as [`ExecuteError::Conflict`].
const ATTEMPTS_MAX: u32 = 8;
/// Longest wait before the next attempt; the wait is random, at least 1 ms.
const BACKOFF_MAX: Duration = Duration::from_millis(50);
/// Events of one command; the limit of an atomic batch (ADR-50).
const EVENTS_MAX: usize = 1_000;

/// The aggregates of one kind.
pub(crate) struct Repository<A: Aggregate> {
    jetstream: JetStream,
    stream: String,
    cache: Cache<A>,
}

/// What a command led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed<E> {
    /// The aggregate's version afterwards: the position of the last of `events`, or of the last
    /// event there was when the command led to none.
    pub version: Position,
    /// What happened; empty when everything was so already.
    pub events: Vec<E>,
    /// The command had taken effect before; this is what it led to then.
    pub duplicate: bool,
}

/// An aggregate's state and version.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded<A> {
    /// The fold of its events; `Default` when there are none.
    pub state: A,
    /// Position of its last event; `Position(0)`: it does not exist.
    pub version: Position,
}

impl<A: Aggregate> Repository<A> {
    pub(crate) fn new(jetstream: JetStream, stream: String) -> Self {
        Self {
            jetstream,
            stream,
            cache: Cache::default(),
        }
    }

    /// Reads the state from the log.
    pub(crate) async fn load(&self, id: &IdOf<A>) -> Result<Loaded<A>, LoadError> {
        let mut known = Known::<A>::default();
        self.catch_up(id, &mut known).await?;
        Ok(Loaded {
            state: known.state,
            version: known.version,
        })
    }

    /// Reads all events of one aggregate.
    pub(crate) async fn history(&self, id: &IdOf<A>) -> Result<Vec<Recorded<A::Event>>, LoadError> {
        let messages = self.read(id, Position(0)).await?;
        messages
            .iter()
            .map(|message| decode::<A>(message))
            .collect()
    }

    /// Takes the events after `known` into it; tells whether there were any.
    async fn catch_up(&self, id: &IdOf<A>, known: &mut Known<A>) -> Result<bool, LoadError> {
        let messages = self.read(id, known.version).await?;
        for message in &messages {
            known.evolve(&decode::<A>(message)?);
        }
        Ok(!messages.is_empty())
    }

    async fn read(&self, id: &IdOf<A>, after: Position) -> Result<Vec<StoredMessage>, LoadError> {
        let filter = envelope::aggregate_filter::<A::Event>(id);
        Ok(self
            .jetstream
            .read_after(&self.stream, &filter, after.0)
            .await?)
    }
}

/// The id type of an aggregate.
pub(crate) type IdOf<A> = <<A as Aggregate>::Event as Event>::Id;

fn decode<A: Aggregate>(message: &StoredMessage) -> Result<Recorded<A::Event>, LoadError> {
    envelope::decode(message).map_err(|source| LoadError::Incompatible {
        subject: message.subject.clone(),
        position: Position(message.seq),
        source,
    })
}

#[cfg(all(test, feature = "embedded"))]
mod tests;
