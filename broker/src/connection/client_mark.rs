//! A client, as events name it.

use std::net::IpAddr;

use hitherto_protocol::Timestamp;
use serde::Serialize;

use super::ClientReport;
use crate::pubsub::SubscriberId;

/// Who did something, or to whom something happened (`ClientInfo` in nats-server 2.15
/// `server/events.go`). What is not known or not told is left out.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ClientMark {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<IpAddr>,
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
    /// The round trip, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rtt: Option<u128>,
    /// The server it is connected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name_tag: Option<String>,
    kind: &'static str,
    client_type: &'static str,
}

impl ClientMark {
    /// A client inside the process: there is no connection to tell of.
    pub(crate) fn inside(id: SubscriberId, account: &str) -> Self {
        Self {
            start: None,
            host: None,
            id: id.0,
            acc: account.to_owned(),
            user: None,
            name: None,
            lang: None,
            ver: None,
            rtt: None,
            server: None,
            stop: None,
            name_tag: None,
            kind: "Client",
            client_type: "nats",
        }
    }

    /// A client with a connection.
    pub(crate) fn connected(client: ClientReport, account: &str) -> Self {
        Self {
            start: Some(client.started),
            host: Some(client.peer.ip().to_canonical()),
            user: client.identity.user,
            name: client.identity.name,
            lang: client.identity.lang,
            ver: client.identity.version,
            rtt: client.rtt.map(|rtt| rtt.as_nanos()),
            stop: client.reason.map(|_| client.at),
            ..Self::inside(client.id, account)
        }
    }
}
