//! The `Order` aggregate: what may happen to an order, and what may not.
//!
//! Pure: no clock, no database, no network. A command decides on the state and returns the event;
//! the event changes the state. Everything else in this package is wiring around these rules.

use std::fmt::{self, Display};
use std::num::NonZeroU32;

use hitherto::{aggregate, event};
use serde::{Deserialize, Serialize};

use crate::moment::Moment;
use crate::money::Cents;

/// The most order lines one order takes.
pub const LINES_MAX: usize = 100;

/// The largest total one order may reach.
pub const TOTAL_MAX: Cents = Cents(100_000_000);

// ANCHOR: ids
hitherto::id! {
    /// Names an order.
    pub struct OrderId;
    /// Names a customer.
    pub struct CustomerId;
    /// Names an article: its stock keeping unit.
    pub struct Sku;
    /// Names a payment at the payment provider.
    pub struct PaymentId;
}
// ANCHOR_END: ids

// ANCHOR: events
/// What can happen to an order. Subjects: `orders.order.<id>.placed`, `.item_added`, and so on.
#[event(context = "orders", aggregate = "order", id = OrderId)]
pub enum OrderEvent {
    /// A customer opened the order.
    Placed {
        /// Who.
        customer: CustomerId,
        /// When.
        at: Moment,
    },
    /// An article was put into it.
    ItemAdded {
        /// Which article.
        sku: Sku,
        /// Its name at that time.
        name: String,
        /// How many.
        quantity: NonZeroU32,
        /// The price of one at that time.
        unit_price: Cents,
        /// When.
        at: Moment,
    },
    /// The whole total was paid; the order takes no more items.
    Paid {
        /// Under which name the provider knows it.
        payment: PaymentId,
        /// How much.
        amount: Cents,
        /// When.
        at: Moment,
    },
    /// The parcel left the house.
    Shipped {
        /// Who carries it.
        carrier: String,
        /// The carrier's number for it.
        tracking: String,
        /// When.
        at: Moment,
    },
    /// The order was given up before it was shipped; what was paid goes back.
    Cancelled {
        /// Why.
        reason: String,
        /// When.
        at: Moment,
    },
}
// ANCHOR_END: events

// ANCHOR: commands
/// Opens an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Who.
    pub customer: CustomerId,
    /// When.
    pub at: Moment,
}

/// Puts an article into an open order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddItem {
    /// Which article.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// How many; none at all is no command.
    pub quantity: NonZeroU32,
    /// The price of one.
    #[serde(rename = "unit_price_cents")]
    pub unit_price: Cents,
    /// When.
    pub at: Moment,
}

/// Pays the whole total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pay {
    /// Under which name the provider knows it.
    pub payment: PaymentId,
    /// How much.
    #[serde(rename = "amount_cents")]
    pub amount: Cents,
    /// When.
    pub at: Moment,
}

/// Hands the parcel of a paid order to a carrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ship {
    /// Who carries it.
    pub carrier: String,
    /// The carrier's number for it.
    pub tracking: String,
    /// When.
    pub at: Moment,
}

/// Gives up an order that has not been shipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Why.
    pub reason: String,
    /// When.
    pub at: Moment,
}
// ANCHOR_END: commands

// ANCHOR: rejections
/// Why an order says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderRejection {
    /// The money is there already.
    #[error("the order is already paid")]
    AlreadyPaid,
    /// The amount is not the total.
    #[error("the payment of {paid} does not match the total of {due}")]
    WrongAmount {
        /// The total.
        due: Cents,
        /// What the command offers.
        paid: Cents,
    },
    /// Nobody pays for an empty order.
    #[error("the order has no items to pay for")]
    NothingToPay,
    /// The parcel stays until the money is there.
    #[error("the order cannot be shipped before it is paid")]
    NotPaid,
    /// The parcel has left.
    #[error("the order is already shipped")]
    AlreadyShipped,
    /// The order was given up.
    #[error("the order is cancelled")]
    AlreadyCancelled,
    /// One line more would be too many.
    #[error("the order already has {LINES_MAX} lines, the most one order takes")]
    TooManyLines,
    /// The total would pass [`TOTAL_MAX`].
    #[error("the total would pass {TOTAL_MAX}, the most one order may cost")]
    TotalTooLarge,
}
// ANCHOR_END: rejections

// ANCHOR: state
/// How far an order has come.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Takes items.
    #[default]
    Open,
    /// Waits for its parcel to leave.
    Paid,
    /// Is on its way.
    Shipped,
    /// Was given up.
    Cancelled,
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Cancelled => "cancelled",
        })
    }
}

/// What an order must remember to decide: less than a reader wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    status: Status,
    lines: usize,
    total: Cents,
}
// ANCHOR_END: state

// ANCHOR: aggregate
#[aggregate(event = OrderEvent, rejection = OrderRejection)]
impl Order {
    fn evolve(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed(_) => self.status = Status::Open,
            OrderEvent::ItemAdded(item) => {
                self.lines += 1;
                // `add_item` let no total pass that does not fit.
                self.total = self
                    .total_with(item.unit_price, item.quantity)
                    .unwrap_or(TOTAL_MAX);
            }
            OrderEvent::Paid(_) => self.status = Status::Paid,
            OrderEvent::Shipped(_) => self.status = Status::Shipped,
            OrderEvent::Cancelled(_) => self.status = Status::Cancelled,
        }
    }

    #[decide(create)]
    fn place(&self, command: &Place) -> Result<Placed, OrderRejection> {
        Ok(Placed {
            customer: command.customer.clone(),
            at: command.at,
        })
    }

    #[decide]
    fn add_item(&self, command: &AddItem) -> Result<ItemAdded, OrderRejection> {
        self.must_be_open()?;
        if self.lines >= LINES_MAX {
            return Err(OrderRejection::TooManyLines);
        }
        let AddItem {
            sku,
            name,
            quantity,
            unit_price,
            at,
        } = command.clone();
        match self.total_with(unit_price, quantity) {
            Some(total) if total <= TOTAL_MAX => Ok(ItemAdded {
                sku,
                name,
                quantity,
                unit_price,
                at,
            }),
            _ => Err(OrderRejection::TotalTooLarge),
        }
    }

    #[decide]
    fn pay(&self, command: &Pay) -> Result<Paid, OrderRejection> {
        if self.status == Status::Shipped {
            return Err(OrderRejection::AlreadyPaid);
        }
        self.must_be_open()?;
        if self.lines == 0 {
            return Err(OrderRejection::NothingToPay);
        }
        let Pay {
            payment,
            amount,
            at,
        } = command.clone();
        if amount != self.total {
            return Err(OrderRejection::WrongAmount {
                due: self.total,
                paid: amount,
            });
        }
        Ok(Paid {
            payment,
            amount,
            at,
        })
    }

    #[decide]
    fn ship(&self, command: &Ship) -> Result<Shipped, OrderRejection> {
        match self.status {
            Status::Open => Err(OrderRejection::NotPaid),
            Status::Shipped => Err(OrderRejection::AlreadyShipped),
            Status::Cancelled => Err(OrderRejection::AlreadyCancelled),
            Status::Paid => {
                let Ship {
                    carrier,
                    tracking,
                    at,
                } = command.clone();
                Ok(Shipped {
                    carrier,
                    tracking,
                    at,
                })
            }
        }
    }

    #[decide]
    fn cancel(&self, command: &Cancel) -> Result<Cancelled, OrderRejection> {
        match self.status {
            Status::Shipped => Err(OrderRejection::AlreadyShipped),
            Status::Cancelled => Err(OrderRejection::AlreadyCancelled),
            Status::Open | Status::Paid => Ok(Cancelled {
                reason: command.reason.clone(),
                at: command.at,
            }),
        }
    }
}
// ANCHOR_END: aggregate

impl Order {
    fn must_be_open(&self) -> Result<(), OrderRejection> {
        match self.status {
            Status::Open => Ok(()),
            Status::Paid => Err(OrderRejection::AlreadyPaid),
            Status::Shipped => Err(OrderRejection::AlreadyShipped),
            Status::Cancelled => Err(OrderRejection::AlreadyCancelled),
        }
    }

    fn total_with(&self, unit_price: Cents, quantity: NonZeroU32) -> Option<Cents> {
        self.total.checked_add(unit_price.checked_mul(quantity)?)
    }
}

#[cfg(test)]
mod tests;
