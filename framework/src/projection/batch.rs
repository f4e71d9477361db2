//! Folding a run of events into the rows they concern: the pure middle of a projection.
//!
//! Keys first, then the rows of those keys from the store, then the fold, then the changes in key
//! order. The runner, the rebuild and the test kit all go through here.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Projection, ProjectionError, ReadModel, RowKey};
use crate::event::{Encoding, Recorded};
use crate::store::RowChange;

/// How rows are written in a store.
pub(super) const ROW_ENCODING: Encoding = Encoding::MessagePack;

/// Rows at work. Every key an event concerns must be [loaded](Self::load) before it is folded.
pub(crate) struct Batch<P: Projection> {
    rows: BTreeMap<Vec<u8>, Row<P::Row>>,
}

struct Row<R> {
    stored: Option<Vec<u8>>,
    now: Option<R>,
}

impl<P: Projection> Default for Batch<P> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
        }
    }
}

impl<P: Projection> Batch<P> {
    /// Returns the keys of these events that are not loaded yet, each once.
    pub(crate) fn missing_keys(
        &self,
        projection: &P,
        events: &[Recorded<P::Event>],
    ) -> Result<Vec<Vec<u8>>, ProjectionError> {
        let mut keys = Vec::new();
        for event in events {
            keys.extend(key(projection, event)?);
        }
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| !self.rows.contains_key(key));
        Ok(keys)
    }

    /// Takes in rows as they stand in the store.
    pub(crate) fn load(
        &mut self,
        rows: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> Result<(), ProjectionError> {
        for (key, stored) in rows {
            let now = stored.as_deref().map(decode_row::<P::Row>).transpose();
            let now = now.map_err(|source| Self::row_error(source))?;
            self.rows.insert(key, Row { stored, now });
        }
        Ok(())
    }

    /// Folds one event.
    pub(crate) fn fold(
        &mut self,
        projection: &P,
        event: &Recorded<P::Event>,
    ) -> Result<(), ProjectionError> {
        let Some(key) = key(projection, event)? else {
            return Ok(());
        };
        let row = self.rows.entry(key).or_insert(Row {
            stored: None,
            now: None,
        });
        // The fold takes the row; on a panic the whole batch is dropped.
        let before = row.now.take();
        row.now = catching::<P, _>(event, || projection.fold(before, event))?;
        Ok(())
    }

    /// Returns the rows that differ from the store, in key order.
    pub(crate) fn into_changes(self) -> Result<Vec<RowChange>, ProjectionError> {
        let mut changes = Vec::new();
        for (key, row) in self.rows {
            let value = row
                .now
                .as_ref()
                .map(|now| ROW_ENCODING.to_vec(now))
                .transpose();
            let value = value.map_err(|source| Self::row_error(source))?;
            if value != row.stored {
                changes.push(RowChange { key, value });
            }
        }
        Ok(changes)
    }

    fn row_error(source: crate::CodecError) -> ProjectionError {
        ProjectionError::Row {
            projection: P::NAME,
            source,
        }
    }
}

pub(super) fn decode_row<R: ReadModel>(bytes: &[u8]) -> Result<R, crate::CodecError> {
    ROW_ENCODING.from_slice(bytes)
}

fn key<P: Projection>(
    projection: &P,
    event: &Recorded<P::Event>,
) -> Result<Option<Vec<u8>>, ProjectionError> {
    let key = catching::<P, _>(event, || projection.key(event))?;
    Ok(key.map(|key| key.encode()))
}

fn catching<P: Projection, T>(
    event: &Recorded<P::Event>,
    work: impl FnOnce() -> T,
) -> Result<T, ProjectionError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| ProjectionError::Panicked {
        projection: P::NAME,
        position: event.position(),
        message: crate::panic_message(panic.as_ref()),
    })
}
