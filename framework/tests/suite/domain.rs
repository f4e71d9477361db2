//! A small shop: the domain of the suite.

use hitherto::{Recorded, aggregate, event, projection, read_model};

hitherto::id! {
    /// Names an order.
    pub(crate) struct OrderId;
}

/// What happens to an order.
#[event(context = "shop", aggregate = "order", id = OrderId)]
pub(crate) enum OrderEvent {
    Placed {
        total: u64,
    },
    /// `number` counts the items of the order from 1: decided on an older state it shows.
    ItemAdded {
        price: u64,
        number: u64,
    },
    Paid {
        payment: String,
    },
}

#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) total: u64,
}

/// Adds several items at once: one event each, in one atomic append.
#[derive(Debug)]
pub(crate) struct AddItems {
    pub(crate) prices: Vec<u64>,
}

#[derive(Debug)]
pub(crate) struct Pay {
    pub(crate) payment: String,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum OrderRejection {
    #[error("the order is paid")]
    Paid,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) total: u64,
    pub(crate) items: u64,
    pub(crate) paid: bool,
}

#[aggregate(event = OrderEvent, rejection = OrderRejection)]
impl Order {
    fn evolve(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed(placed) => self.total = placed.total,
            OrderEvent::ItemAdded(item) => {
                self.total += item.price;
                self.items += 1;
            }
            OrderEvent::Paid(_) => self.paid = true,
        }
    }

    #[decide(create)]
    fn place(&self, command: &Place) -> Result<Placed, OrderRejection> {
        Ok(Placed {
            total: command.total,
        })
    }

    #[decide]
    fn add_items(&self, command: &AddItems) -> Result<Vec<ItemAdded>, OrderRejection> {
        if self.paid {
            return Err(OrderRejection::Paid);
        }
        let numbered = command.prices.iter().zip(self.items + 1..);
        Ok(numbered
            .map(|(price, number)| ItemAdded {
                price: *price,
                number,
            })
            .collect())
    }

    /// Paying with the same payment again changes nothing.
    #[decide]
    fn pay(&self, command: &Pay) -> Result<Option<Paid>, OrderRejection> {
        Ok((!self.paid).then(|| Paid {
            payment: command.payment.clone(),
        }))
    }
}

/// One row per order.
#[read_model(key = OrderId)]
pub(crate) struct OrderRow {
    pub(crate) total: u64,
    pub(crate) events: u64,
    pub(crate) paid: bool,
}

/// Counts what it folds, so that an event folded twice shows.
#[projection(name = "orders")]
pub(crate) fn orders(row: Option<OrderRow>, event: &Recorded<OrderEvent>) -> Option<OrderRow> {
    let mut row = row.unwrap_or(OrderRow {
        total: 0,
        events: 0,
        paid: false,
    });
    row.events += 1;
    match &event.event {
        OrderEvent::Placed(placed) => row.total = placed.total,
        OrderEvent::ItemAdded(item) => row.total += item.price,
        OrderEvent::Paid(_) => row.paid = true,
    }
    Some(row)
}

/// One row per payment, found by it and not by the order.
#[read_model(key = String)]
pub(crate) struct PaymentRow {
    pub(crate) order: OrderId,
}

/// Reads only one type of event, with a key of its own.
#[projection(key = event.event.payment.clone())]
pub(crate) fn payments(_: Option<PaymentRow>, event: &Recorded<Paid>) -> Option<PaymentRow> {
    Some(PaymentRow {
        order: event.id().clone(),
    })
}

pub(crate) fn id(text: &str) -> OrderId {
    OrderId::new(text).unwrap()
}

pub(crate) fn command(text: &str) -> hitherto::CommandId {
    hitherto::CommandId::new(text).unwrap()
}
