//! What the node tells the system account unasked. Nothing is made while nobody listens.

use std::net::IpAddr;

use bytes::Bytes;
use hitherto_protocol::{Subject, Timestamp};
use serde::Serialize;

use super::answers::{Answers, StatszMessage};
use super::envelope::{Marker, ServerMark, json};
use crate::account::Account;
use crate::connection::{ClientEvent, ClientReport};
use crate::monitor::{AccountStat, Monitor, Sum};
use crate::pubsub::{Message, Publisher};

/// Begins what every event of nats-server is called.
const TYPE_PREFIX: &str = "io.nats.server.advisory.v1.";

/// A client came (`ConnectEventMsg` in nats-server 2.15 `server/events.go`).
#[derive(Debug, Serialize)]
struct Connect {
    #[serde(flatten)]
    head: Head,
    server: ServerMark,
    client: ClientMark,
}

/// A client went. What was sent and received is told from the client's side.
#[derive(Debug, Serialize)]
struct Disconnect {
    #[serde(flatten)]
    head: Head,
    server: ServerMark,
    client: ClientMark,
    sent: Sum,
    received: Sum,
    reason: &'static str,
}

/// How many connections an account has.
#[derive(Debug, Serialize)]
pub(super) struct AccountConnections<'a> {
    #[serde(flatten)]
    head: Head,
    server: ServerMark,
    #[serde(flatten)]
    stat: AccountStat<'a>,
}

#[derive(Debug, Serialize)]
struct Head {
    r#type: String,
    id: String,
    timestamp: Timestamp,
}

/// A client, as events name it.
#[derive(Debug, Serialize)]
struct ClientMark {
    start: Timestamp,
    host: IpAddr,
    id: u64,
    acc: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lang: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ver: Option<String>,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Timestamp>,
    name_tag: String,
    kind: &'static str,
    client_type: &'static str,
}

impl Head {
    fn new(monitor: &Monitor, name: &str) -> Self {
        Self {
            r#type: format!("{TYPE_PREFIX}{name}"),
            id: monitor.event_id(),
            timestamp: monitor.now(),
        }
    }
}

impl ClientMark {
    fn new(client: ClientReport, account: &str) -> Self {
        Self {
            start: client.started,
            host: client.peer.ip().to_canonical(),
            id: client.id.0,
            acc: account.to_owned(),
            user: client.identity.user,
            name: client.identity.name,
            lang: client.identity.lang,
            ver: client.identity.version,
            // Of one that comes the round trip is not known yet.
            rtt: client.reason.and(client.rtt).map(|rtt| rtt.as_nanos()),
            stop: client.reason.map(|_| client.at),
            name_tag: account.to_owned(),
            kind: "Client",
            client_type: "nats",
        }
    }
}

impl Disconnect {
    fn new(client: ClientReport, answers: &Answers) -> Self {
        let account = answers.account_name(&client);
        Self {
            head: Head::new(&answers.monitor, "client_disconnect"),
            server: answers.marker.mark(),
            sent: client.received.into(),
            received: client.sent.into(),
            reason: client.reason.map_or("", |reason| reason.text()),
            client: ClientMark::new(client, &account),
        }
    }
}

/// How many connections an account has now.
pub(super) fn account_connections<'a>(
    monitor: &'a Monitor,
    marker: &Marker,
    account: Account,
) -> AccountConnections<'a> {
    AccountConnections {
        head: Head::new(monitor, "account_connections"),
        server: marker.mark(),
        stat: monitor.account_stat(account),
    }
}

/// Publishes events in the system account.
#[derive(Debug)]
pub(super) struct Events {
    publisher: Publisher,
}

impl Events {
    pub(super) fn new(publisher: Publisher) -> Self {
        Self { publisher }
    }

    /// Somebody came, went, or was not let in.
    ///
    /// Differs from nats-server, which says nothing about the account `$G`: it is the only one here that
    /// clients are in.
    pub(super) fn tell_of_client(&mut self, event: ClientEvent, answers: &Answers) {
        match event {
            ClientEvent::Connected(client) => {
                self.tell_connections(&client, answers);
                let account = answers.account_name(&client);
                self.publish(format!("$SYS.ACCOUNT.{account}.CONNECT"), || {
                    json(&Connect {
                        head: Head::new(&answers.monitor, "client_connect"),
                        server: answers.marker.mark(),
                        client: ClientMark::new(client, &account),
                    })
                });
            }
            ClientEvent::Disconnected(client) => {
                self.tell_connections(&client, answers);
                let account = answers.account_name(&client);
                let subject = format!("$SYS.ACCOUNT.{account}.DISCONNECT");
                self.publish(subject, || json(&Disconnect::new(client, answers)));
            }
            ClientEvent::Refused(client) => {
                let id = &answers.monitor.info().server_id;
                let subject = format!("$SYS.SERVER.{id}.CLIENT.AUTH.ERR");
                self.publish(subject, || json(&Disconnect::new(client, answers)));
            }
        }
    }

    /// How many connections the account of a client has now.
    fn tell_connections(&mut self, client: &ClientReport, answers: &Answers) {
        let Answers { monitor, marker } = answers;
        let account = client.identity.account;
        let name = answers.account_name(client);
        let connections = || json(&account_connections(monitor, marker, account));
        // The first form is of nats-server before 2.0 and still sent there.
        self.publish(format!("$SYS.SERVER.ACCOUNT.{name}.CONNS"), connections);
        self.publish(format!("$SYS.ACCOUNT.{name}.SERVER.CONNS"), connections);
    }

    /// The sums.
    pub(super) fn tell_statsz(&mut self, answers: &Answers) {
        let id = &answers.monitor.info().server_id;
        self.publish(format!("$SYS.SERVER.{id}.STATSZ"), || {
            json(&StatszMessage {
                server: answers.marker.mark(),
                statsz: answers.monitor.statsz(),
            })
        });
    }

    /// Something happens to the server itself: `SHUTDOWN`.
    pub(super) fn tell_of_server(&mut self, what: &str, answers: &Answers) {
        let id = &answers.monitor.info().server_id;
        self.publish(format!("$SYS.SERVER.{id}.{what}"), || {
            json(&answers.marker.mark())
        });
    }

    /// Answers a request.
    pub(super) fn reply(&mut self, to: &Subject, payload: Bytes) {
        self.publisher.publish(&Message {
            subject: to.clone(),
            reply: None,
            headers: None,
            payload,
        });
        self.publisher.flush();
    }

    /// Publishes what `payload` makes, if somebody listens.
    fn publish(&mut self, subject: String, payload: impl FnOnce() -> Bytes) {
        // The name of an account that cannot be part of a subject has no events.
        let Ok(subject) = Subject::new(subject) else {
            return;
        };
        if self.publisher.router().has_interest(&subject) {
            self.reply(&subject, payload());
        }
    }
}
