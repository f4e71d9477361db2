//! What the node tells the system account unasked. Nothing is made while nobody listens.

use bytes::Bytes;
use hitherto_jetstream::TypedEvent;
use hitherto_protocol::Subject;
use serde::Serialize;

use super::answers::{Answers, StatszMessage};
use super::connections::account_connections;
use super::envelope::{ServerMark, happened, json};
use crate::connection::{ClientEvent, ClientMark, ClientReport};
use crate::monitor::Sum;
use crate::pubsub::{Message, Publisher};

const CONNECTED: &str = "io.nats.server.advisory.v1.client_connect";
const DISCONNECTED: &str = "io.nats.server.advisory.v1.client_disconnect";

/// A client came (`ConnectEventMsg` in nats-server 2.15 `server/events.go`).
#[derive(Debug, Serialize)]
struct Connect {
    server: ServerMark,
    client: ClientMark,
}

/// A client went. What was sent and received is told from the client's side.
#[derive(Debug, Serialize)]
struct Disconnect {
    server: ServerMark,
    client: ClientMark,
    sent: Sum,
    received: Sum,
    reason: &'static str,
}

/// What the server tells of a client.
fn mark(client: ClientReport, account: &str) -> ClientMark {
    // Of one that comes the round trip is not known yet.
    let rtt_known = client.reason.is_some();
    let mut mark = ClientMark::connected(client, account);
    mark.rtt = mark.rtt.filter(|_| rtt_known);
    mark.name_tag = Some(account.to_owned());
    mark
}

fn disconnect(client: ClientReport, answers: &Answers) -> TypedEvent<'static, Disconnect> {
    let account = answers.account_name(&client);
    let fields = Disconnect {
        server: answers.marker.mark(),
        sent: client.received.into(),
        received: client.sent.into(),
        reason: client.reason.map_or("", |reason| reason.text()),
        client: mark(client, &account),
    };
    happened(&answers.monitor, DISCONNECTED, fields)
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
                    let fields = Connect {
                        server: answers.marker.mark(),
                        client: mark(client, &account),
                    };
                    happened(&answers.monitor, CONNECTED, fields).to_bytes()
                });
            }
            ClientEvent::Disconnected(client) => {
                self.tell_connections(&client, answers);
                let account = answers.account_name(&client);
                let subject = format!("$SYS.ACCOUNT.{account}.DISCONNECT");
                self.publish(subject, || disconnect(client, answers).to_bytes());
            }
            ClientEvent::Refused(client) => {
                let id = &answers.monitor.info().server_id;
                let subject = format!("$SYS.SERVER.{id}.CLIENT.AUTH.ERR");
                self.publish(subject, || disconnect(client, answers).to_bytes());
            }
        }
    }

    /// How many connections the account of a client has now.
    fn tell_connections(&mut self, client: &ClientReport, answers: &Answers) {
        let Answers {
            monitor, marker, ..
        } = answers;
        let account = client.identity.account;
        let name = answers.account_name(client);
        let connections = || account_connections(monitor, marker, account).to_bytes();
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

    /// Something happens to the server itself: `LAMEDUCK`, `SHUTDOWN`.
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
