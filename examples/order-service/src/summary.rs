//! The summary: what this run did, and how things stand.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::import::{Flaws, Tally};
use crate::money::{Cents, Grouped};
use crate::order::Status;
use crate::read_model::{AcceptedRow, OrderRow, RefusedRow};
use crate::refusal::Reason;
use crate::service::OrderService;

/// Flawed lines of a kind that are printed one by one.
const FLAWS_SHOWN: usize = 20;

/// What an import did and how things stand after it.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// What this run did.
    pub run: Run,
    /// How things stand, whoever did it.
    pub state: State,
}

/// What one run did.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Counts of lines.
    #[serde(flatten)]
    pub tally: Tally,
    /// How long it took.
    pub seconds: f64,
    /// Lines decided or looked up per second.
    pub lines_per_second: f64,
}

/// How things stand: the same after every run over the same commands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// Commands ever accepted.
    pub accepted: u64,
    /// Commands ever refused.
    pub refused: u64,
    /// The same by reason.
    pub refused_by_reason: BTreeMap<Reason, u64>,
    /// Lines ever found to be no command.
    pub unreadable: u64,
    /// All orders.
    pub orders: u64,
    /// The same by status.
    pub orders_by_status: BTreeMap<Status, u64>,
    /// The totals of all paid and shipped orders.
    pub revenue_cents: Cents,
    /// Shipping notices.
    pub notices: u64,
}

impl Run {
    /// Relates counts to the time they took.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "a rate to show, not to count with"
    )]
    pub fn new(tally: Tally, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        let lines_per_second = tally.lines() as f64 / seconds.max(f64::EPSILON);
        Self {
            tally,
            seconds,
            lines_per_second,
        }
    }
}

// ANCHOR: read
impl State {
    /// Reads it from the read models.
    ///
    /// # Errors
    /// When a read model cannot be read.
    pub async fn read(service: &OrderService) -> Result<Self> {
        let mut state = Self {
            notices: service.notices().await?,
            ..Self::default()
        };
        let app = &service.app;
        app.rows::<AcceptedRow>()?
            .for_each(|_, _| state.accepted += 1)
            .await?;
        app.rows::<RefusedRow>()?
            .for_each(|_, row| state.add_refused(&row))
            .await?;
        app.rows::<OrderRow>()?
            .for_each(|_, row| state.add_order(&row))
            .await?;
        Ok(state)
    }
    // ANCHOR_END: read

    fn add_refused(&mut self, row: &RefusedRow) {
        match row.reason {
            Some(reason) => {
                self.refused += 1;
                *self.refused_by_reason.entry(reason).or_default() += 1;
            }
            None => self.unreadable += 1,
        }
    }

    fn add_order(&mut self, row: &OrderRow) {
        self.orders += 1;
        *self.orders_by_status.entry(row.status).or_default() += 1;
        if matches!(row.status, Status::Paid | Status::Shipped) {
            let sum = self.revenue_cents.checked_add(row.total);
            self.revenue_cents = sum.unwrap_or(Cents(u64::MAX));
        }
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.run, self.state)
    }
}

impl Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tally,
            seconds,
            lines_per_second,
        } = self;
        let lines = Grouped(tally.lines());
        writeln!(
            f,
            "{lines} lines in {seconds:.2} s, {lines_per_second:.0} lines/s"
        )?;
        if tally.decided_now == 0 && tally.already_decided > 0 {
            writeln!(f, "  all were already decided; nothing was applied again")?;
        } else {
            writeln!(f, "  {:>7} decided now", Grouped(tally.decided_now))?;
            writeln!(f, "  {:>7} already decided", Grouped(tally.already_decided))?;
        }
        show_flaws(f, "no command", &tally.unreadable)?;
        show_flaws(f, "under the id of another command", &tally.ids_taken)?;
        if tally.stopped {
            writeln!(f, "  stopped before the end; run again to go on from here")?;
        }
        Ok(())
    }
}

fn show_flaws(f: &mut fmt::Formatter<'_>, title: &str, flaws: &Flaws) -> fmt::Result {
    if flaws.count == 0 {
        return Ok(());
    }
    writeln!(f, "  {:>7} {title}:", Grouped(flaws.count))?;
    for flaw in flaws.lines.iter().take(FLAWS_SHOWN) {
        writeln!(f, "          line {}: {}", flaw.line, flaw.problem)?;
    }
    if flaws.lines.len() > FLAWS_SHOWN {
        writeln!(f, "          and more; --json lists them")?;
    }
    Ok(())
}

impl Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "commands")?;
        writeln!(f, "  {:>7} accepted", Grouped(self.accepted))?;
        writeln!(f, "  {:>7} refused", Grouped(self.refused))?;
        for (reason, count) in &self.refused_by_reason {
            writeln!(f, "  {:>11} {}", Grouped(*count), reason.title())?;
        }
        writeln!(f, "orders")?;
        for (status, count) in &self.orders_by_status {
            writeln!(f, "  {:>7} {status}", Grouped(*count))?;
        }
        writeln!(f, "  {:>7} in all", Grouped(self.orders))?;
        writeln!(f, "revenue  {}", self.revenue_cents)?;
        write!(
            f,
            "notices  {} parcels announced to the carrier",
            Grouped(self.notices)
        )
    }
}
