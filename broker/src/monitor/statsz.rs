//! The sums a server publishes now and then, and tells whoever pings it.

use hitherto_protocol::Timestamp;
use serde::Serialize;

use super::Monitor;
use super::accstatz::Sum;
use super::routez::RouteStat;
use super::varz::{ByKind, JetStreamVarz};
use crate::account::Account;

/// The document (`ServerStats` in nats-server 2.15 `server/events.go`).
#[derive(Debug, Serialize)]
pub(crate) struct Statsz {
    start: Timestamp,
    mem: u64,
    cores: usize,
    cpu: f64,
    connections: usize,
    total_connections: u64,
    active_accounts: usize,
    subscriptions: usize,
    sent: Sum,
    sent_to_clients: Sum,
    received: Sum,
    received_from_clients: Sum,
    slow_consumers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_consumer_stats: Option<ByKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_connections: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_connection_stats: Option<ByKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stalled_clients: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<RouteStat>,
    active_servers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    jetstream: Option<JetStreamVarz>,
    gomaxprocs: usize,
}

impl Monitor {
    /// Makes the document.
    pub(crate) fn statsz(&self) -> Statsz {
        let totals = self.clients().totals();
        let routes = self.route_stats();
        let counted = |number: u64| (number > 0).then_some(number);
        let used = |account: &Account| self.client_count(*account) > 0;
        Statsz {
            start: self.started,
            mem: self.process.memory(),
            cores: self.process.cores(),
            cpu: self.process.cpu(),
            connections: self.clients().count(),
            total_connections: totals.connections,
            active_accounts: Account::ALL.iter().filter(|account| used(account)).count(),
            subscriptions: self.accounts().subscriptions(),
            sent: totals.sent.into(),
            sent_to_clients: totals.sent.into(),
            received: totals.received.into(),
            received_from_clients: totals.received.into(),
            slow_consumers: totals.slow_consumers,
            slow_consumer_stats: counted(totals.slow_consumers).map(ByKind::clients),
            stale_connections: counted(totals.stale_connections),
            stale_connection_stats: counted(totals.stale_connections).map(ByKind::clients),
            stalled_clients: counted(totals.stalls),
            active_servers: 1 + routes.len(),
            routes,
            jetstream: self.has_jetstream().then(|| {
                let mut jetstream = self.jetstream_varz();
                if let Some(config) = &mut jetstream.config {
                    config.store_dir = None;
                }
                jetstream
            }),
            gomaxprocs: self.process.cores(),
        }
    }
}
