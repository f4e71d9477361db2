//! An introduction to JetStream, step by step, with the client async-nats: what the walkthrough of
//! the book shows. It talks to any server of the NATS protocol and leaves nothing behind.
//!
//! ```text
//! cargo run -p jetstream-walkthrough -- nats://127.0.0.1:4222
//! ```

#![allow(clippy::print_stdout, reason = "a program that shows what comes back")]

mod dead_letters;
mod publish;
mod replay;
mod report;
mod stream;
mod work;

use anyhow::Result;

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "nats://127.0.0.1:4222".into());
    // ANCHOR: connect
    let client = async_nats::connect(address).await?;
    let jetstream = async_nats::jetstream::new(client.clone());
    // ANCHOR_END: connect
    let orders = stream::create(&jetstream).await?;
    publish::acknowledged(&jetstream).await?;
    publish::once(&jetstream).await?;
    publish::only_after(&jetstream).await?;
    let worker = work::create(&orders).await?;
    work::settle_some(&worker).await?;
    dead_letters::terminate(&client, &worker).await?;
    dead_letters::give_up(&client, &orders).await?;
    replay::everything(&orders).await?;
    replay::from_a_sequence(&orders).await?;
    replay::from_a_moment(&orders).await?;
    replay::last_of_each(&orders).await?;
    replay::one_message(&orders).await?;
    report::stream(&orders).await?;
    report::consumers(&orders).await?;
    jetstream.delete_stream("ORDERS").await?;
    Ok(())
}
