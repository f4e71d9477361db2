//! What the command line and the configuration file say about a server, in their own terms.
//!
//! A [`NodeConfig`] is what a node needs; this is what people write: hosts by name, ports that may be
//! left to the system, files for the log and the process id. The command line fills one in, on top of
//! what a configuration file says.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use super::{
    ClientLimits, ClusterOptions, LAME_DUCK_DURATION, LAME_DUCK_GRACE, MAX_INDEX_BYTES, NodeConfig,
    StreamLimits, TlsOptions,
};
use crate::Error;
use crate::account::{ORDINARY_ACCOUNT, SYSTEM_ACCOUNT};
use crate::auth::Auth;

/// The options of a server process. Everything has the default of nats-server but where a field says
/// otherwise.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Address or name to listen on; `0.0.0.0` means all of this machine's, over IPv6 too.
    pub host: String,
    /// Port for clients; 0 takes a free one.
    pub port: u16,
    /// Name of the server; `None` means its id.
    pub server_name: Option<String>,
    /// Address for monitoring over HTTP; `None` means the host of the clients.
    pub http_host: Option<String>,
    /// Port for monitoring over HTTP; 0 takes a free one, `None` means no monitoring.
    pub http_port: Option<u16>,
    /// Whether there are streams.
    pub jetstream: bool,
    /// Folder of the data, which is put into `jetstream` below it.
    pub store_dir: PathBuf,
    /// Most memory the indexes of all streams may take, in bytes.
    pub index_bytes_max: u64,
    /// What streams and consumers may take up.
    pub(crate) stream_limits: StreamLimits,
    pub(crate) limits: ClientLimits,
    /// Who may connect.
    pub auth: Auth,
    /// How connections are encrypted; `None` means that they are not.
    pub tls: Option<TlsOptions>,
    /// Clients may do without TLS.
    pub(crate) allow_plain: bool,
    /// Name of the account of applications.
    pub(crate) ordinary_account: String,
    /// Name of the system account.
    pub(crate) system_account: String,
    /// Whether the account of applications may use streams, where there are any.
    pub(crate) account_has_jetstream: bool,
    /// What INFO tells clients to connect to, `host:port` or `host`.
    pub client_advertise: Option<String>,
    /// `None` for a server on its own.
    pub cluster: Option<ClusterOptions>,
    pub(crate) lame_duck_grace: Duration,
    pub(crate) lame_duck_duration: Duration,
    /// Settings that were read and do nothing, with their places; at most one per key of the file.
    without_effect: Vec<String>,
    /// What concerns the process and not the node.
    pub process: ProcessOptions,
}

/// What concerns the process: its files and its log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProcessOptions {
    /// File for the process id.
    pub pid_file: Option<PathBuf>,
    /// Folder for `<program>_<pid>.ports`, which tells the ports as JSON while the server runs.
    pub ports_file_dir: Option<PathBuf>,
    /// File of the log; `None` means standard error.
    pub log_file: Option<PathBuf>,
    /// Log lines begin with the time.
    pub log_time: bool,
    /// The log says more.
    pub debug: bool,
    /// The log has every protocol line.
    pub trace: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::UNSPECIFIED.to_string(),
            port: super::CLIENT_PORT,
            server_name: None,
            http_host: None,
            http_port: None,
            jetstream: false,
            store_dir: std::env::temp_dir().join("nats"),
            index_bytes_max: MAX_INDEX_BYTES,
            stream_limits: StreamLimits::default(),
            limits: ClientLimits::default(),
            auth: Auth::new(),
            tls: None,
            allow_plain: false,
            ordinary_account: ORDINARY_ACCOUNT.into(),
            system_account: SYSTEM_ACCOUNT.into(),
            account_has_jetstream: true,
            client_advertise: None,
            cluster: None,
            lame_duck_grace: LAME_DUCK_GRACE,
            lame_duck_duration: LAME_DUCK_DURATION,
            without_effect: Vec::new(),
            process: ProcessOptions::default(),
        }
    }
}

impl Default for ProcessOptions {
    fn default() -> Self {
        Self {
            pid_file: None,
            ports_file_dir: None,
            log_file: None,
            log_time: true,
            debug: false,
            trace: false,
        }
    }
}

impl ServerOptions {
    /// The configuration of a node that does what these options say. Looks up the hosts.
    ///
    /// # Errors
    /// [`Error::Host`] when a host has no address.
    pub fn node_config(&self) -> Result<NodeConfig, Error> {
        let mut config = NodeConfig::new(&self.store_dir)
            .listen(resolve(&self.host, self.port)?)
            .jetstream(self.jetstream && self.account_has_jetstream)
            .auth(self.auth.clone())
            .max_index_bytes(self.index_bytes_max);
        config.stream_limits = self.stream_limits.clone();
        config.listen_host = Some(self.host.clone());
        config.limits = self.limits.clone();
        config.tls = self.tls.clone().map(|tls| match self.allow_plain {
            true => tls.allow_plain(),
            false => tls,
        });
        config.lame_duck_grace = self.lame_duck_grace;
        config.lame_duck_duration = self.lame_duck_duration;
        config.ordinary_account.clone_from(&self.ordinary_account);
        config.system_account.clone_from(&self.system_account);
        config.server_name.clone_from(&self.server_name);
        if let Some(cluster) = &self.cluster {
            // Looks it up, so that a host without an address is noticed here.
            resolve(&cluster.host, cluster.port)?;
            config.cluster = Some(cluster.clone());
        }
        if let Some(advertise) = &self.client_advertise {
            config.advertise = Some(match advertise.rsplit_once(':') {
                Some((host, port)) => (host.into(), port.parse().ok()),
                None => (advertise.clone(), None),
            });
        }
        if let Some(port) = self.http_port {
            let host = self.http_host.as_ref().unwrap_or(&self.host);
            config.http_listen = Some(resolve(host, port)?);
        }
        Ok(config)
    }

    /// Remembers that a setting was read and changes nothing here.
    pub(crate) fn note_without_effect(&mut self, place: &impl fmt::Display, key: &str) {
        self.without_effect
            .push(format!("{place}: {key:?} has no effect"));
    }

    /// Settings of the configuration file that change nothing here, for the log.
    pub fn without_effect(&self) -> &[String] {
        &self.without_effect
    }

    /// Sets the largest message in bytes.
    pub fn set_max_payload(&mut self, bytes: usize) {
        self.limits.payload_bytes_max = bytes;
    }

    /// Lets at most so many clients in, whatever was configured; returns the configured number if it was
    /// larger.
    pub fn limit_connections(&mut self, connections: usize) -> Option<usize> {
        let configured = self.limits.connections_max;
        self.limits.connections_max = configured.min(connections);
        (configured > connections).then_some(configured)
    }
}

/// The first address of a host. The unspecified IPv4 address becomes that of IPv6, which takes both,
/// where the machine has IPv6: so does Go, and clients that look up `localhost` may try `::1` first.
pub(crate) fn resolve(host: &str, port: u16) -> Result<SocketAddr, Error> {
    let failed = |source| Error::Host {
        host: host.into(),
        source,
    };
    if host.is_empty() || host == Ipv4Addr::UNSPECIFIED.to_string() {
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let ip = match TcpListener::bind(both) {
            Ok(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
            Err(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        };
        return Ok(SocketAddr::new(ip, port));
    }
    let mut addrs = (host, port).to_socket_addrs().map_err(failed)?;
    addrs
        .next()
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_become_addresses() {
        let mut options = ServerOptions {
            host: "127.0.0.1".into(),
            http_port: Some(0),
            ..ServerOptions::default()
        };
        let config = options.node_config().unwrap();
        assert_eq!(config.listen.unwrap().to_string(), "127.0.0.1:4222");
        assert_eq!(config.http_listen.unwrap().to_string(), "127.0.0.1:0");
        options.host = "no such host".into();
        let error = options.node_config().unwrap_err();
        assert!(error.to_string().contains("no such host"), "{error}");
    }

    #[test]
    fn all_addresses_are_of_both_families_where_there_are_two() {
        let addr = resolve("0.0.0.0", 7).unwrap();
        assert!(addr.ip().is_unspecified() && addr.port() == 7);
    }
}
