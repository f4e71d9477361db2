//! Scenario: one pull consumer, each message acknowledged by itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hitherto_integration::raw::RawClient;

use crate::api;
use crate::closed_loop::status;
use crate::loaded::Loaded;
use crate::measure::{Figure, Sample, Usage, Watched};

const INBOX: &str = "_INBOX.bench.consume";

/// Messages of one pull.
const BATCH: u64 = 500;

/// Pulls that wait at the server, so that it always has something to do.
const PULLS: u64 = 2;

/// Measures the server at `addr` until everything is consumed or `duration` is over.
pub(crate) fn run(
    addr: SocketAddr,
    watched: Watched<'_>,
    (loaded, duration): (Loaded, Duration),
) -> Result<Sample> {
    let stream = Loaded::EVENTS;
    let mut client = RawClient::connect(addr)?;
    let config = format!(
        r#"{{"stream_name":"{stream}","config":{{"durable_name":"consume","ack_policy":"explicit","deliver_policy":"all","max_ack_pending":10000}}}}"#
    );
    api::call(
        &mut client,
        &format!("CONSUMER.CREATE.{stream}.consume"),
        &config,
    )?;
    client.subscribe(INBOX, 1);
    let start = Usage::of(watched)?;
    let deadline = Instant::now() + duration;
    let all = u64::try_from(loaded.messages)?;
    let (mut received, mut pulled) = (0, 0);
    let mut first = None;
    let mut acks = Vec::new();
    while received < all && Instant::now() < deadline {
        while pulled < received + PULLS * BATCH && pulled < all {
            let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.consume");
            client.publish(&next, INBOX, format!(r#"{{"batch":{BATCH}}}"#).as_bytes());
            pulled += BATCH;
        }
        client.flush()?;
        receive(&mut client, &mut acks)?;
        received += u64::try_from(acks.len())?;
        if received > 0 {
            first.get_or_insert_with(|| start.elapsed());
        }
        for reply in acks.drain(..) {
            client.publish(&reply, "", b"+ACK");
        }
    }
    client.flush()?;
    let time = start.elapsed();
    let end = Usage::of(watched)?;
    check_acknowledged(&mut client, received)?;
    api::call(
        &mut client,
        &format!("CONSUMER.DELETE.{stream}.consume"),
        "",
    )?;
    let first = first.context("nothing was delivered")?;
    Ok(Sample {
        figures: vec![Figure::rate(received, time), Figure::millis("first", first)],
        cost: Some(start.until(&end, 0)),
        way: None,
    })
}

/// Reads once; adds where the acks of the messages go.
fn receive(client: &mut RawClient, acks: &mut Vec<String>) -> Result<()> {
    let mut refused = None;
    client.receive(|message| match (message.reply, status(message)) {
        (Some(reply), None) => acks.push(reply.to_owned()),
        (_, code) => refused = Some(code),
    })?;
    ensure!(refused.is_none(), "a pull ended with status {refused:?}");
    Ok(())
}

/// Nothing is delivered and forgotten: the acks that were sent have been taken.
fn check_acknowledged(client: &mut RawClient, received: u64) -> Result<()> {
    let info = format!("CONSUMER.INFO.{}.consume", Loaded::EVENTS);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let info = api::call(client, &info, "")?;
        let floor = info["ack_floor"]["stream_seq"].as_u64();
        if floor >= Some(received) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{received} messages were acknowledged: {info}"
        );
    }
}
