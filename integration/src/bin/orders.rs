//! A small program as a user would write it with the `async-nats` client, run by the tests against
//! our broker and, unchanged, against a stock nats-server.
//!
//! It creates the stream `ORDERS` (`orders.>`), publishes orders with headers and a message id, and
//! works them off through a durable pull consumer with ack, double ack, nak, in-progress and term.

#![allow(clippy::print_stdout, reason = "a command line program")]

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, AckKind, Message, stream};
use clap::Parser;
use futures_util::StreamExt;

/// Long enough that a slow machine does not redeliver by itself, short enough to wait for once.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// Publishes and works off a handful of orders through JetStream.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  orders --server nats://127.0.0.1:4222")]
struct Args {
    /// Where the server is.
    #[arg(long, default_value = "nats://127.0.0.1:4222")]
    server: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let client = async_nats::connect(&args.server).await?;
    let context = jetstream::new(client);
    let orders = create_stream(&context).await?;
    publish(&context).await?;
    let consumer = create_consumer(&orders).await?;
    work_off(&consumer).await?;
    check_the_end(&orders).await
}

async fn create_stream(context: &jetstream::Context) -> Result<stream::Stream> {
    let config = stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        duplicate_window: Duration::from_secs(60),
        ..Default::default()
    };
    let stream = context.create_stream(config).await?;
    println!(
        "stream ORDERS takes {:?}",
        stream.cached_info().config.subjects
    );
    Ok(stream)
}

async fn publish(context: &jetstream::Context) -> Result<()> {
    for (number, step) in ["placed", "paid", "packed", "shipped", "refused"]
        .iter()
        .enumerate()
    {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("order-42-{number}"));
        headers.insert("Customer", "Ada");
        let subject = format!("orders.42.{step}");
        let ack = context
            .publish_with_headers(subject.clone(), headers.clone(), (*step).into())
            .await?
            .await?;
        ensure!(!ack.duplicate, "a first publish is no duplicate");
        let again = context
            .publish_with_headers(subject, headers, (*step).into())
            .await?
            .await?;
        ensure!(again.duplicate, "the same message id is a duplicate");
        ensure!(
            again.sequence == ack.sequence,
            "a duplicate carries the first sequence"
        );
        println!("published {step} as {}", ack.sequence);
    }
    Ok(())
}

async fn create_consumer(stream: &stream::Stream) -> Result<PullConsumer> {
    let config = pull::Config {
        durable_name: Some("worker".into()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: 5,
        ..Default::default()
    };
    Ok(stream.create_consumer(config).await?)
}

/// Handles each order in another way; a message that comes back is one that was not acknowledged.
///
/// It asks for one message at a time: the ack wait of a message that were fetched ahead would run
/// out while another takes long.
async fn work_off(consumer: &PullConsumer) -> Result<()> {
    let mut handled = 0;
    while handled < 5 {
        let batch = consumer.batch().max_messages(1).expires(ACK_WAIT * 2);
        let message = batch
            .messages()
            .await?
            .next()
            .await
            .context("no order came in time")?;
        let message = message.map_err(anyhow::Error::from_boxed)?;
        let headers = message.headers.as_ref();
        ensure!(
            headers
                .and_then(|headers| headers.get("Customer"))
                .is_some(),
            "headers come back with the message"
        );
        if handle(&message).await? {
            handled += 1;
        }
    }
    Ok(())
}

/// Answers whether the message is done with.
async fn handle(message: &Message) -> Result<bool> {
    let delivered = message.info().map_err(anyhow::Error::from_boxed)?.delivered;
    let step = std::str::from_utf8(&message.payload)?;
    println!("delivered {step}, attempt {delivered}");
    let done = match (step, delivered) {
        ("placed", 1) => reply(message, Reply::Ack).await?,
        ("paid", 1) => reply(message, Reply::DoubleAck).await?,
        ("packed", 1) => reply(message, Reply::Kind(AckKind::Nak(None))).await?,
        ("packed", 2) => {
            reply(
                message,
                Reply::Kind(AckKind::Nak(Some(Duration::from_millis(50)))),
            )
            .await?
        }
        ("packed", 3) => reply(message, Reply::Ack).await?,
        ("shipped", 1) => long_work(message).await?,
        ("refused", 1) => reply(message, Reply::Kind(AckKind::Term)).await?,
        _ => bail!("{step} was delivered a {delivered}. time"),
    };
    Ok(done)
}

enum Reply {
    Ack,
    DoubleAck,
    Kind(AckKind),
}

/// Sends the reply and answers whether it ends the message.
async fn reply(message: &Message, reply: Reply) -> Result<bool> {
    let done = !matches!(reply, Reply::Kind(AckKind::Nak(_)));
    match reply {
        Reply::Ack => message.ack().await,
        Reply::DoubleAck => message.double_ack().await,
        Reply::Kind(kind) => message.ack_with(kind).await,
    }
    .map_err(anyhow::Error::from_boxed)?;
    Ok(done)
}

/// Works longer than the ack wait and says so in time, as a long handler must.
async fn long_work(message: &Message) -> Result<bool> {
    let mut heartbeat = tokio::time::interval(ACK_WAIT / 3);
    for _ in 0..5 {
        heartbeat.tick().await;
        reply(message, Reply::Kind(AckKind::Progress)).await?;
    }
    reply(message, Reply::DoubleAck).await
}

async fn check_the_end(stream: &stream::Stream) -> Result<()> {
    // The plain acks before this request travelled on the same connection, so they are in order
    // before it; the last one was plain, so ask until the server has counted it.
    let deadline = tokio::time::Instant::now() + ACK_WAIT;
    loop {
        let info = stream.consumer_info("worker").await?;
        if info.num_ack_pending == 0 && info.num_pending == 0 && info.ack_floor.stream_sequence == 5
        {
            break;
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "not all orders are done: {info:?}"
        );
        tokio::task::yield_now().await;
    }
    let state = stream.get_info().await?.state;
    ensure!(
        state.messages == 5 && state.last_sequence == 5,
        "the stream keeps 5: {state:?}"
    );
    println!("all 5 orders are done");
    Ok(())
}
