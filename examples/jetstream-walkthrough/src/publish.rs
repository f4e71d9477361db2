//! Publishing: acks, duplicates, conditions.

use anyhow::{Result, bail};
use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;

/// Publishes with headers and waits until the message is on disk.
// ANCHOR: acknowledged
pub(crate) async fn acknowledged(jetstream: &Context) -> Result<()> {
    let subjects = [
        "orders.1.placed",
        "orders.1.paid",
        "orders.2.placed",
        "orders.2.placed",
    ];
    for (subject, cents) in subjects.into_iter().zip([500, 500, 70, 700]) {
        let message = PublishMessage::build()
            .payload(format!("{{\"cents\": {cents}}}").into())
            .header("Content-Type", "application/json");
        let ack = jetstream.send_publish(subject, message).await?.await?;
        println!("{subject} is message {} of {}", ack.sequence, ack.stream);
    }
    Ok(())
}
// ANCHOR_END: acknowledged

/// Publishes twice under one id, as a program does that got no answer the first time.
// ANCHOR: once
pub(crate) async fn once(jetstream: &Context) -> Result<()> {
    for _ in 0..2 {
        let message = PublishMessage::build()
            .payload("{}".into())
            .message_id("order-3-placed");
        let ack = jetstream
            .send_publish("orders.3.placed", message)
            .await?
            .await?;
        println!("message {}, duplicate: {}", ack.sequence, ack.duplicate);
    }
    Ok(())
}
// ANCHOR_END: once

/// Publishes only if nothing has happened to the order since its message 2.
// ANCHOR: only-after
pub(crate) async fn only_after(jetstream: &Context) -> Result<()> {
    let paid_is_last = || {
        PublishMessage::build()
            .payload("{}".into())
            .header("Nats-Expected-Last-Subject-Sequence-Subject", "orders.1.>")
            .expected_last_subject_sequence(2)
    };
    let ack = jetstream
        .send_publish("orders.1.shipped", paid_is_last())
        .await?
        .await?;
    println!("shipped as message {}", ack.sequence);
    match jetstream
        .send_publish("orders.1.cancelled", paid_is_last())
        .await?
        .await
    {
        Ok(ack) => bail!(
            "cancelled after it was shipped, as message {}",
            ack.sequence
        ),
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
            println!("not cancelled: something has happened since");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
// ANCHOR_END: only-after
