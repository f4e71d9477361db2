//! A stream with limits.

use std::time::Duration;

use anyhow::Result;
use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream};

/// Creates the stream `ORDERS`; creating it again with the same configuration changes nothing.
// ANCHOR: create
pub(crate) async fn create(jetstream: &Context) -> Result<Stream> {
    let config = Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        max_messages: 1_000_000,
        max_bytes: 1024 * 1024 * 1024,
        max_age: Duration::from_secs(365 * 24 * 3600),
        max_message_size: 64 * 1024,
        discard: DiscardPolicy::Old,
        duplicate_window: Duration::from_secs(120),
        allow_direct: true,
        ..Default::default()
    };
    let orders = jetstream.create_stream(config).await?;
    println!(
        "stream {} captures {:?}",
        orders.cached_info().config.name,
        orders.cached_info().config.subjects
    );
    Ok(orders)
}
// ANCHOR_END: create
