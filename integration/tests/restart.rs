//! A client that stays through a restart of the server finds everything as it was.

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, AckKind};
use async_nats::{Client, Event};
use futures_util::StreamExt;
use hitherto_integration::client::{
    PATIENCE, connect_with_events, create_orders, create_worker, publish, publish_message, pull,
    settle,
};
use hitherto_integration::{Kind, Server, on_both_servers};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// How the server goes away.
#[derive(Clone, Copy)]
enum End {
    Stopped,
    Killed,
}

async fn state_and_clients_outlive_a_stop(server: &mut Server) -> Result<()> {
    outlives(server, End::Stopped).await
}

async fn state_and_clients_outlive_a_kill(server: &mut Server) -> Result<()> {
    outlives(server, End::Killed).await
}

async fn outlives(server: &mut Server, end: End) -> Result<()> {
    let (client, mut events) = connect_with_events(server).await?;
    wait_for(&mut events, &Event::Connected).await?;
    let context = jetstream::new(client.clone());
    let stream = create_orders(&context).await?;
    for number in 1..=4 {
        let message = PublishMessage::build()
            .message_id(format!("id-{number}"))
            .payload(number.to_string().into());
        publish_message(&context, &format!("orders.{number}"), message).await?;
    }
    let worker = create_worker(&stream, |_| ()).await?;
    let first = pull(&worker, 2).await?;
    settle(&first[0], AckKind::Ack).await?;
    let mut subscriber = client.subscribe("news").await?;
    client.flush().await?;

    restart(server, end, &client, &mut events).await?;

    let state = stream.get_info().await?.state;
    ensure!(
        (state.messages, state.first_sequence, state.last_sequence) == (4, 1, 4),
        "{state:?}"
    );
    ensure!(stream.direct_get(3).await?.payload == "3");
    let again = PublishMessage::build()
        .message_id("id-4")
        .payload("4".into());
    let ack = publish_message(&context, "orders.4", again).await?;
    ensure!(
        ack.duplicate && ack.sequence == 4,
        "message ids outlive a restart: {ack:?}"
    );
    ensure!(publish(&context, "orders.5", "5").await?.sequence == 5);

    // nats-server 2.15 writes a consumer's state behind its answers and may lose it when killed.
    if server.kind() == Kind::Hitherto || matches!(end, End::Stopped) {
        let info = stream.consumer_info("worker").await?;
        ensure!(
            info.ack_floor.stream_sequence == 1,
            "the double ack is kept: {info:?}"
        );
        ensure!(
            info.num_ack_pending == 1 && info.num_pending == 3,
            "{info:?}"
        );
    }

    client.publish("news", "again".into()).await?;
    let news = timeout(PATIENCE, subscriber.next())
        .await?
        .context("the subscription ended")?;
    ensure!(news.payload == "again", "subscriptions outlive a restart");
    Ok(())
}

async fn restart(
    server: &mut Server,
    end: End,
    client: &Client,
    events: &mut Receiver<Event>,
) -> Result<()> {
    match end {
        End::Stopped => server.stop().await?,
        End::Killed => server.kill()?,
    }
    wait_for(events, &Event::Disconnected).await?;
    server.restart().await?;
    wait_for(events, &Event::Connected).await?;
    Ok(client.flush().await?)
}

async fn wait_for(events: &mut Receiver<Event>, wanted: &Event) -> Result<()> {
    loop {
        let event = timeout(PATIENCE, events.recv())
            .await?
            .context("the client is gone")?;
        if event == *wanted {
            return Ok(());
        }
    }
}

on_both_servers!(
    state_and_clients_outlive_a_stop,
    state_and_clients_outlive_a_kill
);
