//! A consumer without acks, read as ordered consumers of client libraries do: push with flow control and
//! heartbeats, or pulls where the server has no push.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use hitherto_integration::raw::{RawClient, RawMessage};

use crate::api;
use crate::closed_loop::{status, text};

const INBOX: &str = "_INBOX.bench.delivery";

/// Messages of one pull.
const BATCH: u64 = 5_000;

/// Pulls that wait at the server.
const PULLS: u64 = 2;

/// A consumer under way.
pub(crate) struct Delivery {
    client: RawClient,
    stream: &'static str,
    name: String,
    way: Way,
    received: u64,
    pulled: u64,
    /// Answers to flow control, for the next write.
    answers: Vec<String>,
}

/// How messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Push,
    Pull,
}

impl Delivery {
    /// Creates a consumer of `stream` that starts as `deliver_policy` says. Last per subject wants a filter;
    /// this one matches everything.
    pub(crate) fn start(
        addr: SocketAddr,
        stream: &'static str,
        deliver_policy: &str,
    ) -> Result<Self> {
        let mut client = RawClient::connect(addr)?;
        client.subscribe(INBOX, 1);
        let common = format!(
            r#""deliver_policy":"{deliver_policy}","ack_policy":"none","max_deliver":1,"mem_storage":true,"filter_subject":">","inactive_threshold":60000000000"#
        );
        let push = format!(
            r#"{{"stream_name":"{stream}","config":{{{common},"deliver_subject":"{INBOX}","flow_control":true,"idle_heartbeat":5000000000}}}}"#
        );
        let pull = format!(r#"{{"stream_name":"{stream}","config":{{{common}}}}}"#);
        let create = format!("CONSUMER.CREATE.{stream}");
        // Deliveries may come before the answer; they wait in the kernel on a connection of their own.
        let mut control = RawClient::connect(addr)?;
        client.ping()?;
        let (created, way) = match api::call(&mut control, &create, &push) {
            Ok(created) => (created, Way::Push),
            Err(_) => (api::call(&mut control, &create, &pull)?, Way::Pull),
        };
        let name = created["name"].as_str().context("a consumer has a name")?;
        Ok(Self {
            name: name.to_owned(),
            client,
            stream,
            way,
            received: 0,
            pulled: 0,
            answers: Vec::new(),
        })
    }

    /// Waits for messages, reads once, and returns how many came; `handle` gets the stream sequence of each.
    pub(crate) fn receive(&mut self, mut handle: impl FnMut(u64)) -> Result<u64> {
        self.ask()?;
        let before = self.received;
        let (received, answers) = (&mut self.received, &mut self.answers);
        let mut outcome = Ok(());
        self.client.receive(|message| {
            let taken = match status(message) {
                None => stream_seq(message).map(|seq| {
                    *received += 1;
                    handle(seq);
                }),
                Some(100) => {
                    answers.extend(flow_control(message));
                    Ok(())
                }
                Some(_) => Err(anyhow::anyhow!("the delivery ends: {}", text(message))),
            };
            if let Err(error) = taken {
                outcome = Err(error);
            }
        })?;
        outcome?;
        Ok(self.received - before)
    }

    /// How the messages came, for the report.
    pub(crate) fn way(&self) -> &'static str {
        match self.way {
            Way::Push => "push",
            Way::Pull => "pull: no push here",
        }
    }

    /// Deletes the consumer.
    pub(crate) fn end(self) -> Result<()> {
        let Self {
            mut client,
            stream,
            name,
            ..
        } = self;
        client.queue(b"UNSUB 1\r\n");
        client.ping()?;
        api::call(&mut client, &format!("CONSUMER.DELETE.{stream}.{name}"), "")?;
        Ok(())
    }

    /// Answers flow control and pulls what there is room for.
    fn ask(&mut self) -> Result<()> {
        for subject in self.answers.drain(..) {
            self.client.publish(&subject, "", b"");
        }
        if self.way == Way::Pull {
            while self.pulled < self.received + PULLS * BATCH {
                let next = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream, self.name);
                let body = format!(r#"{{"batch":{BATCH}}}"#);
                self.client.publish(&next, INBOX, body.as_bytes());
                self.pulled += BATCH;
            }
        }
        Ok(self.client.flush()?)
    }
}

/// Where the answer to a flow control request goes, or to a heartbeat that says the consumer stalls.
fn flow_control(message: RawMessage<'_>) -> Option<String> {
    const STALLED: &str = "Nats-Consumer-Stalled: ";
    let headers = std::str::from_utf8(message.headers).ok()?;
    let stalled = headers.lines().find_map(|line| line.strip_prefix(STALLED));
    message.reply.or(stalled).map(str::to_owned)
}

/// From the ack subject `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`.
fn stream_seq(message: RawMessage<'_>) -> Result<u64> {
    let reply = message.reply.context("a delivery without an ack subject")?;
    ensure!(reply.starts_with("$JS.ACK."), "an ack goes to {reply}");
    let Some(seq) = reply.rsplit('.').nth(3) else {
        bail!("an ack goes to {reply}");
    };
    Ok(seq.parse()?)
}
