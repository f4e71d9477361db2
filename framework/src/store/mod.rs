//! Where read models live: rows, checkpoints and the consumers' inbox, changed in one transaction.
//!
//! A store deals in bytes; keys, rows and folds belong to `projection`. Any store that can change
//! rows and a checkpoint in one transaction fits behind [`ReadStore`].

mod redb;

use std::fmt::Debug;

use async_trait::async_trait;

use crate::id::Position;

pub use self::redb::RedbStore;

/// Read models of one place (a file, a database).
#[async_trait]
pub trait ReadStore: Debug + Send + Sync + 'static {
    /// Opens a transaction. Stores with one writer wait here for the other to finish.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the store does not answer.
    async fn begin(&self, durability: Durability) -> Result<Box<dyn ReadTx>, StoreError>;

    /// Returns a projection's checkpoint; `None` when it has none yet.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the store does not answer.
    async fn checkpoint(&self, projection: &str) -> Result<Option<Checkpoint>, StoreError>;

    /// Reads rows of one table in one snapshot, in the order of `keys`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the store does not answer.
    async fn get(
        &self,
        table: Table,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Reads up to `limit` rows in key order, after the key `after` (`None`: from the first).
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the store does not answer.
    async fn scan(
        &self,
        table: Table,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<RowBytes>, StoreError>;

    /// Whether the message at `position` was handled by the consumer of `inbox`, or lies where all
    /// were.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the store does not answer.
    async fn handled(&self, inbox: &str, position: Position) -> Result<bool, StoreError>;
}

/// A transaction on a read store. Dropping it without [`commit`](Self::commit) changes nothing.
#[async_trait]
pub trait ReadTx: Send {
    /// Moves a projection's checkpoint, if it still is `from`.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when it is not: somebody else moved it.
    async fn advance(
        &mut self,
        projection: &str,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
    ) -> Result<(), StoreError>;

    /// Puts and deletes rows.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the store does not answer.
    async fn write(&mut self, table: Table, changes: Vec<RowChange>) -> Result<(), StoreError>;

    /// Deletes all rows of one generation of a table.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the store does not answer.
    async fn clear(&mut self, table: Table) -> Result<(), StoreError>;

    /// Makes a generation the active one and deletes the one that was.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the store does not answer.
    async fn activate(&mut self, table: &'static str, generation: u32) -> Result<(), StoreError>;

    /// Marks the message at `position` as handled by the consumer of `inbox`.
    ///
    /// # Errors
    /// [`StoreError::AlreadyHandled`] when it is; then the transaction must not be committed.
    async fn mark_handled(
        &mut self,
        inbox: &str,
        position: Position,
        event_id: &str,
    ) -> Result<(), StoreError>;

    /// Takes everything up to and with `through` as handled, and forgets the single marks.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the store does not answer.
    async fn forget_handled(&mut self, inbox: &str, through: Position) -> Result<(), StoreError>;

    /// Commits.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the store cannot; then nothing has changed.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// A table of rows. A rebuild fills another generation while the active one serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// [`ReadModel::TABLE`](crate::ReadModel::TABLE).
    pub name: &'static str,
    /// `None`: the active one.
    pub generation: Option<u32>,
}

impl Table {
    /// Names the active generation.
    #[must_use]
    pub const fn active(name: &'static str) -> Self {
        Self {
            name,
            generation: None,
        }
    }

    /// Names one generation.
    #[must_use]
    pub const fn generation(name: &'static str, generation: u32) -> Self {
        Self {
            name,
            generation: Some(generation),
        }
    }
}

/// One encoded row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowBytes {
    /// [`RowKey::encode`](crate::RowKey::encode).
    pub key: Vec<u8>,
    /// MessagePack.
    pub value: Vec<u8>,
}

/// One row to put or, without a value, to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// [`RowKey::encode`](crate::RowKey::encode).
    pub key: Vec<u8>,
    /// `None` deletes.
    pub value: Option<Vec<u8>>,
}

/// How far a projection has come, kept beside its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last event folded; `Position(0)`: none.
    pub position: Position,
    /// Which stream: the time it was created. A stream made anew is another one.
    pub incarnation: String,
    /// The generation of the table the rows are in.
    pub generation: u32,
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On disk when commit returns.
    Immediate,
    /// On disk with the next immediate commit; only for what can be made again.
    Relaxed,
}

/// A read store refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The checkpoint is not the one expected: another instance is at work, or a rebuild switched.
    #[error("projection {projection:?} is fenced: its checkpoint is {found:?}")]
    Fenced {
        /// Its name.
        projection: String,
        /// What stands in the store.
        found: Option<Checkpoint>,
    },
    /// The message has been handled before.
    #[error("the message at {position} is handled already in inbox {inbox:?}")]
    AlreadyHandled {
        /// The inbox.
        inbox: String,
        /// The message.
        position: Position,
    },
    /// The store failed; the source says how.
    #[error("read store failed to {action}")]
    Failed {
        /// What was attempted.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Makes the error of a store of your own.
    pub fn failed(
        action: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed {
            action,
            source: source.into(),
        }
    }
}
