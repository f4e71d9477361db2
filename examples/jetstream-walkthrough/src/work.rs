//! A durable pull consumer and its acknowledgements.

use std::time::Duration;

use anyhow::{Context as _, Error, Result};
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::AckKind;
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt;

/// Creates the consumer `worker`: what is not acknowledged comes again, later each time.
// ANCHOR: create
pub(crate) async fn create(orders: &Stream) -> Result<PullConsumer> {
    let config = pull::Config {
        durable_name: Some("worker".into()),
        ack_policy: AckPolicy::Explicit,
        backoff: vec![
            Duration::from_secs(30),
            Duration::from_secs(120),
            Duration::from_secs(600),
        ],
        max_deliver: 4,
        max_ack_pending: 100,
        ..Default::default()
    };
    Ok(orders.create_consumer(config).await?)
}
// ANCHOR_END: create

/// Takes three messages and settles each in its own way.
// ANCHOR: settle
pub(crate) async fn settle_some(worker: &PullConsumer) -> Result<()> {
    // Done, and the server has said that it knows.
    let message = next(worker).await?;
    message.double_ack().await.map_err(Error::from_boxed)?;

    // Long work: say so before `ack_wait` is over, as often as needed.
    let message = next(worker).await?;
    message
        .ack_with(AckKind::Progress)
        .await
        .map_err(Error::from_boxed)?;
    message.double_ack().await.map_err(Error::from_boxed)?;

    // Not now: again at once. `Some(delay)` waits.
    let message = next(worker).await?;
    message
        .double_ack_with(AckKind::Nak(None))
        .await
        .map_err(Error::from_boxed)?;

    // It comes again, counted.
    let message = next(worker).await?;
    let info = message.info().map_err(Error::from_boxed)?;
    println!(
        "message {}, delivery {}",
        info.stream_sequence, info.delivered
    );
    message.double_ack().await.map_err(Error::from_boxed)
}
// ANCHOR_END: settle

/// The next message, waiting for it.
// ANCHOR: next
pub(crate) async fn next(consumer: &PullConsumer) -> Result<Message> {
    let mut batch = consumer
        .batch()
        .max_messages(1)
        .expires(Duration::from_secs(10))
        .messages()
        .await?;
    batch
        .next()
        .await
        .context("no message within 10 seconds")?
        .map_err(Error::from_boxed)
}
// ANCHOR_END: next
