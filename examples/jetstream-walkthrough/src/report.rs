//! What a stream holds and how far its consumers are.

use std::collections::BTreeMap;

use anyhow::Result;
use async_nats::jetstream::stream::Stream;
use futures_util::TryStreamExt;

// ANCHOR: stream
pub(crate) async fn stream(orders: &Stream) -> Result<()> {
    let state = orders.get_info().await?.state;
    println!(
        "{} messages on {} subjects, {} to {}",
        state.messages, state.subjects_count, state.first_sequence, state.last_sequence
    );
    let subjects: BTreeMap<String, usize> = orders
        .info_with_subjects("orders.*.placed")
        .await?
        .try_collect()
        .await?;
    println!("{subjects:?}");
    Ok(())
}
// ANCHOR_END: stream

// ANCHOR: consumers
pub(crate) async fn consumers(orders: &Stream) -> Result<()> {
    let mut consumers: Vec<_> = orders.consumers().try_collect().await?;
    consumers.retain(|info| info.config.durable_name.is_some());
    consumers.sort_by(|a, b| a.name.cmp(&b.name));
    for info in consumers {
        println!(
            "{}: {} to come, {} not acknowledged, {} again",
            info.name, info.num_pending, info.num_ack_pending, info.num_redelivered
        );
    }
    Ok(())
}
// ANCHOR_END: consumers
