//! What a handler works with: dependencies, commands, rows.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use super::HandlerError;
use crate::aggregate::{Aggregate, Decide};
use crate::app::Core;
use crate::cause::Cause;
use crate::event::{Encoding, Envelope, Event};
use crate::id::CommandId;
use crate::projection::{ReadModel, RowKey};
use crate::repository::{ExecuteError, Executed};
use crate::store::{RowChange, Table};

/// Writes of one handling; more than this is refused, a projection is the tool for it.
const WRITES_MAX: usize = 1_000;

/// What the application provides to its handlers, one value per type.
#[derive(Clone, Default)]
pub struct Dependencies {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Dependencies {
    pub(crate) fn provide<T: Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// Returns the provided value of a type.
    ///
    /// # Errors
    /// [`MissingDependency`] when there is none.
    pub fn get<T: Send + Sync + 'static>(&self) -> Result<Provided<T>, MissingDependency> {
        let found = self.values.get(&TypeId::of::<T>()).cloned();
        let found = found.and_then(|value| value.downcast::<T>().ok());
        found.map(Provided).ok_or(MissingDependency {
            type_name: type_name::<T>(),
        })
    }
}

impl Debug for Dependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dependencies")
            .field("values", &self.values.len())
            .finish()
    }
}

/// A handler asks for something nobody provided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing of type {type_name} is provided; add `.provide(..)` to the `App`")]
pub struct MissingDependency {
    type_name: &'static str,
}

/// A provided value as an argument of a handler.
pub struct Provided<T>(pub Arc<T>);

impl<T> Clone for Provided<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Provided<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Debug> Debug for Provided<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Provided").field(&self.0).finish()
    }
}

/// What a handler may take as an argument after the event.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a consumer",
    note = "after the event a consumer takes a `Context` and `Provided<T>` values"
)]
pub trait FromContext: Sized {
    /// Checks at start that it will be there.
    ///
    /// # Errors
    /// [`MissingDependency`] when it will not.
    fn check(dependencies: &Dependencies) -> Result<(), MissingDependency>;

    /// Makes the argument for one handling.
    ///
    /// # Errors
    /// [`MissingDependency`] when it is not there.
    fn from_context(context: &Context) -> Result<Self, MissingDependency>;
}

impl FromContext for Context {
    fn check(_: &Dependencies) -> Result<(), MissingDependency> {
        Ok(())
    }

    fn from_context(context: &Context) -> Result<Self, MissingDependency> {
        Ok(context.clone())
    }
}

impl<T: Send + Sync + 'static> FromContext for Provided<T> {
    fn check(dependencies: &Dependencies) -> Result<(), MissingDependency> {
        dependencies.get::<T>().map(drop)
    }

    fn from_context(context: &Context) -> Result<Self, MissingDependency> {
        context.get::<T>()
    }
}

/// What one handling works with. Cloning is cheap and gives the same handling.
#[derive(Clone)]
pub struct Context {
    handling: Arc<Handling>,
}

struct Handling {
    core: Arc<Core>,
    durable: &'static str,
    envelope: Envelope,
    deliveries: u64,
    writes: Mutex<Vec<(Table, RowChange)>>,
}

impl Context {
    pub(super) fn new(
        core: Arc<Core>,
        durable: &'static str,
        envelope: Envelope,
        deliveries: u64,
    ) -> Self {
        let writes = Mutex::new(Vec::new());
        Self {
            handling: Arc::new(Handling {
                core,
                durable,
                envelope,
                deliveries,
                writes,
            }),
        }
    }

    /// Returns which delivery of the message this is, counted from 1.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.handling.deliveries
    }

    /// Returns a provided value.
    ///
    /// # Errors
    /// [`MissingDependency`] when there is none.
    pub fn get<T: Send + Sync + 'static>(&self) -> Result<Provided<T>, MissingDependency> {
        self.handling.core.dependencies.get::<T>()
    }

    /// Returns the command id of what this handling causes: the same for every delivery of the
    /// event, so that the effect happens once. `step` tells several effects apart; it is also the
    /// key to hand to services outside.
    #[must_use]
    pub fn command_id(&self, step: &str) -> CommandId {
        CommandId::derived(
            self.handling.durable,
            &self.handling.envelope.event_id,
            step,
        )
    }

    /// Executes a command that takes effect once per event, however often it is delivered.
    ///
    /// # Errors
    /// See [`ExecuteError`].
    pub async fn execute<A, C>(
        &self,
        id: &<A::Event as Event>::Id,
        command: C,
    ) -> Result<Executed<A::Event>, ExecuteError<A::Rejection>>
    where
        A: Aggregate + Decide<C>,
        C: Send + Sync,
    {
        self.execute_step::<A, C>(id, "", command).await
    }

    /// The same for a handler that sends several commands to one aggregate: each has its `step`.
    ///
    /// # Errors
    /// See [`ExecuteError`].
    pub async fn execute_step<A, C>(
        &self,
        id: &<A::Event as Event>::Id,
        step: &str,
        command: C,
    ) -> Result<Executed<A::Event>, ExecuteError<A::Rejection>>
    where
        A: Aggregate + Decide<C>,
        C: Send + Sync,
    {
        let Handling { core, envelope, .. } = self.handling.as_ref();
        let mut cause = Cause::new(self.command_id(step));
        cause.correlation_id = envelope.correlation_id.clone().or_else(|| {
            envelope
                .command_id
                .as_ref()
                .map(|id| id.as_str().to_owned())
        });
        cause.traceparent = envelope.traceparent.clone();
        core.repository::<A>()?.execute(id, &cause, &command).await
    }

    /// Reads a row of the inbox's store as it is committed.
    ///
    /// # Errors
    /// [`HandlerError`] when the store fails or the row does not fit its type.
    pub async fn row<R: ReadModel>(&self, key: &R::Key) -> Result<Option<R>, HandlerError> {
        let Some(store) = &self.handling.core.inbox else {
            return Ok(None);
        };
        let mut found = store
            .get(Table::active(R::TABLE), vec![key.encode()])
            .await?;
        let bytes = found.pop().flatten();
        Ok(bytes
            .map(|bytes| Encoding::MessagePack.from_slice(&bytes))
            .transpose()?)
    }

    /// Puts a row, in one transaction with the mark that the event is handled.
    ///
    /// # Errors
    /// [`HandlerError`] for a table that a projection keeps, too many writes, or a row that cannot
    /// be written.
    pub fn put<R: ReadModel>(&self, key: &R::Key, row: &R) -> Result<(), HandlerError> {
        self.write::<R>(key, Some(Encoding::MessagePack.to_vec(row)?))
    }

    /// Deletes a row, in one transaction with the mark that the event is handled.
    ///
    /// # Errors
    /// [`HandlerError`] for a table that a projection keeps, or too many writes.
    pub fn delete<R: ReadModel>(&self, key: &R::Key) -> Result<(), HandlerError> {
        self.write::<R>(key, None)
    }

    fn write<R: ReadModel>(
        &self,
        key: &R::Key,
        value: Option<Vec<u8>>,
    ) -> Result<(), HandlerError> {
        if self.handling.core.projection_of(R::TABLE).is_some() {
            let table = R::TABLE;
            return Err(HandlerError::new(format!(
                "table {table:?} is kept by a projection"
            )));
        }
        let mut writes = self
            .handling
            .writes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if writes.len() >= WRITES_MAX {
            return Err(HandlerError::new(format!(
                "one handling writes at most {WRITES_MAX} rows"
            )));
        }
        writes.push((
            Table::active(R::TABLE),
            RowChange {
                key: key.encode(),
                value,
            },
        ));
        Ok(())
    }

    pub(super) fn take_writes(&self) -> Vec<(Table, RowChange)> {
        let mut writes = self
            .handling
            .writes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut writes)
    }
}

impl Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handling {
            durable,
            envelope,
            deliveries,
            ..
        } = self.handling.as_ref();
        f.debug_struct("Context")
            .field("durable", durable)
            .field("event_id", &envelope.event_id)
            .field("deliveries", deliveries)
            .finish_non_exhaustive()
    }
}
