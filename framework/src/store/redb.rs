//! The read store in one redb file.
//!
//! redb is synchronous and has one writer, so transactions begin and commit on blocking threads;
//! what happens in between touches memory. Commits use two phases: a torn write cannot be taken
//! for a commit.
//!
//! Tables: `rows/<table>/<generation>` key -> row; `generations` table -> active generation;
//! `checkpoints` projection -> MessagePack; `inbox` (inbox, position) -> event id; `handled_through`
//! inbox -> position through which marks are forgotten because everything is handled.

use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
};
use serde::{Deserialize, Serialize};

use super::{Checkpoint, Durability, ReadStore, ReadTx, RowBytes, RowChange, StoreError, Table};
use crate::id::Position;

const CHECKPOINTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("checkpoints");
const GENERATIONS: TableDefinition<'_, &str, u32> = TableDefinition::new("generations");
const HANDLED_THROUGH: TableDefinition<'_, &str, u64> = TableDefinition::new("handled_through");
const INBOX: TableDefinition<'_, (&str, u64), &str> = TableDefinition::new("inbox");

/// Read models in one redb file. Cloning is cheap and gives the same store; a second process
/// cannot open the file.
#[derive(Clone)]
pub struct RedbStore {
    database: Arc<Database>,
}

impl RedbStore {
    /// Opens the file, or makes it (and its folder).
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the file is in use, damaged or cannot be made.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed("create the folder"))?;
        }
        let database = Database::create(path).map_err(failed("open the file"))?;
        Ok(Self {
            database: Arc::new(database),
        })
    }

    /// Makes a store that is gone when its last clone is dropped.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when redb refuses.
    pub fn in_memory() -> Result<Self, StoreError> {
        let database = Database::builder()
            .create_with_backend(redb::backends::InMemoryBackend::new())
            .map_err(failed("create in memory"))?;
        Ok(Self {
            database: Arc::new(database),
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        blocking("read", move || {
            read(&database.begin_read().map_err(failed("begin to read"))?)
        })
        .await
    }
}

impl Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl ReadStore for RedbStore {
    async fn begin(&self, durability: Durability) -> Result<Box<dyn ReadTx>, StoreError> {
        let database = Arc::clone(&self.database);
        let transaction = blocking("begin", move || {
            let mut transaction = database.begin_write().map_err(failed("begin"))?;
            match durability {
                Durability::Immediate => transaction.set_two_phase_commit(true),
                Durability::Relaxed => transaction
                    .set_durability(redb::Durability::None)
                    .map_err(failed("relax durability"))?,
            }
            Ok(transaction)
        })
        .await?;
        Ok(Box::new(RedbTx { transaction }))
    }

    async fn checkpoint(&self, projection: &str) -> Result<Option<Checkpoint>, StoreError> {
        let projection = projection.to_owned();
        self.read(move |transaction| {
            let Some(table) = existing(transaction.open_table(CHECKPOINTS))? else {
                return Ok(None);
            };
            let stored = table
                .get(projection.as_str())
                .map_err(failed("read a checkpoint"))?;
            stored
                .map(|bytes| StoredCheckpoint::decode(bytes.value()))
                .transpose()
        })
        .await
    }

    async fn get(
        &self,
        table: Table,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.read(move |transaction| {
            let name = rows_name(table, || active_generation(transaction, table.name))?;
            let Some(rows) = existing(transaction.open_table(rows_definition(&name)))? else {
                return Ok(vec![None; keys.len()]);
            };
            let row = |key: &Vec<u8>| {
                let found = rows.get(key.as_slice()).map_err(failed("read a row"))?;
                Ok(found.map(|bytes| bytes.value().to_vec()))
            };
            keys.iter().map(row).collect()
        })
        .await
    }

    async fn scan(
        &self,
        table: Table,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<RowBytes>, StoreError> {
        self.read(move |transaction| {
            let name = rows_name(table, || active_generation(transaction, table.name))?;
            let Some(rows) = existing(transaction.open_table(rows_definition(&name)))? else {
                return Ok(Vec::new());
            };
            let from = after
                .as_deref()
                .map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
            let range = rows
                .range::<&[u8]>((from, std::ops::Bound::Unbounded))
                .map_err(failed("scan rows"))?;
            let row =
                |entry: Result<(redb::AccessGuard<'_, &[u8]>, redb::AccessGuard<'_, &[u8]>), _>| {
                    let (key, value) = entry.map_err(failed("scan rows"))?;
                    Ok(RowBytes {
                        key: key.value().to_vec(),
                        value: value.value().to_vec(),
                    })
                };
            range.take(limit).map(row).collect()
        })
        .await
    }

    async fn handled(&self, inbox: &str, position: Position) -> Result<bool, StoreError> {
        let inbox = inbox.to_owned();
        self.read(move |transaction| {
            if let Some(floors) = existing(transaction.open_table(HANDLED_THROUGH))? {
                let floor = floors
                    .get(inbox.as_str())
                    .map_err(failed("read the inbox"))?;
                if floor.is_some_and(|floor| position.0 <= floor.value()) {
                    return Ok(true);
                }
            }
            let Some(marks) = existing(transaction.open_table(INBOX))? else {
                return Ok(false);
            };
            let mark = marks
                .get((inbox.as_str(), position.0))
                .map_err(failed("read the inbox"))?;
            Ok(mark.is_some())
        })
        .await
    }
}

struct RedbTx {
    transaction: redb::WriteTransaction,
}

impl RedbTx {
    fn active_generation(&self, table: &'static str) -> Result<u32, StoreError> {
        let generations = self
            .transaction
            .open_table(GENERATIONS)
            .map_err(failed("open the generations"))?;
        let active = generations
            .get(table)
            .map_err(failed("read a generation"))?;
        Ok(active.map_or(0, |generation| generation.value()))
    }

    fn handled_through(&self, inbox: &str) -> Result<u64, StoreError> {
        let floors = self
            .transaction
            .open_table(HANDLED_THROUGH)
            .map_err(failed("open the inbox"))?;
        let floor = floors.get(inbox).map_err(failed("read the inbox"))?;
        Ok(floor.map_or(0, |floor| floor.value()))
    }

    fn drop_rows(&self, table: &'static str, generation: u32) -> Result<(), StoreError> {
        let name = format!("rows/{table}/{generation}");
        self.transaction
            .delete_table(rows_definition(&name))
            .map_err(failed("drop rows"))?;
        Ok(())
    }
}

#[async_trait]
impl ReadTx for RedbTx {
    async fn advance(
        &mut self,
        projection: &str,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
    ) -> Result<(), StoreError> {
        let mut checkpoints = self
            .transaction
            .open_table(CHECKPOINTS)
            .map_err(failed("open the checkpoints"))?;
        let found = checkpoints
            .get(projection)
            .map_err(failed("read a checkpoint"))?
            .map(|bytes| StoredCheckpoint::decode(bytes.value()))
            .transpose()?;
        if found.as_ref() != from {
            return Err(StoreError::Fenced {
                projection: projection.to_owned(),
                found,
            });
        }
        let bytes = StoredCheckpoint::encode(to)?;
        checkpoints
            .insert(projection, bytes.as_slice())
            .map_err(failed("write a checkpoint"))?;
        Ok(())
    }

    async fn write(&mut self, table: Table, changes: Vec<RowChange>) -> Result<(), StoreError> {
        let name = rows_name(table, || self.active_generation(table.name))?;
        let mut rows = self
            .transaction
            .open_table(rows_definition(&name))
            .map_err(failed("open rows"))?;
        for change in changes {
            match change.value {
                Some(value) => rows
                    .insert(change.key.as_slice(), value.as_slice())
                    .map(drop)
                    .map_err(failed("put a row"))?,
                None => rows
                    .remove(change.key.as_slice())
                    .map(drop)
                    .map_err(failed("delete a row"))?,
            }
        }
        Ok(())
    }

    async fn clear(&mut self, table: Table) -> Result<(), StoreError> {
        let generation = match table.generation {
            Some(generation) => generation,
            None => self.active_generation(table.name)?,
        };
        self.drop_rows(table.name, generation)
    }

    async fn activate(&mut self, table: &'static str, generation: u32) -> Result<(), StoreError> {
        let former = self.active_generation(table)?;
        if former != generation {
            self.drop_rows(table, former)?;
        }
        let mut generations = self
            .transaction
            .open_table(GENERATIONS)
            .map_err(failed("open the generations"))?;
        generations
            .insert(table, generation)
            .map_err(failed("write a generation"))?;
        Ok(())
    }

    async fn mark_handled(
        &mut self,
        inbox: &str,
        position: Position,
        event_id: &str,
    ) -> Result<(), StoreError> {
        let already = || StoreError::AlreadyHandled {
            inbox: inbox.to_owned(),
            position,
        };
        if self.handled_through(inbox)? >= position.0 {
            return Err(already());
        }
        let mut marks = self
            .transaction
            .open_table(INBOX)
            .map_err(failed("open the inbox"))?;
        let former = marks
            .insert((inbox, position.0), event_id)
            .map_err(failed("mark"))?;
        if former.is_some() {
            Err(already())
        } else {
            Ok(())
        }
    }

    async fn forget_handled(&mut self, inbox: &str, through: Position) -> Result<(), StoreError> {
        let floor = self.handled_through(inbox)?.max(through.0);
        let mut floors = self
            .transaction
            .open_table(HANDLED_THROUGH)
            .map_err(failed("open the inbox"))?;
        floors
            .insert(inbox, floor)
            .map_err(failed("forget marks"))?;
        let mut marks = self
            .transaction
            .open_table(INBOX)
            .map_err(failed("open the inbox"))?;
        marks
            .retain_in((inbox, 0)..=(inbox, floor), |_, _| false)
            .map_err(failed("forget marks"))
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        blocking("commit", move || {
            self.transaction.commit().map_err(failed("commit"))
        })
        .await
    }
}

/// What is stored of a checkpoint; a type of its own so that the API may grow.
#[derive(Serialize, Deserialize)]
struct StoredCheckpoint {
    position: u64,
    incarnation: String,
    generation: u32,
}

impl StoredCheckpoint {
    fn encode(checkpoint: &Checkpoint) -> Result<Vec<u8>, StoreError> {
        let stored = Self {
            position: checkpoint.position.0,
            incarnation: checkpoint.incarnation.clone(),
            generation: checkpoint.generation,
        };
        rmp_serde::to_vec_named(&stored).map_err(failed("encode a checkpoint"))
    }

    fn decode(bytes: &[u8]) -> Result<Checkpoint, StoreError> {
        let stored: Self = rmp_serde::from_slice(bytes).map_err(failed("decode a checkpoint"))?;
        Ok(Checkpoint {
            position: Position(stored.position),
            incarnation: stored.incarnation,
            generation: stored.generation,
        })
    }
}

fn rows_name(
    table: Table,
    active: impl FnOnce() -> Result<u32, StoreError>,
) -> Result<String, StoreError> {
    let generation = table.generation.map_or_else(active, Ok)?;
    Ok(format!("rows/{}/{generation}", table.name))
}

fn rows_definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

fn active_generation(transaction: &ReadTransaction, table: &str) -> Result<u32, StoreError> {
    let Some(generations) = existing(transaction.open_table(GENERATIONS))? else {
        return Ok(0);
    };
    let active = generations
        .get(table)
        .map_err(failed("read a generation"))?;
    Ok(active.map_or(0, |generation| generation.value()))
}

/// A table nobody has written to does not exist yet; that is an empty one.
fn existing<T>(opened: Result<T, TableError>) -> Result<Option<T>, StoreError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(StoreError::failed("open a table", error)),
    }
}

fn failed<E: std::error::Error + Send + Sync + 'static>(
    action: &'static str,
) -> impl FnOnce(E) -> StoreError {
    move |source| StoreError::failed(action, source)
}

async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(failed(action))?
}

#[cfg(test)]
mod tests;
