//! Read models: what people and programs ask about, folded from the events.
//!
//! A projection is a pure fold of one event into one row. Rows and the position they reflect are
//! committed together, so every event counts exactly once, also across `kill -9`.

use std::num::NonZeroU32;

use hitherto::{Position, Recorded, projection, read_model};
use serde::{Deserialize, Serialize};

use crate::command::{Action, CommandToken};
use crate::moment::Moment;
use crate::money::Cents;
use crate::order::{CustomerId, ItemAdded, OrderEvent, OrderId, PaymentId, Sku, Status};
use crate::refusal::{Reason, RefusalEvent};

// ANCHOR: row
/// An order as people see it.
#[read_model(key = OrderId, table = "orders")]
pub struct OrderRow {
    /// Who ordered.
    pub customer: CustomerId,
    /// How far it has come.
    pub status: Status,
    /// What was ordered, in the order it was added.
    pub items: Vec<Item>,
    /// The sum of all items.
    #[serde(rename = "total_cents")]
    pub total: Cents,
    /// The payment; it stays when a paid order is cancelled.
    pub payment: Option<PaymentId>,
    /// The carrier's number for the parcel.
    pub tracking: Option<String>,
    /// When it was placed.
    pub placed_at: Moment,
    /// When something happened to it last.
    pub changed_at: Moment,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Which article.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// How many.
    pub quantity: NonZeroU32,
    /// The price of one.
    #[serde(rename = "unit_price_cents")]
    pub unit_price: Cents,
}
// ANCHOR_END: row

// ANCHOR: projection
/// Keeps one [`OrderRow`] per order.
#[projection]
pub fn orders(row: Option<OrderRow>, event: &Recorded<OrderEvent>) -> Option<OrderRow> {
    if let OrderEvent::Placed(placed) = &event.event {
        return Some(OrderRow::placed(placed.customer.clone(), placed.at));
    }
    let mut row = row?;
    match &event.event {
        OrderEvent::Placed(_) => {}
        OrderEvent::ItemAdded(item) => row.add(item),
        OrderEvent::Paid(paid) => {
            row.change(Status::Paid, paid.at);
            row.payment = Some(paid.payment.clone());
        }
        OrderEvent::Shipped(shipped) => {
            row.change(Status::Shipped, shipped.at);
            row.tracking = Some(shipped.tracking.clone());
        }
        OrderEvent::Cancelled(cancelled) => row.change(Status::Cancelled, cancelled.at),
    }
    Some(row)
}
// ANCHOR_END: projection

impl OrderRow {
    fn placed(customer: CustomerId, at: Moment) -> Self {
        Self {
            customer,
            status: Status::Open,
            items: Vec::new(),
            total: Cents(0),
            payment: None,
            tracking: None,
            placed_at: at,
            changed_at: at,
        }
    }

    fn add(&mut self, item: &ItemAdded) {
        let ItemAdded {
            sku,
            name,
            quantity,
            unit_price,
            at,
        } = item.clone();
        let line = unit_price.checked_mul(quantity).unwrap_or_default();
        self.total = self.total.checked_add(line).unwrap_or(self.total);
        self.items.push(Item {
            sku,
            name,
            quantity,
            unit_price,
        });
        self.changed_at = at;
    }

    const fn change(&mut self, status: Status, at: Moment) {
        self.status = status;
        self.changed_at = at;
    }
}

// ANCHOR: accepted
/// An accepted command, by its id.
#[read_model(key = CommandToken, table = "accepted_commands")]
pub struct AcceptedRow {
    /// The order that took it.
    pub order: OrderId,
    /// What it wanted.
    pub action: Action,
    /// Where its event is.
    pub position: Position,
}

/// Keeps one [`AcceptedRow`] per accepted command: each leads to exactly one event.
#[projection(key = command_of(event))]
pub fn accepted(_: Option<AcceptedRow>, event: &Recorded<OrderEvent>) -> Option<AcceptedRow> {
    let (order, action) = (event.id.clone(), Action::from(&event.event));
    Some(AcceptedRow {
        order,
        action,
        position: event.position(),
    })
}

fn command_of(event: &Recorded<OrderEvent>) -> Option<CommandToken> {
    CommandToken::new(event.envelope.command_id.as_ref()?.as_str()).ok()
}
// ANCHOR_END: accepted

/// A refused command or an unreadable line, by the id it is filed under.
#[read_model(key = CommandToken, table = "refused_commands")]
pub struct RefusedRow {
    /// Why; `None`: it was no command.
    pub reason: Option<Reason>,
    /// The same in words.
    pub detail: String,
}

/// Keeps one [`RefusedRow`] per refusal.
#[projection]
pub fn refused(_: Option<RefusedRow>, event: &Recorded<RefusalEvent>) -> Option<RefusedRow> {
    Some(match &event.event {
        RefusalEvent::Recorded(recorded) => RefusedRow {
            reason: Some(recorded.reason),
            detail: recorded.detail.clone(),
        },
        RefusalEvent::Unreadable(line) => RefusedRow {
            reason: None,
            detail: line.problem.clone(),
        },
    })
}
