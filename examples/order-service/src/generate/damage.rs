//! How lines break on their way: cut off, a field missing, a number that makes no sense.

use std::time::Duration;

use crate::command::{Action, Command};
use crate::moment::Moment;
use crate::order::Cancel;

/// One way to break a line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Damage {
    /// The connection was lost in the middle of it.
    CutOff,
    /// The order is missing.
    MissingField,
    /// Less than nothing was ordered.
    NegativeQuantity,
    /// Nobody knows this kind of command.
    UnknownKind,
    /// The date is not RFC 3339.
    OddDate,
    /// Not JSON at all.
    NotJson,
}

impl Damage {
    pub(super) const ALL: &[Self] = &[
        Self::CutOff,
        Self::MissingField,
        Self::NegativeQuantity,
        Self::UnknownKind,
        Self::OddDate,
        Self::NotJson,
    ];

    /// Returns a broken line, made from a good command but under an id of its own.
    pub(super) fn apply(self, command: &Command, number: usize) -> String {
        let (id, order) = (format!("broken-{number:02}"), &command.order);
        let head = format!(r#"{{"id":"{id}","order":"{order}""#);
        let at = "2026-03-04T10:30:00Z";
        match self {
            Self::CutOff => format!("{head},\"kind\":\"pay\",\"payment\":\"pay-30\n"),
            Self::MissingField => {
                format!(
                    "{{\"id\":\"{id}\",\"kind\":\"cancel\",\"reason\":\"?\",\"at\":\"{at}\"}}\n"
                )
            }
            Self::NegativeQuantity => format!(
                "{head},\"kind\":\"add_item\",\"sku\":\"MUG-3001\",\"name\":\"Stoneware mug, grey\",\
                 \"quantity\":-{quantity},\"unit_price_cents\":1490,\"at\":\"{at}\"}}\n",
                quantity = number + 1
            ),
            Self::UnknownKind => {
                format!("{head},\"kind\":\"refund\",\"amount_cents\":1990,\"at\":\"{at}\"}}\n")
            }
            Self::OddDate => {
                format!("{head},\"kind\":\"cancel\",\"reason\":\"?\",\"at\":\"4 March 2026\"}}\n")
            }
            Self::NotJson => format!("# batch {number} of the night run\n"),
        }
    }
}

/// Returns another command to the same order, sent by mistake under the same id.
pub(super) fn other_command_with_id_of(command: &Command) -> Command {
    let at = Moment::parse("2026-03-06T12:00:00Z").expect("the text is RFC 3339");
    let at = at.after(Duration::from_secs(1));
    let reason = "sent under an id that was used before".to_owned();
    Command {
        action: Action::Cancel(Cancel { reason, at }),
        ..command.clone()
    }
}
