//! Shorthand over the `async-nats` client that most tests need.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::{self, Context, Message, stream};
use async_nats::{Client, Event};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::Server;

/// Longer than anything here takes; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to `server`.
///
/// # Errors
///
/// When the server does not answer.
pub async fn connect(server: &Server) -> Result<Client> {
    async_nats::connect(server.url())
        .await
        .with_context(|| format!("connecting to {server:?}"))
}

/// Connects to `server` and passes on what happens to the connection.
///
/// # Errors
///
/// When the server does not answer.
pub async fn connect_with_events(server: &Server) -> Result<(Client, mpsc::Receiver<Event>)> {
    let (sender, receiver) = mpsc::channel(64);
    let client = async_nats::ConnectOptions::new()
        .reconnect_delay_callback(|_| Duration::from_millis(10))
        .event_callback(move |event| {
            let sender = sender.clone();
            async move {
                // The test stops listening when it has seen what it waits for.
                sender.send(event).await.ok();
            }
        })
        .connect(server.url())
        .await?;
    Ok((client, receiver))
}

/// The JetStream context of a new connection.
///
/// # Errors
///
/// When the server does not answer.
pub async fn connect_jetstream(server: &Server) -> Result<Context> {
    Ok(jetstream::new(connect(server).await?))
}

/// Creates the stream `ORDERS` on `orders.>` with its defaults.
///
/// # Errors
///
/// When the server refuses it.
pub async fn create_orders(context: &Context) -> Result<stream::Stream> {
    Ok(context.create_stream(orders_config()).await?)
}

/// The configuration of `ORDERS`, for tests that change it first.
pub fn orders_config() -> stream::Config {
    stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        allow_direct: true,
        ..Default::default()
    }
}

/// Publishes and waits for the ack.
///
/// # Errors
///
/// When the publish is refused or not answered.
pub async fn publish(context: &Context, subject: &str, payload: &str) -> Result<PublishAck> {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    Ok(context.publish(subject.to_owned(), payload).await?.await?)
}

/// Publishes with headers and waits for the ack; the client's own error, to be looked into.
///
/// # Errors
///
/// When the publish is refused or not answered.
pub async fn publish_message(
    context: &Context,
    subject: &str,
    message: PublishMessage,
) -> Result<PublishAck, jetstream::context::PublishError> {
    context
        .send_publish(subject.to_owned(), message)
        .await?
        .await
}

/// Creates the durable pull consumer `worker` with explicit acks, changed by `change`.
///
/// # Errors
///
/// When the server refuses it.
pub async fn create_worker(
    stream: &stream::Stream,
    change: impl FnOnce(&mut pull::Config),
) -> Result<PullConsumer> {
    let mut config = pull::Config {
        durable_name: Some("worker".into()),
        ..Default::default()
    };
    change(&mut config);
    Ok(stream.create_consumer(config).await?)
}

/// Pulls exactly `count` messages, waiting for them.
///
/// # Errors
///
/// When fewer come in time.
pub async fn pull(consumer: &PullConsumer, count: usize) -> Result<Vec<Message>> {
    let mut batch = consumer
        .batch()
        .max_messages(count)
        .expires(PATIENCE)
        .messages()
        .await?;
    let mut messages = Vec::with_capacity(count);
    while let Some(message) = batch.next().await {
        messages.push(message.map_err(anyhow::Error::from_boxed)?);
    }
    anyhow::ensure!(
        messages.len() == count,
        "{} of {count} messages came",
        messages.len()
    );
    Ok(messages)
}

/// Pulls what is there now, at most `count` messages, without waiting.
///
/// # Errors
///
/// When the server does not answer.
pub async fn pull_now(consumer: &PullConsumer, count: usize) -> Result<Vec<Message>> {
    let mut batch = consumer.fetch().max_messages(count).messages().await?;
    let mut messages = Vec::new();
    while let Some(message) = batch.next().await {
        messages.push(message.map_err(anyhow::Error::from_boxed)?);
    }
    Ok(messages)
}

/// Acknowledges with `kind`, waiting for the server's word that it has taken it.
///
/// # Errors
///
/// When the server does not answer.
pub async fn settle(message: &Message, kind: jetstream::AckKind) -> Result<()> {
    message
        .double_ack_with(kind)
        .await
        .map_err(anyhow::Error::from_boxed)
}

/// How often and as what a message was delivered.
///
/// # Errors
///
/// When the message carries no ack subject.
pub fn delivery(message: &Message) -> Result<jetstream::message::Info<'_>> {
    message.info().map_err(anyhow::Error::from_boxed)
}
