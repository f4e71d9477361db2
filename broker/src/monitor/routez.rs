//! `/routez`: the links to the other nodes of the cluster.

use hitherto_protocol::{Timestamp, format_go_duration};
use serde::Serialize;

use super::Monitor;
use super::uptime::uptime_text;
use crate::route::LinkReport;

/// The document (`Routez` in nats-server 2.15 `server/monitor.go`).
#[derive(Debug, Serialize)]
pub(crate) struct Routez<'a> {
    server_id: &'a str,
    server_name: &'a str,
    now: Timestamp,
    num_routes: usize,
    routes: Vec<Route>,
}

/// One link. Differs from nats-server, which has several connections to each node: here it is one.
#[derive(Debug, Serialize)]
struct Route {
    rid: u64,
    remote_id: String,
    remote_name: String,
    did_solicit: bool,
    is_configured: bool,
    ip: String,
    port: u16,
    start: Timestamp,
    last_activity: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<String>,
    uptime: String,
    idle: String,
    pending_size: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    /// Filters the other node wants messages of.
    subscriptions: usize,
    compression: &'static str,
}

/// A link in the sums that are published.
#[derive(Debug, Serialize)]
pub(super) struct RouteStat {
    rid: u64,
    name: String,
    sent: super::Sum,
    received: super::Sum,
    pending: usize,
}

impl Monitor {
    /// Makes the document.
    pub(crate) fn routez(&self) -> Routez<'_> {
        let routes: Vec<_> = self.links().into_iter().map(Route::of).collect();
        Routez {
            server_id: &self.info().server_id,
            server_name: &self.info().server_name,
            now: self.now(),
            num_routes: routes.len(),
            routes,
        }
    }

    /// The links to other nodes; none on a node of its own.
    pub(super) fn links(&self) -> Vec<LinkReport> {
        let links = self.parts.links.as_ref();
        links.map(|links| links.reports()).unwrap_or_default()
    }

    pub(super) fn route_stats(&self) -> Vec<RouteStat> {
        self.links().into_iter().map(RouteStat::of).collect()
    }
}

impl Route {
    fn of(link: LinkReport) -> Self {
        Self {
            rid: link.rid,
            remote_id: link.server_id,
            remote_name: link.server_name,
            did_solicit: link.dialed,
            is_configured: link.is_configured,
            ip: link.peer.ip().to_canonical().to_string(),
            port: link.peer.port(),
            start: link.started,
            last_activity: link.last_activity,
            rtt: link.rtt.map(format_go_duration),
            uptime: uptime_text(link.at.saturating_duration_since(link.started)),
            idle: uptime_text(link.at.saturating_duration_since(link.last_activity)),
            pending_size: link.pending_bytes,
            in_msgs: link.received.messages,
            out_msgs: link.sent.messages,
            in_bytes: link.received.bytes,
            out_bytes: link.sent.bytes,
            subscriptions: link.interest,
            compression: "off",
        }
    }
}

impl RouteStat {
    fn of(link: LinkReport) -> Self {
        Self {
            rid: link.rid,
            name: link.server_name,
            sent: link.sent.into(),
            received: link.received.into(),
            pending: link.pending_bytes,
        }
    }
}
