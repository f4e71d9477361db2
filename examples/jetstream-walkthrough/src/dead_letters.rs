//! Messages that no worker can handle: the server tells of them, and keeps them.

use std::time::Duration;

use anyhow::{Context as _, Error, Result};
use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::AckKind;
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt;
use serde_json::Value;

use crate::work;

/// A worker sees that it can never handle a message, and says why.
// ANCHOR: terminate
pub(crate) async fn terminate(client: &Client, worker: &PullConsumer) -> Result<()> {
    let subject = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.ORDERS.*";
    let mut terminated = client.subscribe(subject).await?;
    let message = work::next(worker).await?;
    message
        .ack_with(AckKind::Term)
        .await
        .map_err(Error::from_boxed)?;
    let advisory = terminated.next().await.context("the connection is open")?;
    let advisory: Value = serde_json::from_slice(&advisory.payload)?;
    println!(
        "{} gave up message {}",
        advisory["consumer"], advisory["stream_seq"]
    );
    Ok(())
}
// ANCHOR_END: terminate

/// A message fails until its deliveries are used up; whoever listens fetches it by its sequence.
// ANCHOR: give-up
pub(crate) async fn give_up(client: &Client, orders: &Stream) -> Result<()> {
    let subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ORDERS.*";
    let mut exhausted = client.subscribe(subject).await?;
    let config = pull::Config {
        durable_name: Some("hasty".into()),
        ack_policy: AckPolicy::Explicit,
        filter_subject: "orders.3.*".into(),
        ack_wait: Duration::from_millis(200),
        max_deliver: 1,
        ..Default::default()
    };
    let hasty = orders.create_consumer(config).await?;
    // Taken, and never acknowledged: the worker has died.
    work::next(&hasty).await?;
    // An advisory tells of it when the server would deliver once more.
    let mut more = hasty
        .batch()
        .expires(Duration::from_secs(2))
        .messages()
        .await?;
    let advisory = exhausted.next().await.context("the connection is open")?;
    let advisory: Value = serde_json::from_slice(&advisory.payload)?;
    let seq = advisory["stream_seq"]
        .as_u64()
        .context("an advisory names the message")?;
    let dead = orders.direct_get(seq).await?;
    println!(
        "dead letter: {} after {} deliveries",
        dead.subject, advisory["deliveries"]
    );
    anyhow::ensure!(more.next().await.is_none(), "it is not delivered again");
    Ok(())
}
// ANCHOR_END: give-up
