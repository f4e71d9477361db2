//! Reading a read model: by key, in key order, and not before it has come far enough.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::batch::decode_row;
use super::runner::{AnyProjection, Progress};
use super::{ProjectionError, ReadModel, RowKey};
use crate::digest::Fnv1a;
use crate::id::Position;
use crate::store::{ReadStore, RowBytes, Table};

/// How long [`Rows::at_least`] waits.
const AT_LEAST_WAIT: Duration = Duration::from_secs(2);
/// Rows read at once by scans.
const PAGE: usize = 1_000;

/// The rows of one read model.
pub struct Rows<R> {
    store: Arc<dyn ReadStore>,
    /// The projection that keeps the rows; the table's name when consumers do.
    kept_by: &'static str,
    /// `None`: rows written by consumers, which have no position.
    projection: Option<Arc<dyn AnyProjection>>,
    _row: PhantomData<fn() -> R>,
}

impl<R> Clone for Rows<R> {
    fn clone(&self) -> Self {
        let (store, projection) = (Arc::clone(&self.store), self.projection.clone());
        Self {
            store,
            kept_by: self.kept_by,
            projection,
            _row: PhantomData,
        }
    }
}

impl<R> Debug for Rows<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("kept_by", &self.kept_by)
            .finish_non_exhaustive()
    }
}

impl<R: ReadModel> Rows<R> {
    /// The rows of a projection.
    pub(crate) fn projected(projection: &Arc<dyn AnyProjection>) -> Self {
        let store = projection.store();
        let kept_by = projection.name();
        let projection = Some(Arc::clone(projection));
        Self {
            store,
            kept_by,
            projection,
            _row: PhantomData,
        }
    }

    /// Rows that consumers write.
    pub(crate) fn written(store: Arc<dyn ReadStore>) -> Self {
        Self {
            store,
            kept_by: R::TABLE,
            projection: None,
            _row: PhantomData,
        }
    }

    /// Waits up to 2 s until all events up to `position` are in the rows: pass
    /// [`Executed::version`](crate::Executed::version) to read your own write.
    ///
    /// # Errors
    /// [`ProjectionError::Lagging`] when they are not by then.
    pub async fn at_least(self, position: Position) -> Result<Self, ProjectionError> {
        self.at_least_within(position, AT_LEAST_WAIT).await
    }

    /// The same with another time to wait.
    ///
    /// # Errors
    /// [`ProjectionError::Lagging`] when they are not by then.
    pub async fn at_least_within(
        self,
        position: Position,
        wait: Duration,
    ) -> Result<Self, ProjectionError> {
        let Some(projection) = self.projection.clone() else {
            return Ok(self);
        };
        let mut progress = projection.progress();
        if progress.borrow().position >= position {
            return Ok(self);
        }
        // Events it does not read never move it: then its last event is as far as it must be.
        let wanted = position.min(projection.target().await?);
        let reached = progress.wait_for(|progress| progress.position >= wanted);
        if matches!(timeout(wait, reached).await, Ok(Ok(_))) {
            return Ok(self);
        }
        let Progress { position, failure } = progress.borrow().clone();
        Err(ProjectionError::Lagging {
            projection: self.kept_by,
            position,
            wanted,
            failure,
        })
    }

    /// Returns the last event in the rows; `Position(0)` for rows kept by consumers.
    #[must_use]
    pub fn position(&self) -> Position {
        let projection = self.projection.as_ref();
        projection.map_or(Position(0), |projection| {
            projection.progress().borrow().position
        })
    }

    /// Reads one row.
    ///
    /// # Errors
    /// [`ProjectionError::Store`] or [`ProjectionError::Row`].
    pub async fn get(&self, key: &R::Key) -> Result<Option<R>, ProjectionError> {
        let found = self
            .store
            .get(Table::active(R::TABLE), vec![key.encode()])
            .await;
        let mut found = found.map_err(ProjectionError::store(self.kept_by))?;
        let bytes = found.pop().flatten();
        bytes.map(|bytes| self.decode(&bytes)).transpose()
    }

    /// Reads up to `limit` rows in key order, after `after` (`None`: from the first).
    ///
    /// # Errors
    /// [`ProjectionError::Store`] or [`ProjectionError::Row`].
    pub async fn page(
        &self,
        after: Option<&R::Key>,
        limit: usize,
    ) -> Result<Vec<(R::Key, R)>, ProjectionError> {
        let after = after.map(RowKey::encode);
        let rows = self.store.scan(Table::active(R::TABLE), after, limit).await;
        let rows = rows.map_err(ProjectionError::store(self.kept_by))?;
        rows.iter()
            .map(|row| Ok((self.decode_key(&row.key)?, self.decode(&row.value)?)))
            .collect()
    }

    /// Hands every row to `each`, in key order. Rows changed meanwhile may be seen before or after.
    ///
    /// # Errors
    /// [`ProjectionError::Store`] or [`ProjectionError::Row`].
    pub async fn for_each(
        &self,
        mut each: impl FnMut(R::Key, R) + Send,
    ) -> Result<(), ProjectionError> {
        let mut rows = self.cursor();
        while let Some(row) = rows.next().await? {
            each(self.decode_key(&row.key)?, self.decode(&row.value)?);
        }
        Ok(())
    }

    /// Digests all rows in key order: two read models with equal digests hold equal rows.
    ///
    /// # Errors
    /// [`ProjectionError::Store`].
    pub async fn digest(&self) -> Result<String, ProjectionError> {
        let mut rows = self.cursor();
        let mut digest = RowsDigest::default();
        while let Some(row) = rows.next().await? {
            digest.update(Some(&row));
        }
        Ok(digest.finish())
    }

    fn cursor(&self) -> RowCursor<'_> {
        RowCursor::new(self.store.as_ref(), self.kept_by, Table::active(R::TABLE))
    }

    fn decode(&self, bytes: &[u8]) -> Result<R, ProjectionError> {
        let projection = self.kept_by;
        decode_row(bytes).map_err(|source| ProjectionError::Row { projection, source })
    }

    fn decode_key(&self, bytes: &[u8]) -> Result<R::Key, ProjectionError> {
        let reason = "not a key of this read model".to_owned();
        R::Key::decode(bytes).ok_or_else(|| ProjectionError::Row {
            projection: self.kept_by,
            source: crate::CodecError::Decode { reason },
        })
    }
}

/// Walks a table in key order, a page at a time.
pub(super) struct RowCursor<'a> {
    store: &'a dyn ReadStore,
    kept_by: &'static str,
    table: Table,
    page: VecDeque<RowBytes>,
    last: Option<Vec<u8>>,
    ended: bool,
}

impl<'a> RowCursor<'a> {
    pub(super) fn new(store: &'a dyn ReadStore, kept_by: &'static str, table: Table) -> Self {
        Self {
            store,
            kept_by,
            table,
            page: VecDeque::new(),
            last: None,
            ended: false,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<RowBytes>, ProjectionError> {
        if self.page.is_empty() && !self.ended {
            let page = self.store.scan(self.table, self.last.clone(), PAGE).await;
            self.page = page.map_err(ProjectionError::store(self.kept_by))?.into();
            self.ended = self.page.len() < PAGE;
            self.last = self.page.back().map(|row| row.key.clone());
        }
        Ok(self.page.pop_front())
    }
}

/// A digest over rows in key order, lengths included.
#[derive(Default)]
pub(super) struct RowsDigest {
    hash: Fnv1a,
    rows: u64,
}

impl RowsDigest {
    pub(super) fn update(&mut self, row: Option<&RowBytes>) {
        let Some(row) = row else { return };
        self.rows += 1;
        for part in [&row.key, &row.value] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            self.hash.update(&length.to_le_bytes());
            self.hash.update(part);
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn finish(&self) -> String {
        format!("{:032x}", self.hash.finish())
    }
}
