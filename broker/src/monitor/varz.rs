//! `/varz`: the server, its configuration and its sums.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hitherto_jetstream::{API_LEVEL, Storage};
use hitherto_protocol::Timestamp;
use serde::Serialize;

use super::Monitor;
use super::uptime::uptime_text;
use crate::account::Account;
use crate::config::RouteUrl;
use crate::connection::Traffic;
use crate::route::LinkReport;

/// The document. What a node on its own does not have is an empty object or 0, as in nats-server.
#[derive(Debug, Serialize)]
pub(crate) struct Varz<'a> {
    server_id: &'a str,
    server_name: &'a str,
    version: &'a str,
    proto: i64,
    git_commit: Option<&'a str>,
    go: &'a str,
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "is_false")]
    auth_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_verify: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connect_urls: Vec<String>,
    max_connections: usize,
    max_subscriptions: usize,
    /// Nanoseconds.
    ping_interval: u128,
    ping_max: u32,
    http_host: String,
    http_port: u16,
    http_base_path: &'static str,
    https_port: u16,
    /// Seconds.
    auth_timeout: f64,
    max_control_line: usize,
    max_payload: usize,
    max_pending: usize,
    cluster: ClusterVarz,
    gateway: Absent,
    leaf: Absent,
    mqtt: Absent,
    websocket: Absent,
    jetstream: JetStreamVarz,
    /// Seconds.
    tls_timeout: f64,
    /// Nanoseconds.
    write_deadline: u128,
    start: Timestamp,
    now: Timestamp,
    uptime: String,
    /// Bytes in physical memory.
    mem: u64,
    cores: usize,
    gomaxprocs: usize,
    /// Percent of one core.
    cpu: f64,
    connections: usize,
    total_connections: u64,
    routes: usize,
    remotes: usize,
    leafnodes: usize,
    in_msgs: u64,
    in_bytes: u64,
    in_client_msgs: u64,
    in_client_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    out_client_msgs: u64,
    out_client_bytes: u64,
    slow_consumers: u64,
    stale_connections: u64,
    stalled_clients: u64,
    subscriptions: usize,
    http_req_stats: BTreeMap<&'static str, u64>,
    config_load_time: Timestamp,
    config_digest: &'static str,
    system_account: &'a str,
    slow_consumer_stats: ByKind,
    stale_connection_stats: ByKind,
}

/// An object without fields.
#[derive(Debug, Default, Serialize)]
pub(super) struct Absent {}

/// The cluster's part; on a node of its own an empty object.
#[derive(Debug, Default, Serialize)]
pub(super) struct ClusterVarz {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_port: Option<u16>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_timeout: Option<f64>,
    /// Where other nodes are looked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_timeout: Option<f64>,
    #[serde(skip_serializing_if = "is_false")]
    tls_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_verify: bool,
    /// Connections to each node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pool_size: Option<u32>,
}

/// A number for each kind of connection.
#[derive(Debug, Default, Serialize)]
pub(super) struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

/// JetStream's part; without JetStream an empty object.
#[derive(Debug, Default, Serialize)]
pub(super) struct JetStreamVarz {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) config: Option<JetStreamConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<JetStreamStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Absent>,
}

/// How JetStream is configured.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct JetStreamConfig {
    /// Bytes; -1 for as much as there is.
    max_memory: i64,
    /// Bytes; -1 for as much as there is.
    max_storage: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) store_dir: Option<PathBuf>,
    /// An ack means that the message is on disk.
    #[serde(skip_serializing_if = "is_false")]
    sync_always: bool,
    /// Unknown fields of requests are refused.
    #[serde(skip_serializing_if = "is_false")]
    strict: bool,
}

/// What JetStream uses.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct JetStreamStats {
    pub(super) memory: u64,
    pub(super) storage: u64,
    pub(super) reserved_memory: u64,
    pub(super) reserved_storage: u64,
    pub(super) accounts: u64,
    pub(super) ha_assets: u64,
    pub(super) api: ApiStats,
}

/// Requests of the API.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct ApiStats {
    pub(super) level: u32,
    pub(super) total: u64,
    pub(super) errors: u64,
}

impl ByKind {
    pub(super) fn clients(clients: u64) -> Self {
        Self {
            clients,
            ..Self::default()
        }
    }
}

impl Monitor {
    /// Makes the document.
    pub(crate) fn varz(&self) -> Varz<'_> {
        let info = self.info();
        let settings = self.settings();
        let (now, limits) = (&settings.info, &settings.limits);
        let totals = self.clients().totals();
        let (received, sent) = (totals.received, totals.sent);
        let http = self.parts.http_addr;
        let links = self.links();
        let routed = |traffic: fn(&LinkReport) -> Traffic| {
            let mut sum = Traffic::default();
            links.iter().for_each(|link| sum.add(traffic(link)));
            sum
        };
        let (in_routed, out_routed) = (routed(|link| link.received), routed(|link| link.sent));
        Varz {
            server_id: &info.server_id,
            server_name: &info.server_name,
            version: &info.version,
            proto: info.proto,
            git_commit: info.git_commit.as_deref(),
            go: &info.go,
            host: &info.host,
            port: info.port,
            auth_required: now.auth_required,
            tls_required: now.tls_required,
            tls_verify: now.tls_verify,
            connect_urls: now.connect_urls.clone(),
            max_connections: limits.connections_max,
            max_subscriptions: limits.subscriptions_max,
            ping_interval: limits.ping_interval.as_nanos(),
            ping_max: limits.pings_outstanding_max,
            http_host: http.map(|addr| addr.ip().to_string()).unwrap_or_default(),
            http_port: http.map_or(0, |addr| addr.port()),
            http_base_path: "",
            https_port: 0,
            auth_timeout: settings.auth.connect_timeout().as_secs_f64(),
            max_control_line: limits.control_line_bytes_max,
            max_payload: limits.payload_bytes_max,
            max_pending: limits.pending_bytes_max,
            cluster: self.cluster_varz(),
            gateway: Absent {},
            leaf: Absent {},
            mqtt: Absent {},
            websocket: Absent {},
            jetstream: self.jetstream_varz(),
            tls_timeout: 0.0,
            write_deadline: limits.write_deadline.as_nanos(),
            start: self.started,
            now: self.now(),
            uptime: uptime_text(self.uptime()),
            mem: self.process.memory(),
            cores: self.process.cores(),
            gomaxprocs: self.process.cores(),
            cpu: self.process.cpu(),
            connections: self.clients().count(),
            total_connections: totals.connections,
            routes: links.len(),
            remotes: links.len(),
            leafnodes: 0,
            in_msgs: received.messages + in_routed.messages,
            in_bytes: received.bytes + in_routed.bytes,
            in_client_msgs: received.messages,
            in_client_bytes: received.bytes,
            out_msgs: sent.messages + out_routed.messages,
            out_bytes: sent.bytes + out_routed.bytes,
            out_client_msgs: sent.messages,
            out_client_bytes: sent.bytes,
            slow_consumers: totals.slow_consumers,
            stale_connections: totals.stale_connections,
            stalled_clients: totals.stalls,
            subscriptions: self.accounts().subscriptions(),
            http_req_stats: self.pages(),
            config_load_time: self.started,
            config_digest: "",
            system_account: &self.accounts().get(Account::System).name,
            slow_consumer_stats: ByKind::clients(totals.slow_consumers),
            stale_connection_stats: ByKind::clients(totals.stale_connections),
        }
    }

    fn cluster_varz(&self) -> ClusterVarz {
        let Some(links) = &self.parts.links else {
            return ClusterVarz::default();
        };
        let options = links.options();
        let timeout = Some(options.auth_timeout.as_secs_f64());
        ClusterVarz {
            name: Some(options.name.clone()),
            addr: Some(options.host.clone()),
            cluster_port: Some(links.addr().port()),
            auth_timeout: timeout,
            urls: options.routes.iter().map(RouteUrl::address).collect(),
            tls_timeout: timeout,
            tls_required: options.tls.is_some(),
            tls_verify: options.tls.is_some(),
            pool_size: Some(1),
        }
    }

    pub(super) fn jetstream_varz(&self) -> JetStreamVarz {
        if !self.has_jetstream() {
            return JetStreamVarz::default();
        }
        JetStreamVarz {
            config: Some(self.jetstream_config()),
            stats: Some(self.jetstream_stats()),
            limits: Some(Absent {}),
        }
    }

    pub(super) fn jetstream_config(&self) -> JetStreamConfig {
        let jetstream = self.jetstream();
        // The account is the only one: what it may use is what there is, unless the node sets less.
        let limit = |storage: Storage| {
            let limits = jetstream.as_ref()?.limits();
            let limits = [limits.node.of(storage), limits.account.of(storage)];
            let max = limits.into_iter().copied().flatten().min()?;
            i64::try_from(max).ok()
        };
        JetStreamConfig {
            max_memory: limit(Storage::Memory).unwrap_or(-1),
            max_storage: limit(Storage::File).unwrap_or(-1),
            store_dir: self.parts.store_dir.clone(),
            sync_always: true,
            strict: true,
        }
    }

    pub(super) fn jetstream_stats(&self) -> JetStreamStats {
        let Some(jetstream) = self.jetstream() else {
            return JetStreamStats::default();
        };
        let (total, errors) = jetstream.api_figures();
        let usage = jetstream.usage();
        JetStreamStats {
            memory: usage.bytes.memory,
            storage: usage.bytes.file,
            reserved_memory: usage.reserved_bytes.memory,
            reserved_storage: usage.reserved_bytes.file,
            accounts: 1,
            api: ApiStats {
                level: API_LEVEL,
                total,
                errors,
            },
            ..JetStreamStats::default()
        }
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}
