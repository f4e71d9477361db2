//! A read store that fails when told to.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use hitherto::{
    Checkpoint, Durability, Position, ReadStore, ReadTx, RedbStore, RowBytes, RowChange,
    StoreError, Table,
};

/// Where a commit fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Failure {
    /// Nothing is committed.
    BeforeCommit,
    /// Everything is committed, and nobody hears of it: the process died.
    AfterCommit,
}

/// A store some of whose transactions fail.
#[derive(Debug)]
pub(crate) struct Flaky {
    inner: RedbStore,
    failure: Failure,
    fails: fn(u64) -> bool,
    begun: AtomicU64,
}

impl Flaky {
    /// `fails` picks transactions by their number, from 0.
    pub(crate) fn new(inner: RedbStore, failure: Failure, fails: fn(u64) -> bool) -> Self {
        Self {
            inner,
            failure,
            fails,
            begun: AtomicU64::new(0),
        }
    }
}

#[async_trait]
impl ReadStore for Flaky {
    async fn begin(&self, durability: Durability) -> Result<Box<dyn ReadTx>, StoreError> {
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        let inner = self.inner.begin(durability).await?;
        match (self.fails)(begun) {
            true => Ok(Box::new(FailingTx {
                inner,
                failure: self.failure,
            })),
            false => Ok(inner),
        }
    }

    async fn checkpoint(&self, projection: &str) -> Result<Option<Checkpoint>, StoreError> {
        self.inner.checkpoint(projection).await
    }

    async fn get(
        &self,
        table: Table,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.inner.get(table, keys).await
    }

    async fn scan(
        &self,
        table: Table,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<RowBytes>, StoreError> {
        self.inner.scan(table, after, limit).await
    }

    async fn handled(&self, inbox: &str, position: Position) -> Result<bool, StoreError> {
        self.inner.handled(inbox, position).await
    }
}

struct FailingTx {
    inner: Box<dyn ReadTx>,
    failure: Failure,
}

#[async_trait]
impl ReadTx for FailingTx {
    async fn advance(
        &mut self,
        projection: &str,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
    ) -> Result<(), StoreError> {
        self.inner.advance(projection, from, to).await
    }

    async fn write(&mut self, table: Table, changes: Vec<RowChange>) -> Result<(), StoreError> {
        self.inner.write(table, changes).await
    }

    async fn clear(&mut self, table: Table) -> Result<(), StoreError> {
        self.inner.clear(table).await
    }

    async fn activate(&mut self, table: &'static str, generation: u32) -> Result<(), StoreError> {
        self.inner.activate(table, generation).await
    }

    async fn mark_handled(
        &mut self,
        durable: &str,
        position: Position,
        event_id: &str,
    ) -> Result<(), StoreError> {
        self.inner.mark_handled(durable, position, event_id).await
    }

    async fn forget_handled(&mut self, durable: &str, through: Position) -> Result<(), StoreError> {
        self.inner.forget_handled(durable, through).await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        if self.failure == Failure::AfterCommit {
            self.inner.commit().await?;
        }
        Err(StoreError::failed("commit", "the disk is on fire"))
    }
}
