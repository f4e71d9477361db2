//! What a node is told when it starts: where it keeps its data, where it listens, its limits and its seams.
//!
//! Limits carry the names and defaults of nats-server 2.15 where it has the same limit; each default is
//! a constant here.
//!
//! | file | noun |
//! |---|---|
//! | `limits` | what one client may take up |
//! | `file` | the configuration file |
//! | `tls` | [`TlsOptions`] |
//! | `cluster` | [`ClusterOptions`] |
//! | `byte_size` | [`ByteSize`] |
//! | `options` | [`ServerOptions`]: what the command line and the configuration file say |

mod byte_size;
mod cluster;
mod file;
mod limits;
mod options;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hitherto_jetstream::Limits as StreamLimits;
use hitherto_platform::{
    Clock, Disk, Entropy, FaultyDisk, Net, RealDisk, SystemClock, SystemEntropy, TcpNet,
};

use crate::Error;
use crate::account::{ORDINARY_ACCOUNT, SYSTEM_ACCOUNT};
use crate::auth::Auth;
pub use crate::jetstream::{
    KEEPER_BYTES_PER_SECOND, KeeperOptions, RESERVE_BYTES, REWRITE_INTERVAL, SCRUB_DELAY,
    SCRUB_INTERVAL,
};

pub use byte_size::{ByteSize, NoByteSize};
pub use cluster::{
    CLUSTER_AUTH_TIMEOUT, CLUSTER_MAX_PAYLOAD, CLUSTER_NAME, CLUSTER_PING_INTERVAL,
    CLUSTER_PING_MAX, CLUSTER_PORT, CONNECT_RETRIES, ClusterOptions, RouteUrl, RouteUrlError,
    RouteUser,
};
pub use file::ConfigFileError;
pub(crate) use limits::ClientLimits;
pub use limits::{
    MAX_CONNECTIONS, MAX_CONTROL_LINE, MAX_PAYLOAD, MAX_PENDING, MAX_SUBSCRIPTIONS, PING_INTERVAL,
    PING_MAX, WRITE_DEADLINE,
};
pub(crate) use options::resolve;
pub use options::{ProcessOptions, ServerOptions};
pub use tls::{HANDSHAKE_FIRST_WAIT, HandshakeFirst, TLS_TIMEOUT, TlsOptions};

/// A node in lame duck mode leaves its clients alone for so long at first: 10 s.
pub const LAME_DUCK_GRACE: Duration = Duration::from_secs(10);

/// A node in lame duck mode closes its connections over so long a time: 2 minutes.
pub const LAME_DUCK_DURATION: Duration = Duration::from_secs(2 * 60);

/// The shortest such time a configuration file may ask for: 30 s, as in nats-server.
pub const LAME_DUCK_DURATION_MIN: Duration = Duration::from_secs(30);

/// The port for clients: 4222.
pub const CLIENT_PORT: u16 = 4222;

/// Most memory the indexes of all streams may take, in bytes, by estimate: 2 GiB, some ten million events
/// of an event-sourced application. Beyond it publishes into streams are refused with JetStream error 10023
/// until messages are purged, expire or the limit is raised.
pub const MAX_INDEX_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// How a [`Node`](crate::Node) is to run. Everything has a default but the place of the data.
///
/// # Examples
/// ```
/// use hitherto_broker::NodeConfig;
///
/// let config = NodeConfig::in_memory()
///     .listen("127.0.0.1:0".parse()?)
///     .server_name("orders-1")
///     .max_payload(64 * 1024);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct NodeConfig {
    pub(crate) store_dir: PathBuf,
    pub(crate) listen: Option<SocketAddr>,
    /// What INFO and the log call the host; `None` means the address.
    pub(crate) listen_host: Option<String>,
    /// What INFO tells instead of host and port.
    pub(crate) advertise: Option<(String, Option<u16>)>,
    pub(crate) http_listen: Option<SocketAddr>,
    pub(crate) jetstream: bool,
    pub(crate) auth: Auth,
    pub(crate) tls: Option<TlsOptions>,
    /// `None` for a node on its own.
    pub(crate) cluster: Option<ClusterOptions>,
    pub(crate) lame_duck_grace: Duration,
    pub(crate) lame_duck_duration: Duration,
    /// Names of the accounts, as INFO and the monitoring pages tell them.
    pub(crate) ordinary_account: String,
    pub(crate) system_account: String,
    pub(crate) server_name: Option<String>,
    pub(crate) limits: ClientLimits,
    pub(crate) index_bytes_max: u64,
    /// What streams may take up.
    pub(crate) stream_limits: StreamLimits,
    pub(crate) keeper: KeeperOptions,
    pub(crate) reserve_bytes: u64,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) net: Arc<dyn Net>,
}

impl NodeConfig {
    /// A node that keeps its data in `store_dir` and does not listen. The directory is made if needed.
    pub fn new(store_dir: impl Into<PathBuf>) -> Self {
        Self {
            store_dir: store_dir.into(),
            listen: None,
            listen_host: None,
            advertise: None,
            http_listen: None,
            jetstream: true,
            auth: Auth::new(),
            tls: None,
            cluster: None,
            lame_duck_grace: LAME_DUCK_GRACE,
            lame_duck_duration: LAME_DUCK_DURATION,
            ordinary_account: ORDINARY_ACCOUNT.into(),
            system_account: SYSTEM_ACCOUNT.into(),
            server_name: None,
            limits: ClientLimits::default(),
            index_bytes_max: MAX_INDEX_BYTES,
            stream_limits: StreamLimits::default(),
            keeper: KeeperOptions::default(),
            reserve_bytes: RESERVE_BYTES,
            disk: Arc::new(RealDisk::new()),
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy::new()),
            net: Arc::new(TcpNet::new()),
        }
    }

    /// A node that keeps its data in memory, for tests: same code, and gone when the node is. It keeps no
    /// room back for a full disk.
    pub fn in_memory() -> Self {
        Self::new("/memory")
            .disk(Arc::new(FaultyDisk::new()))
            .reserve_bytes(0)
    }

    /// Listens for clients on this address; port 0 takes a free one. Without it only
    /// [`LocalClient`](crate::LocalClient)s reach the node.
    #[must_use]
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = Some(addr);
        self
    }

    /// Serves the monitoring pages over HTTP on this address; port 0 takes a free one. Without it there is
    /// no monitoring.
    #[must_use]
    pub fn http_listen(mut self, addr: SocketAddr) -> Self {
        self.http_listen = Some(addr);
        self
    }

    /// Whether there are streams; default `true`. A node without them opens no store, and requests to the
    /// JetStream API find no responders.
    #[must_use]
    pub fn jetstream(mut self, on: bool) -> Self {
        self.jetstream = on;
        self
    }

    /// Encrypts the connections of clients; by default they are plain.
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Makes it a node of a cluster; by default it is on its own.
    #[must_use]
    pub fn cluster(mut self, cluster: ClusterOptions) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// How lame duck mode goes: clients are left alone for `grace`, default [`LAME_DUCK_GRACE`], and then
    /// closed over `duration`, default [`LAME_DUCK_DURATION`].
    #[must_use]
    pub fn lame_duck(mut self, grace: Duration, duration: Duration) -> Self {
        self.lame_duck_grace = grace;
        self.lame_duck_duration = duration;
        self
    }

    /// Who may connect over the network; by default everybody. In-process clients need no credentials.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// The name clients see; by default the server id. No spaces.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Largest message in bytes, headers and payload together; default [`MAX_PAYLOAD`].
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.limits.payload_bytes_max = bytes;
        self
    }

    /// Largest protocol line in bytes; default [`MAX_CONTROL_LINE`].
    #[must_use]
    pub fn max_control_line(mut self, bytes: usize) -> Self {
        self.limits.control_line_bytes_max = bytes;
        self
    }

    /// Most client connections at a time; default [`MAX_CONNECTIONS`].
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.limits.connections_max = connections;
        self
    }

    /// Most subscriptions of one connection; default [`MAX_SUBSCRIPTIONS`].
    #[must_use]
    pub fn max_subscriptions(mut self, subscriptions: usize) -> Self {
        self.limits.subscriptions_max = subscriptions;
        self
    }

    /// Most bytes that may wait for one client or one local subscription; default [`MAX_PENDING`].
    #[must_use]
    pub fn max_pending(mut self, bytes: usize) -> Self {
        self.limits.pending_bytes_max = bytes;
        self
    }

    /// How often a client gets a PING; default [`PING_INTERVAL`].
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.limits.ping_interval = interval;
        self
    }

    /// How many PINGs a client may leave unanswered; default [`PING_MAX`].
    #[must_use]
    pub fn ping_max(mut self, pings: u32) -> Self {
        self.limits.pings_outstanding_max = pings;
        self
    }

    /// How long a client's socket may take no byte; default [`WRITE_DEADLINE`].
    #[must_use]
    pub fn write_deadline(mut self, deadline: Duration) -> Self {
        self.limits.write_deadline = deadline;
        self
    }

    /// Most memory the indexes of all streams may take, in bytes; default [`MAX_INDEX_BYTES`]. What is older goes to disk,
    /// into tables beside the segments.
    #[must_use]
    pub fn max_index_bytes(mut self, bytes: u64) -> Self {
        self.index_bytes_max = bytes;
        self
    }

    /// Bytes that streams may hold together; any by default. The `max_bytes` of all of them may promise no
    /// more, and publishes that would exceed it are refused. A stream without `max_bytes` promises nothing.
    #[must_use]
    pub fn max_storage(mut self, bytes: u64) -> Self {
        self.stream_limits.account.file = Some(bytes);
        self
    }

    /// The same for streams with `storage: memory`, which count on their own although they are kept on disk.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.stream_limits.account.memory = Some(bytes);
        self
    }

    /// How many streams there may be; 10,000 by default.
    #[must_use]
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.stream_limits.streams_max = streams;
        self
    }

    /// How stored segments are verified and rewritten in the background.
    #[must_use]
    pub fn keeper(mut self, options: KeeperOptions) -> Self {
        self.keeper = options;
        self
    }

    /// Room to keep back so that a full disk can still be cleared, in bytes; default [`RESERVE_BYTES`], 0 for
    /// none.
    #[must_use]
    pub fn reserve_bytes(mut self, bytes: u64) -> Self {
        self.reserve_bytes = bytes;
        self
    }

    /// The disk; default the operating system's.
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// The clock of message timestamps and consumer timers; default the operating system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The source of ids and random choices; default the operating system's.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// The network clients come from; default TCP.
    #[must_use]
    pub fn net(mut self, net: Arc<dyn Net>) -> Self {
        self.net = net;
        self
    }

    /// Where the data lies.
    pub fn store_dir(&self) -> &Path {
        &self.store_dir
    }

    /// Refuses what a running node cannot change.
    pub(crate) fn check_change(&self, new: &Self) -> Result<(), Error> {
        let changed = [
            ("listen", self.listen != new.listen),
            ("http", self.http_listen != new.http_listen),
            ("server_name", self.server_name != new.server_name),
            ("store_dir", self.store_dir != new.store_dir),
            ("jetstream", self.jetstream != new.jetstream),
            ("cluster", self.cluster != new.cluster),
            (
                "accounts",
                self.ordinary_account != new.ordinary_account
                    || self.system_account != new.system_account,
            ),
            (
                "max_index_bytes",
                self.index_bytes_max != new.index_bytes_max,
            ),
            (
                "limits of jetstream",
                self.stream_limits != new.stream_limits,
            ),
        ];
        match changed.iter().find(|(_, changed)| *changed) {
            Some((setting, _)) => Err(Error::Config {
                setting,
                problem: "cannot be changed while the server runs; restart it".into(),
            }),
            None => Ok(()),
        }
    }

    /// Refuses what contradicts itself.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let limits = &self.limits;
        let wrong = |setting, problem: String| Err(Error::Config { setting, problem });
        if limits.payload_bytes_max > limits.pending_bytes_max {
            return wrong(
                "max_payload",
                format!(
                    "{} bytes are more than max_pending {}: no such message could be delivered",
                    limits.payload_bytes_max, limits.pending_bytes_max
                ),
            );
        }
        if limits.ping_interval.is_zero() {
            return wrong("ping_interval", "must be longer than 0".into());
        }
        let name = self.server_name.as_deref().unwrap_or("default");
        if name.is_empty() || name.contains(char::is_whitespace) {
            return wrong(
                "server_name",
                format!("{name:?} must have at least one character and no whitespace"),
            );
        }
        if let Some(cluster) = &self.cluster {
            cluster
                .check()
                .or_else(|(setting, problem)| wrong(setting, problem))?;
            if limits.payload_bytes_max > CLUSTER_MAX_PAYLOAD {
                let bytes = limits.payload_bytes_max;
                let text = format!(
                    "{bytes} bytes are more than the {CLUSTER_MAX_PAYLOAD} bytes of a message between nodes"
                );
                return wrong("max_payload", text);
            }
        }
        self.auth.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused() {
        assert!(NodeConfig::in_memory().check().is_ok());
        for config in [
            NodeConfig::in_memory().max_payload(2).max_pending(1),
            NodeConfig::in_memory().ping_interval(Duration::ZERO),
            NodeConfig::in_memory().server_name("two words"),
            NodeConfig::in_memory().server_name(""),
            NodeConfig::in_memory().cluster(ClusterOptions::new("")),
            NodeConfig::in_memory()
                .max_payload(CLUSTER_MAX_PAYLOAD + 1)
                .max_pending(CLUSTER_MAX_PAYLOAD + 1)
                .cluster(ClusterOptions::default()),
        ] {
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}
