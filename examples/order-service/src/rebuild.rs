//! Rebuilding the read models from the log, beside the old ones, and comparing both.

use std::fmt::{self, Display};

use anyhow::Result;
use hitherto::{Projection, RebuildProgress};
use serde::Serialize;

use crate::money::Grouped;
use crate::read_model::{accepted, orders, refused};
use crate::service::OrderService;

/// How far the rebuild of one projection is.
#[derive(Debug, Clone, Copy)]
pub struct Rebuilding {
    /// Which one.
    pub projection: &'static str,
    /// How far.
    pub progress: RebuildProgress,
}

/// One rebuilt read model beside the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The projection.
    pub projection: &'static str,
    /// Events folded.
    pub events: u64,
    /// Rows made.
    pub rows: u64,
    /// Whether the rows equal those before, byte by byte; `None`: those were behind.
    pub equal: Option<bool>,
    /// Digest of the rows before.
    pub digest_before: String,
    /// Digest of the rows now.
    pub digest_after: String,
}

impl OrderService {
    // ANCHOR: rebuild
    /// Makes every read model anew while the old ones serve, compares both and switches over.
    ///
    /// # Errors
    /// When the log or the store fails; the old rows stay then.
    pub async fn rebuild(&self, mut progress: impl FnMut(Rebuilding)) -> Result<Vec<Report>> {
        Ok(vec![
            self.rebuild_one(orders, &mut progress).await?,
            self.rebuild_one(accepted, &mut progress).await?,
            self.rebuild_one(refused, &mut progress).await?,
        ])
    }

    async fn rebuild_one<P: Projection>(
        &self,
        projection: P,
        show: &mut impl FnMut(Rebuilding),
    ) -> Result<Report> {
        let show = |progress| {
            show(Rebuilding {
                projection: P::NAME,
                progress,
            })
        };
        let report = self.app.rebuild(projection, show).await?;
        Ok(Report {
            projection: P::NAME,
            events: report.events,
            rows: report.rows,
            equal: report.equal,
            digest_before: report.digest_before,
            digest_after: report.digest_after,
        })
    }
    // ANCHOR_END: rebuild
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            projection,
            digest_before,
            digest_after,
            ..
        } = self;
        let verdict = match self.equal {
            Some(true) => "equal to the one before",
            Some(false) => "DIFFERS from the one before",
            None => "not compared: the one before was behind",
        };
        let (rows, events) = (Grouped(self.rows), Grouped(self.events));
        writeln!(
            f,
            "{projection}: {rows} rows from {events} events, {verdict}"
        )?;
        writeln!(f, "  digest before  {digest_before}")?;
        write!(f, "  digest after   {digest_after}")
    }
}
