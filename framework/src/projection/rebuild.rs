//! Making a read model anew while the old one serves.
//!
//! The events are folded into another generation of the table, unseen by readers. When it has come
//! as far as the live one, both are compared, and one transaction switches over and drops the old.
//! A rebuild that dies leaves the live rows as they are; the next one starts over.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::rows::{RowCursor, RowsDigest};
use super::runner::{AnyProjection, BatchLimits, EventSource, Progress, Projector};
use super::{Projection, ProjectionError, ReadModel};
use crate::id::Position;
use crate::store::{Checkpoint, Durability, Table};

const REBUILD: BatchLimits = BatchLimits {
    events: 65_536,
    bytes: 32 << 20,
};
/// How long the live rows may take to come as far, before the switch goes without a comparison.
const COMPARE_WAIT: Duration = Duration::from_secs(10);

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RebuildProgress {
    /// Events folded.
    pub done: u64,
    /// Events to fold, as far as known; grows when new ones happen.
    pub total: u64,
    /// Since it began.
    pub elapsed: Duration,
}

impl RebuildProgress {
    /// Events folded per second so far.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "a rate to show, not to count with"
    )]
    pub fn events_per_second(&self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

/// What a rebuild found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    /// Events folded.
    pub events: u64,
    /// Rows made.
    pub rows: u64,
    /// The last event in the new rows.
    pub position: Position,
    /// Whether the new rows equal the old ones byte by byte; `None` when the old ones had not come
    /// as far (they were behind, failing, or of another stream).
    pub equal: Option<bool>,
    /// Digest of all rows before, in key order.
    pub digest_before: String,
    /// Digest of all rows after, in key order.
    pub digest_after: String,
}

impl<P: Projection> Projector<P> {
    /// Rebuilds and switches over.
    pub(crate) async fn rebuild(
        &self,
        mut progress: impl FnMut(RebuildProgress),
    ) -> Result<RebuildReport, ProjectionError> {
        // One at a time: two would fill the same generation.
        let _rebuilding = self.rebuilding.lock().await;
        let generation = self
            .load_checkpoint()
            .await?
            .map_or(0, |live| live.generation)
            + 1;
        let table = Table::generation(P::Row::TABLE, generation);
        let mut shadow = Shadow::open(self, table).await?;
        let target = self.target().await?;
        shadow.fold_until(target, &mut progress).await?;
        self.wait_for_live(shadow.position).await;

        // From here on the live rows stand still.
        let mut live = self.checkpoint.lock().await;
        *live = self.load_checkpoint().await?;
        let live_position = live
            .as_ref()
            .filter(|live| live.incarnation == self.stream.incarnation)
            .map(|live| live.position);
        shadow
            .fold_until(live_position.unwrap_or_default(), &mut progress)
            .await?;
        let comparable = live_position.unwrap_or_default() == shadow.position;
        let mut report = self.compare(&shadow, comparable).await?;
        report.equal = report.equal.filter(|_| comparable);

        let next = Checkpoint {
            position: shadow.position,
            incarnation: self.stream.incarnation.clone(),
            generation,
        };
        self.switch(live.as_ref(), &next).await?;
        *live = Some(next);
        let position = shadow.position;
        self.progress.send_replace(Progress {
            position,
            failure: None,
        });
        drop(live);
        shadow.source.close().await;
        Ok(report)
    }

    async fn wait_for_live(&self, position: Position) {
        let mut live = self.progress.subscribe();
        let reached = live.wait_for(|live| live.position >= position || live.failure.is_some());
        if timeout(COMPARE_WAIT, reached).await.is_err() {
            tracing::warn!(
                projection = P::NAME,
                "the live rows are behind, switching without a comparison"
            );
        }
    }

    async fn compare(
        &self,
        shadow: &Shadow<'_, P>,
        comparable: bool,
    ) -> Result<RebuildReport, ProjectionError> {
        let mut old = RowCursor::new(self.store.as_ref(), P::NAME, Table::active(P::Row::TABLE));
        let mut new = RowCursor::new(self.store.as_ref(), P::NAME, shadow.table);
        let (mut before, mut after) = (RowsDigest::default(), RowsDigest::default());
        let mut equal = true;
        loop {
            let (old, new) = (old.next().await?, new.next().await?);
            equal &= old == new;
            before.update(old.as_ref());
            after.update(new.as_ref());
            if old.is_none() && new.is_none() {
                break;
            }
        }
        Ok(RebuildReport {
            events: shadow.done,
            rows: after.rows(),
            position: shadow.position,
            equal: comparable.then_some(equal),
            digest_before: before.finish(),
            digest_after: after.finish(),
        })
    }

    async fn switch(
        &self,
        live: Option<&Checkpoint>,
        next: &Checkpoint,
    ) -> Result<(), ProjectionError> {
        let failed = ProjectionError::store(P::NAME);
        let mut tx = self
            .store
            .begin(Durability::Immediate)
            .await
            .map_err(&failed)?;
        tx.advance(P::NAME, live, next).await.map_err(&failed)?;
        tx.activate(P::Row::TABLE, next.generation)
            .await
            .map_err(&failed)?;
        tx.commit().await.map_err(&failed)
    }
}

/// The rows in the making.
struct Shadow<'a, P: Projection> {
    projector: &'a Projector<P>,
    table: Table,
    source: EventSource<P>,
    position: Position,
    done: u64,
    total: u64,
    began: Instant,
}

impl<'a, P: Projection> Shadow<'a, P> {
    async fn open(projector: &'a Projector<P>, table: Table) -> Result<Self, ProjectionError> {
        let failed = ProjectionError::store(P::NAME);
        let mut tx = projector
            .store
            .begin(Durability::Relaxed)
            .await
            .map_err(&failed)?;
        tx.clear(table).await.map_err(&failed)?;
        tx.commit().await.map_err(&failed)?;
        let Projector {
            jetstream, stream, ..
        } = projector;
        let source = EventSource::open(jetstream, &stream.name, Position(0)).await?;
        let total = source.waiting();
        let (position, done, began) = (Position(0), 0, Instant::now());
        Ok(Self {
            projector,
            table,
            source,
            position,
            done,
            total,
            began,
        })
    }

    /// Folds on until the event at `target` is in. It must exist.
    async fn fold_until(
        &mut self,
        target: Position,
        progress: &mut impl FnMut(RebuildProgress),
    ) -> Result<(), ProjectionError> {
        while self.position < target {
            let events = self.source.next_batch(REBUILD).await?;
            let batch = self.projector.fold(self.table, &events).await?;
            self.write(batch.into_changes()?).await?;
            self.position = events.last().map_or(self.position, |last| last.position());
            self.done += u64::try_from(events.len()).unwrap_or(u64::MAX);
            self.total = self.total.max(self.done);
            let (done, total, elapsed) = (self.done, self.total, self.began.elapsed());
            progress(RebuildProgress {
                done,
                total,
                elapsed,
            });
        }
        Ok(())
    }

    async fn write(&self, changes: Vec<crate::RowChange>) -> Result<(), ProjectionError> {
        let failed = ProjectionError::store(P::NAME);
        let mut tx = self
            .projector
            .store
            .begin(Durability::Relaxed)
            .await
            .map_err(&failed)?;
        tx.write(self.table, changes).await.map_err(&failed)?;
        tx.commit().await.map_err(&failed)
    }
}
