//! How nodes form a cluster: where each listens for the others, and where it looks for them.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use hitherto_protocol::Secret;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::TlsOptions;

/// The port for links between nodes: 6222.
pub const CLUSTER_PORT: u16 = 6222;

/// The name of a cluster that nobody named. Differs from nats-server, where such nodes make up a name and
/// agree on one: a node without a name joins nodes without a name, and is refused by others.
pub const CLUSTER_NAME: &str = "default";

/// A node has so long to say who it is: 2 s, as in nats-server.
pub const CLUSTER_AUTH_TIMEOUT: Duration = Duration::from_secs(2);

/// A link that carries nothing gets a PING this often: every 2 s.
pub const CLUSTER_PING_INTERVAL: Duration = Duration::from_secs(2);

/// A link that left so many PINGs unanswered when the next is due is given up: 2.
pub const CLUSTER_PING_MAX: u32 = 2;

/// The address of a node that was only heard of is tried so often again before it is forgotten until
/// somebody names it again: 5.
pub const CONNECT_RETRIES: u32 = 5;

/// The largest `max_payload` of a node in a cluster, in bytes: 64 MiB.
pub const CLUSTER_MAX_PAYLOAD: usize = 64 * 1024 * 1024;

/// How a node takes part in a cluster.
///
/// # Examples
/// ```
/// use hitherto_broker::NodeConfig;
/// use hitherto_broker::config::ClusterOptions;
///
/// let cluster = ClusterOptions::new("orders")
///     .listen("127.0.0.1:0".parse()?)
///     .route("nats://10.0.0.2:6222".parse()?);
/// let config = NodeConfig::in_memory().server_name("orders-1").cluster(cluster);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterOptions {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) routes: Vec<RouteUrl>,
    pub(crate) bootstrap: bool,
    pub(crate) advertise: Option<String>,
    pub(crate) no_advertise: bool,
    pub(crate) user: Option<RouteUser>,
    pub(crate) auth_timeout: Duration,
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) connect_retries: u32,
    pub(crate) ping_interval: Duration,
    pub(crate) pings_outstanding_max: u32,
}

/// Who a node says it is to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteUser {
    pub(crate) name: String,
    pub(crate) password: Secret,
}

impl RouteUser {
    /// A name and a password.
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            password: Secret::from(password.into()),
        }
    }
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self::new(CLUSTER_NAME)
    }
}

impl ClusterOptions {
    /// A cluster of this name, whose nodes listen on all addresses at [`CLUSTER_PORT`] and look for nobody.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            host: "0.0.0.0".into(),
            port: CLUSTER_PORT,
            routes: Vec::new(),
            bootstrap: false,
            advertise: None,
            no_advertise: false,
            user: None,
            auth_timeout: CLUSTER_AUTH_TIMEOUT,
            tls: None,
            connect_retries: CONNECT_RETRIES,
            ping_interval: CLUSTER_PING_INTERVAL,
            pings_outstanding_max: CLUSTER_PING_MAX,
        }
    }

    /// Listens for other nodes on this address; port 0 takes a free one.
    #[must_use]
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.host = addr.ip().to_string();
        self.port = addr.port();
        self
    }

    /// Looks for a node there, for ever. One address is enough: the nodes tell each other of the rest.
    #[must_use]
    pub fn route(mut self, url: RouteUrl) -> Self {
        self.routes.push(url);
        self
    }

    /// Begins the cluster when the store is new, although it looks for other nodes. Exactly one node of a new
    /// cluster does; one that looks for nobody does so by itself. The others wait until they are admitted.
    #[must_use]
    pub fn bootstrap(mut self) -> Self {
        self.bootstrap = true;
        self
    }

    /// Whether a node with a new store begins the cluster.
    pub(crate) fn founds(&self) -> bool {
        self.bootstrap || self.routes.is_empty()
    }

    /// What other nodes are told to connect to, `host:port` or `host`, where that is not the address the
    /// node listens on.
    #[must_use]
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.advertise = Some(address.into());
        self
    }

    /// Does not tell clients of the other nodes, nor the other nodes of the address for clients.
    #[must_use]
    pub fn no_advertise(mut self) -> Self {
        self.no_advertise = true;
        self
    }

    /// Nodes must say that they are this user; this node says the same to the others.
    #[must_use]
    pub fn user(mut self, user: RouteUser) -> Self {
        self.user = Some(user);
        self
    }

    /// Encrypts the links; each side must show a certificate that the other one's `ca_file` has signed.
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How often an address that was only heard of is tried again; default [`CONNECT_RETRIES`].
    #[must_use]
    pub fn connect_retries(mut self, retries: u32) -> Self {
        self.connect_retries = retries;
        self
    }

    /// How often a quiet link gets a PING, default [`CLUSTER_PING_INTERVAL`], and how many may be
    /// unanswered, default [`CLUSTER_PING_MAX`].
    #[must_use]
    pub fn ping(mut self, interval: Duration, unanswered_max: u32) -> Self {
        self.ping_interval = interval;
        self.pings_outstanding_max = unanswered_max;
        self
    }

    /// What a command line says: `nats://host:port`, or `host:port`; port -1 or 0 takes a free one. A user
    /// in it is whom other nodes must be.
    ///
    /// # Errors
    /// When it is neither.
    pub fn listen_on(&mut self, text: &str) -> Result<(), RouteUrlError> {
        // No URL has a port below 0.
        let (with_port, port) = match text.strip_suffix(":-1") {
            Some(host) => (format!("{host}:0"), Some(0)),
            None => (text.to_owned(), None),
        };
        let url: RouteUrl = with_port.parse()?;
        self.host = url.host;
        self.port = port.unwrap_or(url.port);
        if url.user.is_some() {
            self.user = url.user;
        }
        Ok(())
    }

    /// Looks for nodes at each of these addresses, separated by commas, and at no others.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn set_routes(&mut self, list: &str) -> Result<(), RouteUrlError> {
        let routes = list.split(',').filter(|text| !text.trim().is_empty());
        self.routes = routes.map(str::parse).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The name of the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names the cluster.
    pub fn set_name(&mut self, name: impl Into<String>) {
        self.name = name.into();
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.name.is_empty() || self.name.contains(char::is_whitespace) {
            let text = "must have at least one character and no whitespace";
            return Err(("cluster.name", format!("{:?} {text}", self.name)));
        }
        if self.ping_interval.is_zero() {
            return Err(("cluster.ping_interval", "must be longer than 0".into()));
        }
        if let Some(tls) = &self.tls
            && tls.ca_file.is_none()
        {
            let text = "must be given: nodes verify each other's certificates";
            return Err(("cluster.tls.ca_file", text.into()));
        }
        Ok(())
    }
}

/// Where another node may be: `nats://host:port`, `nats-route://user:password@host:port` or `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<RouteUser>,
}

/// Text that is not the address of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route {text:?}: {problem}; it looks like nats://host:{CLUSTER_PORT}")]
pub struct RouteUrlError {
    text: String,
    problem: String,
}

impl FromStr for RouteUrl {
    type Err = RouteUrlError;

    fn from_str(text: &str) -> Result<Self, RouteUrlError> {
        let text = text.trim();
        let wrong = |problem: &dyn fmt::Display| RouteUrlError {
            // Without what may be a password.
            text: text.rsplit_once('@').map_or(text, |(_, host)| host).into(),
            problem: problem.to_string(),
        };
        let with_scheme = match text.contains("://") {
            true => text.to_owned(),
            false => format!("nats://{text}"),
        };
        let url = Url::parse(&with_scheme).map_err(|error| wrong(&error))?;
        if !matches!(url.scheme(), "nats" | "nats-route" | "tls") {
            return Err(wrong(&"its scheme is none of nats, nats-route and tls"));
        }
        let host = match url.host() {
            Some(Host::Domain("")) | None => return Err(wrong(&"it names no host")),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(host @ (Host::Domain(_) | Host::Ipv4(_))) => host.to_string(),
        };
        let user = (!url.username().is_empty()).then(|| {
            RouteUser::new(
                decoded(url.username()),
                decoded(url.password().unwrap_or_default()),
            )
        });
        Ok(Self {
            host,
            port: url.port().unwrap_or(CLUSTER_PORT),
            user,
        })
    }
}

impl RouteUrl {
    /// `host:port`, by which addresses are compared.
    pub(crate) fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Signs written as `%xx`.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str) -> RouteUrl {
        text.parse().unwrap()
    }

    #[test]
    fn routes_are_read_with_and_without_scheme_port_and_user() {
        for text in [
            "nats://h:6222",
            "nats-route://h",
            "h:6222",
            " h ",
            "tls://h/",
        ] {
            assert_eq!(route(text).address(), "h:6222", "{text}");
            assert_eq!(route(text).user, None, "{text}");
        }
        assert_eq!(route("nats://[::1]:7").address(), "[::1]:7");
        assert_eq!(
            route("nats://u:p%40%2B+w=1@h:1").user,
            Some(RouteUser::new("u", "p@++w=1"))
        );
    }

    #[test]
    fn what_is_no_route_is_refused_without_its_password() {
        for (text, problem) in [
            ("", "no host"),
            ("http://h:1", "scheme"),
            ("h:99999", "port"),
            ("nats://u:geheim@h:x", "port"),
        ] {
            let error = text.parse::<RouteUrl>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn a_command_line_says_where_to_listen_and_to_look() {
        let mut options = ClusterOptions::default();
        for (text, host, port) in [
            ("nats://127.0.0.1:-1", "127.0.0.1", 0),
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("nats://u:p@h:7", "h", 7),
            ("nats://0.0.0.0", "0.0.0.0", CLUSTER_PORT),
        ] {
            options.listen_on(text).unwrap();
            assert_eq!(
                (options.host.as_str(), options.port),
                (host, port),
                "{text}"
            );
        }
        assert_eq!(options.user, Some(RouteUser::new("u", "p")));
        options.set_routes("nats://a:1, b:2,").unwrap();
        let addresses: Vec<_> = options.routes.iter().map(RouteUrl::address).collect();
        assert_eq!(addresses, ["a:1", "b:2"]);
        assert!(options.set_routes("a:1,http://b:2").is_err());
        assert!(options.listen_on("nats://:1:2").is_err());
    }

    #[test]
    fn contradictions_are_named() {
        let named = |options: ClusterOptions| options.check().unwrap_err().0;
        assert_eq!(named(ClusterOptions::new("two words")), "cluster.name");
        let options = ClusterOptions::default().ping(Duration::ZERO, 1);
        assert_eq!(named(options), "cluster.ping_interval");
        let options = ClusterOptions::default().tls(TlsOptions::new("c", "k"));
        assert_eq!(named(options), "cluster.tls.ca_file");
        assert_eq!(ClusterOptions::default().check(), Ok(()));
    }
}
