//! Refusals: commands that were turned down, kept as durably as those that were accepted.
//!
//! An accepted command is found by its id in its order's history. A refused one leaves nothing
//! there, so it gets a history of its own, named after the command and started only once: sent
//! again, it gets the same answer, even if the order would take it by now.

use hitherto::{aggregate, event};
use serde::{Deserialize, Serialize};

use crate::command::{Action, CommandToken};
use crate::order::{OrderId, OrderRejection};

// ANCHOR: events
/// What is kept about a refusal. Subjects: `orders.refusal.<command id>.recorded`, `.unreadable`.
#[event(context = "orders", aggregate = "refusal", id = CommandToken)]
pub enum RefusalEvent {
    /// A command was refused.
    Recorded {
        /// The order it was for.
        order: OrderId,
        /// What it wanted.
        action: Action,
        /// Why not.
        reason: Reason,
        /// The same in words.
        detail: String,
    },
    /// A line of a file was no command. It is filed under its own text, so that a corrected line
    /// is free to use the command id the broken one may have had.
    Unreadable {
        /// Where it stood, counted from 1.
        line: u64,
        /// Its beginning.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
}
// ANCHOR_END: events

/// Why a command was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The order does not exist.
    UnknownOrder,
    /// The order exists already.
    AlreadyPlaced,
    /// See [`OrderRejection::AlreadyPaid`].
    AlreadyPaid,
    /// See [`OrderRejection::WrongAmount`].
    WrongAmount,
    /// See [`OrderRejection::NothingToPay`].
    NothingToPay,
    /// See [`OrderRejection::NotPaid`].
    NotPaid,
    /// See [`OrderRejection::AlreadyShipped`].
    AlreadyShipped,
    /// See [`OrderRejection::AlreadyCancelled`].
    AlreadyCancelled,
    /// See [`OrderRejection::TooManyLines`].
    TooManyLines,
    /// See [`OrderRejection::TotalTooLarge`].
    TotalTooLarge,
}

impl Reason {
    /// Returns the name programs know it by; what serde writes.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownOrder => "unknown_order",
            Self::AlreadyPlaced => "already_placed",
            Self::AlreadyPaid => "already_paid",
            Self::WrongAmount => "wrong_amount",
            Self::NothingToPay => "nothing_to_pay",
            Self::NotPaid => "not_paid",
            Self::AlreadyShipped => "already_shipped",
            Self::AlreadyCancelled => "already_cancelled",
            Self::TooManyLines => "too_many_lines",
            Self::TotalTooLarge => "total_too_large",
        }
    }

    /// Returns a short title for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::UnknownOrder => "unknown order",
            Self::AlreadyPlaced => "already placed",
            Self::AlreadyPaid => "already paid",
            Self::WrongAmount => "wrong amount",
            Self::NothingToPay => "nothing to pay",
            Self::NotPaid => "not paid yet",
            Self::AlreadyShipped => "already shipped",
            Self::AlreadyCancelled => "already cancelled",
            Self::TooManyLines => "too many lines",
            Self::TotalTooLarge => "total too large",
        }
    }
}

impl From<&OrderRejection> for Reason {
    fn from(rejection: &OrderRejection) -> Self {
        match rejection {
            OrderRejection::AlreadyPaid => Self::AlreadyPaid,
            OrderRejection::WrongAmount { .. } => Self::WrongAmount,
            OrderRejection::NothingToPay => Self::NothingToPay,
            OrderRejection::NotPaid => Self::NotPaid,
            OrderRejection::AlreadyShipped => Self::AlreadyShipped,
            OrderRejection::AlreadyCancelled => Self::AlreadyCancelled,
            OrderRejection::TooManyLines => Self::TooManyLines,
            OrderRejection::TotalTooLarge => Self::TotalTooLarge,
        }
    }
}

/// Records a refused command.
#[derive(Debug, Clone)]
pub struct Record(pub Recorded);

/// Records a line that is no command.
#[derive(Debug, Clone)]
pub struct RecordUnreadable(pub Unreadable);

/// A refusal never says no, it only exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NeverRefused {}

// ANCHOR: aggregate
/// What is known under one command id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Refusal {
    /// The refused command; `None`: none was refused under this id.
    pub recorded: Option<Recorded>,
}

#[aggregate(event = RefusalEvent, rejection = NeverRefused)]
impl Refusal {
    fn evolve(&mut self, event: &RefusalEvent) {
        match event {
            RefusalEvent::Recorded(recorded) => self.recorded = Some(recorded.clone()),
            RefusalEvent::Unreadable(_) => {}
        }
    }

    #[decide(create)]
    fn record(&self, command: &Record) -> Result<Recorded, NeverRefused> {
        Ok(command.0.clone())
    }

    #[decide(create)]
    fn record_unreadable(&self, command: &RecordUnreadable) -> Result<Unreadable, NeverRefused> {
        Ok(command.0.clone())
    }
}
// ANCHOR_END: aggregate
