//! Core NATS through `async-nats`: subjects, headers, queue groups, request and reply, limits.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use async_nats::client::RequestErrorKind;
use async_nats::{HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use hitherto_integration::client::{PATIENCE, connect};
use hitherto_integration::raw::RawClient;
use hitherto_integration::{Server, on_both_servers};
use tokio::time::timeout;

async fn next(subscriber: &mut Subscriber) -> Result<async_nats::Message> {
    timeout(PATIENCE, subscriber.next())
        .await?
        .context("the subscription ended")
}

async fn a_message_reaches_every_matching_subscription(server: &mut Server) -> Result<()> {
    let client = connect(server).await?;
    let mut literal = client.subscribe("orders.42.placed").await?;
    let mut token = client.subscribe("orders.*.placed").await?;
    let mut tail = client.subscribe("orders.>").await?;
    let mut other = client.subscribe("orders.42.paid").await?;
    let mut headers = HeaderMap::new();
    headers.insert("Customer", "Ada");
    headers.append("Tag", "one");
    headers.append("Tag", "two");
    client
        .publish_with_headers("orders.42.placed", headers, "body".into())
        .await?;
    client.publish("orders.42.paid", Bytes::new()).await?;
    for subscriber in [&mut literal, &mut token, &mut tail] {
        let message = next(subscriber).await?;
        ensure!(message.subject.as_str() == "orders.42.placed" && message.payload == "body");
        let headers = message.headers.context("headers were sent")?;
        ensure!(headers.get("Customer").map(AsRef::as_ref) == Some("Ada"));
        ensure!(headers.get_all("Tag").count() == 2);
    }
    // The literal of another subject has seen only its own message.
    ensure!(next(&mut other).await?.subject.as_str() == "orders.42.paid");
    Ok(())
}

async fn one_member_of_a_queue_group_gets_each_message(server: &mut Server) -> Result<()> {
    const MESSAGES: usize = 200;
    let client = connect(server).await?;
    let mut first = client.queue_subscribe("jobs.*", "workers".into()).await?;
    let mut second = connect(server)
        .await?
        .queue_subscribe("jobs.*", "workers".into())
        .await?;
    let mut watcher = client.subscribe("jobs.>").await?;
    // A request over the second connection's subject would race; a watcher that has seen a message
    // of the first connection proves only the first. So wait until both members got one.
    let (mut seen, mut by_second, mut sent) = (BTreeSet::new(), 0, 0);
    while by_second == 0 && sent < 10_000 {
        client.publish(format!("jobs.{sent}"), Bytes::new()).await?;
        sent += 1;
        tokio::select! { // `next` of a subscription loses nothing when it is dropped.
            message = next(&mut first) => assert!(seen.insert(message?.subject.to_string())),
            message = next(&mut second) => {
                assert!(seen.insert(message?.subject.to_string()));
                by_second += 1;
            }
        }
    }
    for _ in 0..MESSAGES {
        client.publish(format!("jobs.{sent}"), Bytes::new()).await?;
        sent += 1;
    }
    while seen.len() < sent {
        tokio::select! { // As above.
            message = next(&mut first) => assert!(seen.insert(message?.subject.to_string())),
            message = next(&mut second) => {
                assert!(seen.insert(message?.subject.to_string()));
                by_second += 1;
            }
        }
    }
    for _ in 0..sent {
        next(&mut watcher).await?;
    }
    ensure!(
        by_second > 0 && by_second < sent,
        "{by_second} of {sent} went to one member"
    );
    Ok(())
}

async fn a_request_is_answered_by_the_responder(server: &mut Server) -> Result<()> {
    let client = connect(server).await?;
    let mut requests = client.subscribe("price.*").await?;
    let responder = client.clone();
    let serve = tokio::spawn(async move {
        let request = requests.next().await.context("no request came")?;
        let reply = request.reply.context("a request has a reply subject")?;
        responder
            .publish(reply, [&request.payload[..], b" costs 3"].concat().into())
            .await?;
        responder.flush().await?;
        anyhow::Ok(())
    });
    let answer = client.request("price.book", "book".into()).await?;
    ensure!(answer.payload == "book costs 3");
    serve.await?
}

async fn a_request_nobody_serves_is_answered_at_once(server: &mut Server) -> Result<()> {
    let client = connect(server).await?;
    match client.request("nobody.home", "".into()).await {
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(()),
        other => bail!("{other:?}"),
    }
}

async fn a_payload_of_the_maximum_passes_and_one_more_byte_does_not(
    server: &mut Server,
) -> Result<()> {
    let client = connect(server).await?;
    let limit = client.server_info().max_payload;
    ensure!(
        limit == 1024 * 1024,
        "the default limit is 1 MiB, not {limit}"
    );
    let mut subscriber = client.subscribe("big").await?;
    let payload: Bytes = (0..limit)
        .map(|at| u8::try_from(at % 251).unwrap_or(0))
        .collect();
    client.publish("big", payload.clone()).await?;
    ensure!(next(&mut subscriber).await?.payload == payload);

    let mut raw = RawClient::connect(server.addr())?;
    raw.queue(format!("PUB big {}\r\n", limit + 1).as_bytes());
    raw.flush()?;
    match raw.ping() {
        Err(error) if error.to_string().contains("'Maximum Payload Violation'") => Ok(()),
        other => bail!("{other:?}"),
    }
}

async fn an_unsubscribe_after_n_delivers_n(server: &mut Server) -> Result<()> {
    let client = connect(server).await?;
    let mut subscriber = client.subscribe("ticks").await?;
    subscriber.unsubscribe_after(3).await?;
    for number in 0..5 {
        client.publish("ticks", format!("{number}").into()).await?;
    }
    client.flush().await?;
    let got: Vec<_> = timeout(PATIENCE, subscriber.map(|m| m.payload).collect()).await?;
    ensure!(got == ["0", "1", "2"], "{got:?}");
    Ok(())
}

async fn an_unknown_verb_is_named_and_ends_the_connection(server: &mut Server) -> Result<()> {
    let mut raw = RawClient::connect(server.addr())?;
    raw.queue(b"NONSENSE\r\n");
    raw.flush()?;
    match raw.ping() {
        Err(error) if error.to_string().contains("'Unknown Protocol Operation'") => Ok(()),
        other => bail!("{other:?}"),
    }
}

on_both_servers!(
    a_message_reaches_every_matching_subscription,
    one_member_of_a_queue_group_gets_each_message,
    a_request_is_answered_by_the_responder,
    a_request_nobody_serves_is_answered_at_once,
    a_payload_of_the_maximum_passes_and_one_more_byte_does_not,
    an_unsubscribe_after_n_delivers_n,
    an_unknown_verb_is_named_and_ends_the_connection,
);
