//! A command as it comes in: one line of a file, or the body of a POST.

use hitherto::CommandId;
use serde::{Deserialize, Serialize};

use crate::order::{AddItem, Cancel, OrderEvent, OrderId, Pay, Place, Ship};

hitherto::id! {
    /// A command id that is also one subject token, because a refused command is filed under it.
    pub struct CommandToken;
}

// ANCHOR: command
/// A command, whom it is for, and the id under which it is decided once and for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Names the command; whoever sends it again sends the same id.
    pub id: CommandToken,
    /// The order it is for.
    pub order: OrderId,
    /// What is wanted, told apart by the field `kind`.
    #[serde(flatten)]
    pub action: Action,
}

/// What is wanted of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// Open it.
    Place(Place),
    /// Put an article into it.
    AddItem(AddItem),
    /// Pay it.
    Pay(Pay),
    /// Send it.
    Ship(Ship),
    /// Give it up.
    Cancel(Cancel),
}
// ANCHOR_END: command

impl Command {
    /// Reads one JSON object.
    ///
    /// # Errors
    /// [`Malformed`], which says what is missing or wrong.
    pub fn parse(json: &str) -> Result<Self, Malformed> {
        serde_json::from_str(json)
            .map_err(Malformed::from)
            .and_then(Self::checked)
    }

    /// Reads one JSON object that has been parsed already.
    ///
    /// # Errors
    /// [`Malformed`], which says what is missing or wrong.
    pub fn from_json(json: serde_json::Value) -> Result<Self, Malformed> {
        serde_json::from_value(json)
            .map_err(Malformed::from)
            .and_then(Self::checked)
    }

    /// Returns the id as the framework takes it.
    ///
    /// # Errors
    /// [`Malformed`] when it would not fit a header.
    pub fn command_id(&self) -> Result<CommandId, Malformed> {
        CommandId::new(self.id.as_str()).map_err(|error| Malformed(error.to_string()))
    }

    fn checked(self) -> Result<Self, Malformed> {
        self.command_id().map(|_| self)
    }
}

/// An accepted command and its event say the same, so the event tells what was asked for.
impl From<&OrderEvent> for Action {
    fn from(event: &OrderEvent) -> Self {
        match event.clone() {
            OrderEvent::Placed(event) => Self::Place(Place {
                customer: event.customer,
                at: event.at,
            }),
            OrderEvent::ItemAdded(event) => Self::AddItem(AddItem {
                sku: event.sku,
                name: event.name,
                quantity: event.quantity,
                unit_price: event.unit_price,
                at: event.at,
            }),
            OrderEvent::Paid(event) => Self::Pay(Pay {
                payment: event.payment,
                amount: event.amount,
                at: event.at,
            }),
            OrderEvent::Shipped(event) => Self::Ship(Ship {
                carrier: event.carrier,
                tracking: event.tracking,
                at: event.at,
            }),
            OrderEvent::Cancelled(event) => Self::Cancel(Cancel {
                reason: event.reason,
                at: event.at,
            }),
        }
    }
}

/// The text is no command; the message says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        let (text, column) = (error.to_string(), error.column());
        // A command is mostly one line of a file, and "line 1" would mislead whoever looks for it.
        match text.strip_suffix(&format!(" at line 1 column {column}")) {
            Some(problem) => Self(format!("{problem}, at column {column}")),
            None => Self(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = r#"{"id":"c-1","order":"o-1","kind":"place","customer":"ines-moreau",
        "at":"2026-03-02T08:15:30Z"}"#;

    fn problem(json: &str) -> String {
        Command::parse(json).unwrap_err().to_string()
    }

    #[test]
    fn a_command_reads_back_as_it_was_written() {
        let command = Command::parse(PLACE).unwrap();
        assert!(
            matches!(&command.action, Action::Place(place) if place.customer.as_str() == "ines-moreau")
        );
        let written = serde_json::to_string(&command).unwrap();
        assert_eq!(Command::parse(&written).unwrap(), command);
    }

    #[test]
    fn a_malformed_command_is_told_what_is_wrong() {
        assert!(problem("{\"id\":\"c-1\",").contains("EOF"));
        assert!(problem(&PLACE.replace("customer", "client")).contains("missing field `customer`"));
        assert!(problem(&PLACE.replace("place", "refund")).contains("unknown variant `refund`"));
        assert!(problem(&PLACE.replace("c-1", "c.1")).contains("would start another token"));
        assert!(problem(&PLACE.replace("c-1", "ç-1")).contains("visible ASCII"));
        assert!(problem(&PLACE.replace("T08:15:30Z", "")).contains("RFC 3339"));
    }

    #[test]
    fn a_quantity_is_a_positive_number() {
        let item = |quantity: i64| {
            format!(
                r#"{{"id":"c-2","order":"o-1","kind":"add_item","sku":"MUG-01","name":"Mug",
                "quantity":{quantity},"unit_price_cents":990,"at":"2026-03-02T08:15:30Z"}}"#
            )
        };
        assert!(Command::parse(&item(2)).is_ok());
        assert!(problem(&item(0)).contains("nonzero"));
        assert!(problem(&item(-3)).contains("integer `-3`"));
    }
}
