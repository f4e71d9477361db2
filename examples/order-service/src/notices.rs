//! Shipping notices: for every paid order the carrier is told, once, that a parcel will come.
//!
//! The carrier is slow and sometimes very slow. While a call is under way the framework sends
//! heartbeats for its message, so that the broker does not hand it to somebody else, and it gives
//! up after the stated maximum. The notice and the mark "handled" are one transaction.

use std::time::Duration;

use hitherto::{Context, Handled, Outcome, Provided, Recorded, consumer, read_model};

use crate::digest::fnv1a_64;
use crate::moment::Moment;
use crate::order::{OrderId, Paid, PaymentId};

// ANCHOR: row
/// The carrier knows about the parcel of this order.
#[read_model(key = OrderId, table = "shipping_notices")]
pub struct NoticeRow {
    /// The payment that released the parcel.
    pub payment: PaymentId,
    /// The carrier's number for the notice.
    pub notice: String,
    /// When the order was paid.
    pub paid_at: Moment,
}
// ANCHOR_END: row

// ANCHOR: consumer
/// Announces the parcel of a paid order.
#[consumer(
    durable = "shipping-notices",
    ack_wait = "1s",
    heartbeat(max = "30s"),
    concurrency = 32,
    backoff = ["200ms", "1s", "5s"]
)]
pub async fn announce(event: Recorded<Paid>, cx: Context, carrier: Provided<Carrier>) -> Handled {
    // The key is the same for every delivery of this event: a second call finds the first notice.
    let notice = carrier
        .announce(event.id(), cx.command_id("announce").as_str())
        .await;
    let Paid { payment, at, .. } = event.event.clone();
    cx.put(
        event.id(),
        &NoticeRow {
            payment,
            notice,
            paid_at: at,
        },
    )?;
    Ok(Outcome::Ack)
}
// ANCHOR_END: consumer

/// A carrier that takes its time: 5 to 25 ms, and for one order in fifty longer than the broker
/// would wait without heartbeats.
#[derive(Debug, Clone, Copy, Default)]
pub struct Carrier {
    /// Answer at once, for tests.
    pub at_once: bool,
}

impl Carrier {
    const SLOW: Duration = Duration::from_millis(1_300);

    /// Announces a parcel; the same `key` gives the same notice.
    pub async fn announce(&self, order: &OrderId, key: &str) -> String {
        if !self.at_once {
            tokio::time::sleep(Self::time_for(order)).await;
        }
        format!("NTC-{:08X}", fnv1a_64(key.as_bytes()) >> 32)
    }

    fn time_for(order: &OrderId) -> Duration {
        let luck = fnv1a_64(order.as_str().as_bytes());
        if luck.is_multiple_of(50) {
            Self::SLOW
        } else {
            Duration::from_millis(5 + luck % 21)
        }
    }
}
