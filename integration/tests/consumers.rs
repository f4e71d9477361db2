//! Pull consumers through `async-nats`: acks of every kind, redelivery, limits, life cycle.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Context, ErrorCode, stream};
use futures_util::{StreamExt, TryStreamExt};
use hitherto_integration::client::{
    PATIENCE, connect_jetstream, create_orders, create_worker, delivery, publish, pull, pull_now,
    settle,
};
use hitherto_integration::{Server, on_both_servers};

/// Short, for tests that wait for a redelivery.
const ACK_WAIT: Duration = Duration::from_millis(300);

async fn stream_with(server: &Server, messages: u64) -> Result<(Context, stream::Stream)> {
    let context = connect_jetstream(server).await?;
    let stream = create_orders(&context).await?;
    for number in 1..=messages {
        publish(
            &context,
            &format!("orders.{number}.placed"),
            &number.to_string(),
        )
        .await?;
    }
    Ok((context, stream))
}

async fn nothing_is_left(consumer: &PullConsumer) -> Result<()> {
    let left = pull_now(consumer, 10).await?;
    ensure!(left.is_empty(), "{left:?}");
    let info = consumer.get_info().await?;
    ensure!(
        info.num_ack_pending == 0 && info.num_pending == 0,
        "{info:?}"
    );
    Ok(())
}

/// A waiting pull sees nothing for `time`.
async fn nothing_comes_within(consumer: &PullConsumer, time: Duration) -> Result<()> {
    let waiting = consumer
        .batch()
        .max_messages(1)
        .expires(time)
        .messages()
        .await?;
    let came = waiting.count().await;
    ensure!(came == 0, "{came} messages came within {time:?}");
    Ok(())
}

async fn acknowledged_messages_do_not_come_back(server: &mut Server) -> Result<()> {
    let (_, stream) = stream_with(server, 3).await?;
    let consumer = create_worker(&stream, |config| config.ack_wait = ACK_WAIT).await?;
    for (message, number) in pull(&consumer, 3).await?.iter().zip(1..) {
        let info = delivery(message)?;
        ensure!(
            (info.stream_sequence, info.consumer_sequence, info.delivered) == (number, number, 1)
        );
        ensure!(info.stream == "ORDERS" && info.consumer == "worker" && info.pending == 3 - number);
        settle(message, AckKind::Ack).await?;
    }
    let info = consumer.get_info().await?;
    ensure!(
        (
            info.ack_floor.stream_sequence,
            info.ack_floor.consumer_sequence
        ) == (3, 3),
        "{info:?}"
    );
    // Past the ack wait nothing is due again.
    nothing_comes_within(&consumer, ACK_WAIT * 2).await?;
    nothing_is_left(&consumer).await
}

async fn a_double_ack_is_answered_twice(server: &mut Server) -> Result<()> {
    let (_, stream) = stream_with(server, 1).await?;
    let consumer = create_worker(&stream, |_| ()).await?;
    let message = pull(&consumer, 1).await?.remove(0);
    settle(&message, AckKind::Ack).await?;
    settle(&message, AckKind::Ack).await?;
    nothing_is_left(&consumer).await
}

async fn a_nak_brings_the_message_back_at_once_or_later(server: &mut Server) -> Result<()> {
    const DELAY: Duration = Duration::from_millis(250);
    let (_, stream) = stream_with(server, 1).await?;
    let consumer = create_worker(&stream, |_| ()).await?;
    let first = pull(&consumer, 1).await?.remove(0);
    settle(&first, AckKind::Nak(None)).await?;
    let second = pull(&consumer, 1).await?.remove(0);
    let info = delivery(&second)?;
    ensure!(
        (info.delivered, info.stream_sequence, info.consumer_sequence) == (2, 1, 2),
        "{info:?}"
    );

    let refused = Instant::now();
    settle(&second, AckKind::Nak(Some(DELAY))).await?;
    let third = pull(&consumer, 1).await?.remove(0);
    ensure!(
        refused.elapsed() >= DELAY,
        "back after {:?}",
        refused.elapsed()
    );
    ensure!(delivery(&third)?.delivered == 3);
    settle(&third, AckKind::Ack).await?;
    nothing_is_left(&consumer).await
}

async fn progress_puts_the_redelivery_off(server: &mut Server) -> Result<()> {
    let (_, stream) = stream_with(server, 1).await?;
    let consumer = create_worker(&stream, |config| config.ack_wait = ACK_WAIT * 2).await?;
    let message = pull(&consumer, 1).await?.remove(0);
    let started = Instant::now();
    let mut heartbeat = tokio::time::interval(ACK_WAIT / 2);
    while started.elapsed() < ACK_WAIT * 4 {
        heartbeat.tick().await;
        settle(&message, AckKind::Progress).await?;
        ensure!(
            pull_now(&consumer, 1).await?.is_empty(),
            "redelivered in spite of progress"
        );
    }
    settle(&message, AckKind::Ack).await?;
    nothing_is_left(&consumer).await
}

async fn a_terminated_message_is_done(server: &mut Server) -> Result<()> {
    let (_, stream) = stream_with(server, 1).await?;
    let consumer = create_worker(&stream, |config| config.ack_wait = ACK_WAIT).await?;
    settle(&pull(&consumer, 1).await?.remove(0), AckKind::Term).await?;
    nothing_is_left(&consumer).await
}

async fn an_unacknowledged_message_comes_back_after_the_ack_wait(
    server: &mut Server,
) -> Result<()> {
    let (_, stream) = stream_with(server, 2).await?;
    let consumer = create_worker(&stream, |config| config.ack_wait = ACK_WAIT).await?;
    let messages = pull(&consumer, 2).await?;
    let delivered = Instant::now();
    settle(&messages[1], AckKind::Ack).await?;
    let again = pull(&consumer, 1).await?.remove(0);
    ensure!(
        delivered.elapsed() >= ACK_WAIT.mul_f32(0.8),
        "back after {:?}",
        delivered.elapsed()
    );
    let info = delivery(&again)?;
    ensure!(
        (info.stream_sequence, info.delivered, info.consumer_sequence) == (1, 2, 3),
        "{info:?}"
    );
    ensure!(consumer.get_info().await?.num_redelivered == 1);
    settle(&again, AckKind::Ack).await?;
    nothing_is_left(&consumer).await
}

async fn a_message_is_delivered_at_most_max_deliver_times(server: &mut Server) -> Result<()> {
    let (context, stream) = stream_with(server, 1).await?;
    let mut advisories = context
        .client()
        .subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ORDERS.worker")
        .await?;
    let consumer = create_worker(&stream, |config| {
        config.ack_wait = ACK_WAIT;
        config.max_deliver = 2;
    })
    .await?;
    for attempt in 1..=2 {
        ensure!(delivery(&pull(&consumer, 1).await?[0])?.delivered == attempt);
    }
    // The advisory comes when the ack wait of the last delivery is over.
    nothing_comes_within(&consumer, ACK_WAIT * 3).await?;
    let advisory = tokio::time::timeout(PATIENCE, advisories.next()).await?;
    let text = advisory.map(|message| message.payload).unwrap_or_default();
    let advisory: serde_json::Value = serde_json::from_slice(&text)?;
    ensure!(
        advisory["stream_seq"] == 1 && advisory["deliveries"] == 2,
        "{advisory}"
    );
    Ok(())
}

async fn back_off_spaces_the_redeliveries(server: &mut Server) -> Result<()> {
    let (_, stream) = stream_with(server, 1).await?;
    let waits = [ACK_WAIT, ACK_WAIT * 2];
    let consumer = create_worker(&stream, |config| {
        config.backoff = waits.to_vec();
        config.max_deliver = 3;
    })
    .await?;
    pull(&consumer, 1).await?;
    let mut delivered = Instant::now();
    for wait in waits {
        pull(&consumer, 1).await?;
        // A delivery is counted from when the server sent it, so allow for its way here.
        ensure!(
            delivered.elapsed() >= wait.mul_f32(0.8),
            "back after {:?}",
            delivered.elapsed()
        );
        delivered = Instant::now();
    }
    Ok(())
}

async fn max_ack_pending_holds_further_deliveries(server: &mut Server) -> Result<()> {
    let (_, stream) = stream_with(server, 3).await?;
    let consumer = create_worker(&stream, |config| config.max_ack_pending = 2).await?;
    let two = pull(&consumer, 2).await?;
    nothing_comes_within(&consumer, ACK_WAIT).await?;
    settle(&two[0], AckKind::Ack).await?;
    ensure!(delivery(&pull(&consumer, 1).await?[0])?.stream_sequence == 3);
    Ok(())
}

async fn an_ack_all_settles_everything_before_it(server: &mut Server) -> Result<()> {
    let (_, stream) = stream_with(server, 4).await?;
    let consumer = create_worker(&stream, |config| config.ack_policy = AckPolicy::All).await?;
    let messages = pull(&consumer, 4).await?;
    settle(&messages[2], AckKind::Ack).await?;
    let info = consumer.get_info().await?;
    ensure!(
        info.num_ack_pending == 1 && info.ack_floor.stream_sequence == 3,
        "{info:?}"
    );
    Ok(())
}

async fn filters_and_deliver_policies_choose_the_messages(server: &mut Server) -> Result<()> {
    let (context, stream) = stream_with(server, 5).await?;
    publish(&context, "orders.2.paid", "6").await?;
    let chosen = async |policy: DeliverPolicy, filter: &str, expected: &[u64]| {
        let consumer: PullConsumer = stream
            .create_consumer(pull::Config {
                deliver_policy: policy,
                filter_subject: filter.into(),
                ack_policy: AckPolicy::None,
                ..Default::default()
            })
            .await?;
        let info = consumer.cached_info();
        ensure!(
            info.num_pending == expected.len() as u64,
            "{policy:?} {filter}: {info:?}"
        );
        let mut got = Vec::new();
        for message in pull_now(&consumer, 10).await? {
            got.push(delivery(&message)?.stream_sequence);
        }
        ensure!(got == expected, "{policy:?} {filter}: {got:?}");
        Ok(())
    };
    chosen(DeliverPolicy::All, "orders.>", &[1, 2, 3, 4, 5, 6]).await?;
    chosen(DeliverPolicy::All, "orders.2.*", &[2, 6]).await?;
    chosen(DeliverPolicy::Last, "", &[6]).await?;
    chosen(DeliverPolicy::New, "", &[]).await?;
    chosen(
        DeliverPolicy::ByStartSequence { start_sequence: 4 },
        "",
        &[4, 5, 6],
    )
    .await?;
    chosen(
        DeliverPolicy::LastPerSubject,
        "orders.*.placed",
        &[1, 2, 3, 4, 5],
    )
    .await
}

async fn a_waiting_pull_gets_a_message_published_later(server: &mut Server) -> Result<()> {
    let (context, stream) = stream_with(server, 0).await?;
    let consumer = create_worker(&stream, |_| ()).await?;
    let mut messages = consumer.messages().await?;
    for number in 1..=20_u64 {
        publish(&context, "orders.x", &number.to_string()).await?;
        let message = tokio::time::timeout(PATIENCE, messages.next()).await?;
        let Some(message) = message.transpose()? else {
            bail!("the subscription ended")
        };
        ensure!(delivery(&message)?.stream_sequence == number);
        message.ack().await.map_err(anyhow::Error::from_boxed)?;
    }
    Ok(())
}

async fn a_consumer_is_listed_updated_and_deleted(server: &mut Server) -> Result<()> {
    let (_, stream) = stream_with(server, 1).await?;
    create_worker(&stream, |config| config.max_deliver = 3).await?;
    create_worker(&stream, |config| config.max_deliver = 3).await?;
    let names: Vec<String> = stream.consumer_names().try_collect().await?;
    ensure!(names == ["worker"], "{names:?}");
    ensure!(stream.consumers().try_collect::<Vec<_>>().await?.len() == 1);
    create_worker(&stream, |config| config.max_deliver = 7).await?;
    ensure!(stream.consumer_info("worker").await?.config.max_deliver == 7);
    ensure!(stream.delete_consumer("worker").await?.success);
    match stream
        .consumer_info("worker")
        .await
        .map_err(|error| error.kind())
    {
        Err(async_nats::jetstream::context::ConsumerInfoErrorKind::NotFound) => {}
        Err(async_nats::jetstream::context::ConsumerInfoErrorKind::JetStream(error)) => {
            ensure!(
                error.error_code() == ErrorCode::CONSUMER_NOT_FOUND,
                "{error:?}"
            );
        }
        other => bail!("{other:?}"),
    }
    Ok(())
}

on_both_servers!(
    acknowledged_messages_do_not_come_back,
    a_double_ack_is_answered_twice,
    a_nak_brings_the_message_back_at_once_or_later,
    progress_puts_the_redelivery_off,
    a_terminated_message_is_done,
    an_unacknowledged_message_comes_back_after_the_ack_wait,
    a_message_is_delivered_at_most_max_deliver_times,
    back_off_spaces_the_redeliveries,
    max_ack_pending_holds_further_deliveries,
    an_ack_all_settles_everything_before_it,
    filters_and_deliver_policies_choose_the_messages,
    a_waiting_pull_gets_a_message_published_later,
    a_consumer_is_listed_updated_and_deleted,
);
