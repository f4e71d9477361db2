//! Reading what has happened: from the beginning, a sequence, a moment, or the last of each subject.

use anyhow::{Error, Result};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt;

// ANCHOR: everything
pub(crate) async fn everything(orders: &Stream) -> Result<()> {
    show(orders, "from the beginning", DeliverPolicy::All).await
}
// ANCHOR_END: everything

// ANCHOR: sequence
pub(crate) async fn from_a_sequence(orders: &Stream) -> Result<()> {
    let policy = DeliverPolicy::ByStartSequence { start_sequence: 4 };
    show(orders, "from message 4", policy).await
}
// ANCHOR_END: sequence

// ANCHOR: time
pub(crate) async fn from_a_moment(orders: &Stream) -> Result<()> {
    let paid = orders.direct_get(2).await?;
    let policy = DeliverPolicy::ByStartTime {
        start_time: paid.time,
    };
    show(orders, "since order 1 was paid", policy).await
}
// ANCHOR_END: time

// ANCHOR: last
pub(crate) async fn last_of_each(orders: &Stream) -> Result<()> {
    show(
        orders,
        "the last of each subject",
        DeliverPolicy::LastPerSubject,
    )
    .await
}
// ANCHOR_END: last

/// One message, without a consumer.
// ANCHOR: one
pub(crate) async fn one_message(orders: &Stream) -> Result<()> {
    let message = orders.direct_get_last_for_subject("orders.1.paid").await?;
    println!(
        "orders.1.paid: {}",
        String::from_utf8_lossy(&message.payload)
    );
    Ok(())
}
// ANCHOR_END: one

/// Reads in order and without acks until nothing is pending; the consumer is made anew by the client
/// whenever a message is missing.
// ANCHOR: show
async fn show(orders: &Stream, what: &str, deliver_policy: DeliverPolicy) -> Result<()> {
    let config = pull::OrderedConfig {
        deliver_policy,
        filter_subject: "orders.>".into(),
        ..Default::default()
    };
    let mut messages = orders.create_consumer(config).await?.messages().await?;
    let mut seqs = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message?;
        let info = message.info().map_err(Error::from_boxed)?;
        seqs.push(info.stream_sequence);
        if info.pending == 0 {
            break;
        }
    }
    println!("{what}: {seqs:?}");
    Ok(())
}
// ANCHOR_END: show
