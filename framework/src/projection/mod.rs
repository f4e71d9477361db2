//! Projections: read models as pure folds over events.
//!
//! The fold is pure so that the framework may batch, repeat and rebuild: rows and checkpoint are
//! committed together, so each event counts exactly once however often the process dies.

mod batch;
mod error;
mod rebuild;
mod rows;
mod runner;

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::{Event, Recorded};

pub(crate) use self::batch::Batch;
pub use self::error::ProjectionError;
pub use self::rebuild::{RebuildProgress, RebuildReport};
pub use self::rows::Rows;
pub(crate) use self::runner::{AnyProjection, Projector};

/// A row of a read model; what `#[read_model]` expands to.
///
/// A row's bytes decide whether two rebuilds are equal, so keep fields whose order is not fixed
/// (`HashMap`, `HashSet`) out of it; `BTreeMap` is fine.
pub trait ReadModel: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Names the table in the read store.
    const TABLE: &'static str;
    /// What rows are found by, and sorted by.
    type Key: RowKey;
}

/// The key of a row. Rows iterate in the order of the encoded bytes.
pub trait RowKey: Clone + Debug + Send + Sync + 'static {
    /// Encodes the key; equal keys give equal bytes.
    fn encode(&self) -> Vec<u8>;

    /// Decodes a key; `None` when the bytes are not one.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl RowKey for String {
    fn encode(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

impl RowKey for u64 {
    fn encode(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

/// A read model as a fold over events; what `#[projection]` expands to.
pub trait Projection: Send + Sync + 'static {
    /// Names the projection and its checkpoint for ever; unique in an application.
    const NAME: &'static str;
    /// The events it reads.
    type Event: Event;
    /// The rows it keeps. No two projections may keep rows in the same table.
    type Row: ReadModel;

    /// Finds the row an event concerns; `None` when it concerns none.
    fn key(&self, event: &Recorded<Self::Event>) -> Option<<Self::Row as ReadModel>::Key>;

    /// Takes one event into its row; `None` deletes the row. Must be pure.
    fn fold(&self, row: Option<Self::Row>, event: &Recorded<Self::Event>) -> Option<Self::Row>;
}
