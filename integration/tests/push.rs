//! Push and ordered consumers through `async-nats`: delivery while somebody listens, groups, replay.

use std::time::Duration;

use anyhow::{Result, ensure};
use async_nats::jetstream::consumer::{DeliverPolicy, pull, push};
use async_nats::jetstream::{AckKind, Context, stream};
use futures_util::StreamExt;
use hitherto_integration::client::{
    PATIENCE, connect_jetstream, create_orders, delivery, publish, settle,
};
use hitherto_integration::{Server, on_both_servers};
use tokio::time::timeout;

async fn stream_with(server: &Server, messages: u64) -> Result<(Context, stream::Stream)> {
    let context = connect_jetstream(server).await?;
    let stream = create_orders(&context).await?;
    for number in 1..=messages {
        let subject = format!("orders.{number}.placed");
        publish(&context, &subject, &number.to_string()).await?;
    }
    Ok((context, stream))
}

async fn a_push_consumer_delivers_what_is_there_and_what_comes(server: &mut Server) -> Result<()> {
    let (context, stream) = stream_with(server, 2).await?;
    let config = push::Config {
        durable_name: Some("pushed".into()),
        deliver_subject: "to.pushed".into(),
        ..push::Config::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut messages = consumer.messages().await?;
    for number in 1..=3 {
        if number == 3 {
            publish(&context, "orders.3.placed", "3").await?;
        }
        let next = timeout(PATIENCE, messages.next()).await?;
        let message = next.ok_or_else(|| anyhow::anyhow!("the messages end"))??;
        let info = delivery(&message)?;
        ensure!((info.stream_sequence, info.delivered) == (number, 1));
        settle(&message, AckKind::Ack).await?;
    }
    let info = stream.consumer_info("pushed").await?;
    ensure!(
        info.push_bound && info.ack_floor.stream_sequence == 3,
        "{info:?}"
    );
    Ok(())
}

async fn an_ordered_push_consumer_replays_in_order(server: &mut Server) -> Result<()> {
    let (context, stream) = stream_with(server, 200).await?;
    let config = push::OrderedConfig {
        deliver_subject: context.client().new_inbox(),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: 11 },
        ..push::OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut messages = consumer.messages().await?;
    for number in 11..=200 {
        let next = timeout(PATIENCE, messages.next()).await?;
        let message = next.ok_or_else(|| anyhow::anyhow!("the messages end"))??;
        let info = delivery(&message)?;
        ensure!((info.stream_sequence, info.pending) == (number, 200 - number));
    }
    Ok(())
}

async fn an_ordered_pull_consumer_replays_in_order(server: &mut Server) -> Result<()> {
    let (_, stream) = stream_with(server, 200).await?;
    let consumer = stream
        .create_consumer(pull::OrderedConfig::default())
        .await?;
    let mut messages = consumer.messages().await?;
    for number in 1..=200 {
        let next = timeout(PATIENCE, messages.next()).await?;
        let message = next.ok_or_else(|| anyhow::anyhow!("the messages end"))??;
        ensure!(delivery(&message)?.stream_sequence == number);
    }
    Ok(())
}

async fn an_ephemeral_push_consumer_goes_when_nobody_listens(server: &mut Server) -> Result<()> {
    let (_, stream) = stream_with(server, 1).await?;
    let config = push::Config {
        deliver_subject: "to.nobody".into(),
        inactive_threshold: Duration::from_millis(200),
        ..push::Config::default()
    };
    let mut consumer = stream.create_consumer(config).await?;
    let gone = timeout(PATIENCE, async {
        while consumer.info().await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    gone.await?;
    Ok(())
}

on_both_servers!(
    a_push_consumer_delivers_what_is_there_and_what_comes,
    an_ordered_push_consumer_replays_in_order,
    an_ordered_pull_consumer_replays_in_order,
    an_ephemeral_push_consumer_goes_when_nobody_listens,
);
