//! The composition root: starts the parts of a node, owns them, and stops them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hitherto_jetstream::Limits;
use hitherto_platform::Listener;
use hitherto_protocol::ServerInfo;
use hitherto_storage::Error as StoreError;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::account::{Account, AccountSpace, Accounts};
use crate::config::resolve;
use crate::connection::{Clients, Environment};
use crate::jetstream::{DamageReport, JetStream, JetStreamOptions, Seat};
use crate::local::{LocalClient, LocalClientParts};
use crate::monitor::{Monitor, MonitorParts};
use crate::pubsub::{Router, Told};
use crate::room::Room;
use crate::route::{Links, LinksParts, LocalInterest, LogLinks, NodeId};
use crate::services::{Auditor, Interest};
use crate::settings::Settings;
use crate::stop::{StopSignal, StopSource};
use crate::system::{EVENTS_MAX, ReloadRequests, ServerEvent, System};
use crate::tls::Tls;
use crate::{Error, NodeConfig, http, id, listener, route};

/// The version INFO reports. Client libraries compare it to switch features on: JetStream clients ask
/// for 2.9 (consumer create by name), 2.10 (several filters), 2.11 and 2.12 (atomic batches). It names
/// the nats-server whose protocol and API we follow; `git_commit` tells ours from theirs.
pub const NATS_VERSION: &str = hitherto_jetstream::SERVER_VERSION;

/// The JetStream API level INFO reports; requests that need a higher one are refused.
pub const JETSTREAM_API_LEVEL: u32 = hitherto_jetstream::API_LEVEL;

/// Between two clients that lame duck mode closes it waits at most so long: 1 s, as nats-server.
const LAME_DUCK_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Nodes of a cluster that may keep one stream at most: 5, as nats-server.
const REPLICAS_MAX: u32 = 5;

/// A running broker.
///
/// Dropping it stops every task and thread, as if the process had been killed: nothing acknowledged is
/// lost, but the next start has more to replay. [`Node::shutdown`] is the orderly way.
pub struct Node {
    config: NodeConfig,
    server_id: String,
    environment: Arc<Environment>,
    /// The only lasting reference: dropping it ends the threads of JetStream. `None` when it is off.
    jetstream: Option<Arc<JetStream>>,
    stop_source: StopSource,
    stop: StopSignal,
    /// Ends the accepting of clients, before the node stops.
    doors: StopSource,
    /// Hears it.
    doors_closed: StopSignal,
    listen_addr: Option<SocketAddr>,
    http_addr: Option<SocketAddr>,
    /// `None` for a node on its own.
    links: Option<Arc<Links>>,
    monitor: Arc<Monitor>,
    system: Arc<System>,
    /// The accept loop, which owns the tasks of the connections. Dropping the set ends them.
    tasks: JoinSet<()>,
}

/// Numbers about a running node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStats {
    /// Client connections now.
    pub connections: usize,
    /// Subscriptions now, those of the broker's own services included.
    pub subscriptions: usize,
    /// Connections closed as slow consumers since the start.
    pub slow_consumers: u64,
}

impl Node {
    /// Starts a node: opens the store, recovers what is in it, and listens if the configuration says so.
    /// Must be called inside a tokio runtime, which the node's tasks then use.
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration contradicts itself; [`Error::Store`] when the store cannot be
    /// opened; [`Error::Listen`] when the address cannot be listened on.
    pub async fn start(config: NodeConfig) -> Result<Self, Error> {
        config.check()?;
        let interest = config.cluster.as_ref().map(|_| Arc::default());
        let accounts = accounts(&config, interest.as_ref());
        // Bound first, so that a port in use is noticed at once; accepting comes last, so that who is let
        // in finds everything recovered.
        let listener = open_listener(&config, config.listen).await?;
        let listen_addr = listener.as_ref().map(|(_, addr)| *addr);
        let http_listener = open_listener(&config, config.http_listen).await?;
        let http_addr = http_listener.as_ref().map(|(_, addr)| *addr);
        let cluster_listener = open_listener(&config, cluster_addr(&config)?).await?;

        let server_id = id::server_id(&*config.entropy);
        let info = server_info(&config, &server_id, listen_addr);
        let clients = Arc::new(Clients::default());
        let log_links = Arc::new(LogLinks::default());
        let jetstream = if config.jetstream {
            let auditor = Auditor {
                router: Arc::clone(accounts.router(Account::Ordinary)),
                clients: Arc::clone(&clients),
                clock: Arc::clone(&config.clock),
                entropy: Arc::clone(&config.entropy),
                server_name: info.server_name.clone(),
                account: config.ordinary_account.clone(),
                interest: Interest::default(),
            };
            let seat = seat(&config, &info.server_name, &log_links).await?;
            Some(start_jetstream(&config, auditor, seat).await?)
        } else {
            None
        };
        let (events, client_events) = mpsc::channel(EVENTS_MAX);
        let settings = Settings {
            limits: config.limits.clone(),
            info,
            auth: config.auth.clone(),
            tls: config.tls.as_ref().map(Tls::load).transpose()?,
        };
        let environment = Arc::new(Environment {
            accounts,
            room: Room::new(jetstream.as_ref()),
            settings: watch::Sender::new(Arc::new(settings)),
            clock: Arc::clone(&config.clock),
            clients,
            events,
        });
        let links = match (&config.cluster, interest, &cluster_listener) {
            (Some(options), Some(interest), Some((_, addr))) => Some(Links::new(LinksParts {
                options: options.clone(),
                node: node_id(&config).await?,
                addr: *addr,
                environment: Arc::clone(&environment),
                interest,
                entropy: Arc::clone(&config.entropy),
                net: Arc::clone(&config.net),
            })?),
            _ => None,
        };
        if let (Some(links), Some(jetstream)) = (&links, &jetstream) {
            log_links.connect(links);
            jetstream.admit_nodes();
        }
        let parts = MonitorParts {
            links: links.clone(),
            http_addr,
            store_dir: config.jetstream.then(|| config.store_dir.join("jetstream")),
            entropy: Arc::clone(&config.entropy),
        };
        let monitor = Monitor::new(Arc::clone(&environment), jetstream.as_ref(), parts);
        let monitor = Arc::new(monitor);
        let (stop_source, stop) = StopSource::new();
        let (doors, doors_closed) = StopSource::new();
        let mut node = Self {
            config,
            server_id,
            environment,
            jetstream,
            stop_source,
            stop,
            doors,
            doors_closed,
            listen_addr,
            http_addr,
            links,
            system: Arc::new(System::new(Arc::clone(&monitor))),
            monitor,
            tasks: JoinSet::new(),
        };
        let system = Arc::clone(&node.system);
        node.tasks
            .spawn(system.run(client_events, node.stop.clone()));
        if let Some((listener, addr)) = http_listener {
            node.monitor_on(listener, addr);
        }
        if let Some((listener, addr)) = listener {
            node.accept_on(listener, addr);
        }
        if let Some((listener, addr)) = cluster_listener {
            node.link_on(listener, addr);
        }
        tracing::info!("Server is ready");
        Ok(node)
    }

    /// A client inside the process.
    pub fn client(&self) -> LocalClient {
        self.client_in(Account::Ordinary)
    }

    /// A client of the system account inside the process: it can ask the requests `$SYS.REQ...` and hears
    /// what the server tells on `$SYS.>`, but sees nothing of streams and other clients.
    pub fn system_client(&self) -> LocalClient {
        self.client_in(Account::System)
    }

    fn client_in(&self, account: Account) -> LocalClient {
        let Environment { accounts, room, .. } = &*self.environment;
        let limits = &self.environment.settings().limits;
        let parts = LocalClientParts {
            router: Arc::clone(accounts.router(account)),
            id: accounts.next_subscriber_id(),
            room: room.clone(),
            stop: self.stop.clone(),
            payload_bytes_max: limits.payload_bytes_max,
            pending_bytes_max: limits.pending_bytes_max,
        };
        LocalClient::new(parts, &*self.config.entropy)
    }

    /// Goes by another configuration: users and permissions, and the limits of one client. Clients that
    /// would not be let in any more are closed with an `-ERR`, and subscriptions that are not allowed any
    /// more end with one. `max_pending`, `write_deadline` and `ping_interval` count for new connections.
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration contradicts itself, or when what differs needs a new start:
    /// addresses, the store, the name. Nothing is changed then.
    pub fn reload(&self, config: NodeConfig) -> Result<(), Error> {
        config.check()?;
        self.config.check_change(&config)?;
        let mut settings = Settings {
            limits: config.limits.clone(),
            info: server_info(&config, &self.server_id, self.listen_addr),
            tls: config.tls.as_ref().map(Tls::load).transpose()?,
            auth: config.auth,
        };
        self.environment.settings.send_modify(|current| {
            // Which other nodes there are is not configured.
            let urls = &mut settings.info.connect_urls;
            urls.clone_from(&current.info.connect_urls);
            *current = Arc::new(settings);
        });
        Ok(())
    }

    /// Requests of the system account (`$SYS.REQ.SERVER.<id>.RELOAD`) to go by the configuration as it is
    /// now, for whoever calls [`Node::reload`] then. While nobody takes them they are refused.
    pub fn reload_requests(&self) -> ReloadRequests {
        self.system.reload_requests()
    }

    /// The address clients can connect to; `None` when the node does not listen.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        self.listen_addr
    }

    /// The address of the monitoring pages; `None` when there are none.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_addr
    }

    /// The address other nodes can connect to; `None` for a node on its own.
    pub fn cluster_addr(&self) -> Option<SocketAddr> {
        self.links.as_ref().map(|links| links.addr())
    }

    /// How many other nodes there are links to.
    pub fn links(&self) -> usize {
        self.links.as_ref().map_or(0, |links| links.count())
    }

    /// The id INFO reports; new at every start.
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    /// How the node is doing.
    pub fn stats(&self) -> NodeStats {
        NodeStats {
            connections: self.environment.clients.count(),
            subscriptions: self.environment.accounts.subscriptions(),
            slow_consumers: self.environment.clients.totals().slow_consumers,
        }
    }

    /// What is known to be damaged in the store. The value stays up to date.
    pub fn damage(&self) -> DamageReport {
        let jetstream = self.jetstream.as_ref();
        jetstream.map_or_else(DamageReport::default, |jetstream| {
            jetstream.damage().clone()
        })
    }

    /// Sends the clients away before the node stops: no new ones are let in, JetStream ends in order, INFO
    /// tells the others to go elsewhere, and after a grace period they are closed one by one. Call
    /// [`Node::shutdown`] then. May be given up at any time for an immediate shutdown.
    ///
    /// # Errors
    /// As [`Node::shutdown`].
    pub async fn lame_duck(&mut self) -> Result<(), Error> {
        tracing::info!("Entering lame duck mode, stop accepting new clients");
        self.doors.stop();
        self.system.tell(ServerEvent::LameDuck);
        if let Some(links) = &self.links {
            links.lame_duck();
        }
        self.environment.settings.send_modify(|current| {
            let mut settings = Settings::clone(current);
            settings.info.ldm = true;
            *current = Arc::new(settings);
        });
        if let Some(jetstream) = self.jetstream.take() {
            tracing::info!("Initiating JetStream Shutdown...");
            unblocked(move || jetstream.shutdown()).await?;
            tracing::info!("JetStream Shutdown");
        }
        if self.environment.clients.count() == 0 {
            return Ok(());
        }
        sleep(self.config.lame_duck_grace).await;
        let clients = self.environment.clients.live();
        tracing::info!("Closing existing clients");
        let count = u32::try_from(clients.len()).unwrap_or(u32::MAX).max(1);
        let pause = (self.config.lame_duck_duration / count).min(LAME_DUCK_PAUSE_MAX);
        for client in clients {
            client.send_away();
            sleep(pause).await;
        }
        Ok(())
    }

    /// Stops in order: no new clients, what waits for clients is written (5 seconds at most), then the
    /// store is brought to a state that the next start opens without replay.
    ///
    /// # Errors
    /// When the last checkpoint cannot be written. Everything is stopped all the same, and nothing that
    /// was acknowledged is lost.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.system.tell(ServerEvent::Shutdown);
        self.stop_source.stop();
        while self.tasks.join_next().await.is_some() {}
        let ended = match self.jetstream.clone() {
            Some(jetstream) => unblocked(move || jetstream.shutdown()).await,
            None => Ok(()),
        };
        tracing::info!("Server Exiting..");
        Ok(ended?)
    }

    fn monitor_on(&mut self, listener: Box<dyn Listener>, addr: SocketAddr) {
        tracing::info!("Starting http monitor on {addr}");
        let monitor = Arc::clone(&self.monitor);
        self.tasks
            .spawn(http::run(listener, monitor, self.stop.clone()));
    }

    fn link_on(&mut self, listener: Box<dyn Listener>, addr: SocketAddr) {
        let Some(links) = &self.links else {
            return;
        };
        tracing::info!("Cluster name is {}", links.options().name);
        tracing::info!("Listening for route connections on {addr}");
        let links = Arc::clone(links);
        self.tasks
            .spawn(route::run(links, listener, self.stop.clone()));
    }

    fn accept_on(&mut self, listener: Box<dyn Listener>, addr: SocketAddr) {
        let host = &self.environment.settings().info.host;
        let shown = match host.contains(':') {
            true => format!("[{host}]:{}", addr.port()),
            false => format!("{host}:{}", addr.port()),
        };
        tracing::info!("Listening for client connections on {shown}");
        self.tasks.spawn(listener::run(
            listener,
            Arc::clone(&self.environment),
            self.doors_closed.clone(),
            self.stop.clone(),
        ));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop_source.stop();
        // Services hold the router and are held by it.
        self.environment.accounts.clear();
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("server_id", &self.server_id)
            .field("store_dir", &self.config.store_dir)
            .field("listen_addr", &self.listen_addr)
            .finish_non_exhaustive()
    }
}

fn accounts(config: &NodeConfig, interest: Option<&Arc<LocalInterest>>) -> Accounts {
    let space = |account: Account, name: &str| {
        let told = interest.map(|interest| Told {
            interest: Arc::clone(interest),
            space: account.space(),
        });
        AccountSpace {
            name: name.into(),
            router: Router::new(Arc::clone(&config.entropy), told),
        }
    };
    Accounts::new(
        space(Account::Ordinary, &config.ordinary_account),
        space(Account::System, &config.system_account),
    )
}

/// Where to listen for other nodes; `None` for a node on its own.
fn cluster_addr(config: &NodeConfig) -> Result<Option<SocketAddr>, Error> {
    let cluster = config.cluster.as_ref();
    cluster
        .map(|cluster| resolve(&cluster.host, cluster.port))
        .transpose()
}

/// The id of the store; of a node without one it is new at every start.
async fn node_id(config: &NodeConfig) -> Result<NodeId, Error> {
    let entropy = Arc::clone(&config.entropy);
    if !config.jetstream {
        return Ok(NodeId::new(&*entropy));
    }
    let disk = Arc::clone(&config.disk);
    let dir = config.store_dir.join("jetstream");
    let id = unblocked(move || {
        // Before JetStream makes it: the log wants to know who it is.
        disk.create_dir_all(&dir).map_err(|source| StoreError::Io {
            action: "create",
            file: dir.clone(),
            source,
        })?;
        NodeId::of_store(&*disk, &dir, &*entropy)
    });
    Ok(id.await?)
}

/// The place of a node in its cluster; `None` for a node on its own.
async fn seat(
    config: &NodeConfig,
    name: &str,
    links: &Arc<LogLinks>,
) -> Result<Option<Seat>, Error> {
    let Some(cluster) = &config.cluster else {
        return Ok(None);
    };
    let here = node_id(config).await?;
    let (disk, dir) = (Arc::clone(&config.disk), config.store_dir.join("jetstream"));
    let (its_disk, its_dir) = (Arc::clone(&disk), dir.clone());
    let founder = unblocked(move || NodeId::of_cluster(&*its_disk, &its_dir)).await?;
    Ok(Some(Seat {
        here: here.into(),
        name: name.to_owned(),
        cluster: cluster.name.clone(),
        links: Arc::clone(links),
        runtime: Handle::current(),
        founds: cluster.founds() && founder.is_none(),
        founder: founder.map(Into::into),
        disk,
        dir,
    }))
}

/// Recovers the streams and starts their threads.
async fn start_jetstream(
    config: &NodeConfig,
    auditor: Auditor,
    seat: Option<Seat>,
) -> Result<Arc<JetStream>, Error> {
    tracing::info!("Starting JetStream");
    let options = JetStreamOptions {
        disk: Arc::clone(&config.disk),
        clock: Arc::clone(&config.clock),
        entropy: Arc::clone(&config.entropy),
        store_dir: config.store_dir.clone(),
        router: Arc::clone(&auditor.router),
        auditor: Arc::new(auditor),
        limits: Limits {
            replicas_max: seat.as_ref().map_or(1, |_| REPLICAS_MAX),
            ..config.stream_limits.clone()
        },
        index_bytes_max: config.index_bytes_max,
        keeper: config.keeper.clone(),
        reserve_bytes: config.reserve_bytes,
        seat,
    };
    Ok(unblocked(move || JetStream::start(options)).await?)
}

/// Runs what blocks on a thread where that is allowed. A panic there goes on here.
async fn unblocked<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("the runtime ends while the node starts or stops: {error}"),
        },
    }
}

async fn open_listener(
    config: &NodeConfig,
    addr: Option<SocketAddr>,
) -> Result<Option<(Box<dyn Listener>, SocketAddr)>, Error> {
    let Some(addr) = addr else {
        return Ok(None);
    };
    let failed = |source| Error::Listen { addr, source };
    let listener = config.net.listen(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok(Some((listener, bound)))
}

fn server_info(config: &NodeConfig, server_id: &str, addr: Option<SocketAddr>) -> ServerInfo {
    let name = config.server_name.as_deref().unwrap_or(server_id);
    let host = match (&config.listen_host, addr) {
        (Some(host), _) => host.clone(),
        (None, Some(addr)) => addr.ip().to_string(),
        (None, None) => String::new(),
    };
    let mut port = addr.map_or(0, |addr| addr.port());
    let mut host = host;
    if let Some((advertised, advertised_port)) = &config.advertise {
        host.clone_from(advertised);
        port = advertised_port.unwrap_or(port);
    }
    ServerInfo {
        server_id: server_id.into(),
        server_name: name.into(),
        version: NATS_VERSION.into(),
        proto: 1,
        git_commit: Some(format!("hitherto-{}", env!("CARGO_PKG_VERSION"))),
        host,
        port,
        headers: true,
        auth_required: config.auth.is_announced(),
        tls_required: config.tls.as_ref().is_some_and(|tls| tls.required),
        tls_available: config.tls.as_ref().is_some_and(|tls| !tls.required),
        tls_verify: config.tls.as_ref().is_some_and(|tls| tls.verify),
        max_payload: config.limits.payload_bytes_max,
        jetstream: config.jetstream,
        cluster: config.cluster.as_ref().map(|cluster| cluster.name.clone()),
        api_lvl: config.jetstream.then_some(JETSTREAM_API_LEVEL),
        ..ServerInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use bytes::Bytes;
    use hitherto_platform::MemoryNet;
    use hitherto_protocol::link::Channel;
    use tokio::time::timeout;

    use super::*;
    use crate::config::ClusterOptions;
    use crate::route::PeerSink;

    /// What a node hears of another.
    #[derive(Debug, PartialEq, Eq)]
    enum Heard {
        Linked(NodeId, bool),
        Bytes(NodeId, Channel, Bytes),
    }

    struct Ear(mpsc::Sender<Heard>);

    impl PeerSink for Ear {
        fn receive(&self, peer: NodeId, channel: Channel, bytes: Bytes) {
            self.0.try_send(Heard::Bytes(peer, channel, bytes)).unwrap();
        }

        fn linked(&self, peer: NodeId, is_linked: bool) {
            self.0.try_send(Heard::Linked(peer, is_linked)).unwrap();
        }
    }

    #[tokio::test]
    async fn bytes_of_the_log_reach_the_other_node_in_the_order_of_their_channel() {
        const COUNT: u32 = 500;
        let net = Arc::new(MemoryNet::new());
        let start = |name: &str, seed: Option<SocketAddr>| {
            let mut cluster = ClusterOptions::new("c").listen(([10, 0, 0, 1], 0).into());
            if let Some(seed) = seed {
                cluster = cluster.route(seed.to_string().parse().unwrap());
            }
            // Without JetStream, which has the log's bytes for itself.
            let config = NodeConfig::in_memory().jetstream(false);
            let config = config.server_name(name).cluster(cluster);
            Node::start(config.net(Arc::<MemoryNet>::clone(&net)))
        };
        let receiver = start("receiver", None).await.unwrap();
        let (ear, mut heard) = mpsc::channel(10 * COUNT as usize);
        receiver
            .links
            .as_ref()
            .unwrap()
            .set_sink(Arc::new(Ear(ear)));
        let sender = start("sender", receiver.cluster_addr()).await.unwrap();
        let mut next = async || timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
        let Heard::Linked(sender_id, true) = next().await else {
            panic!("a link comes before all else");
        };
        let links = Arc::clone(sender.links.as_ref().unwrap());
        let receiver_id = NodeId::new(&*sender.config.entropy);
        assert!(links.send(receiver_id, Channel::Bulk, b"nobody").is_err());
        let receiver_id = receiver.links.as_ref().unwrap().node();
        for number in 0..COUNT {
            for channel in Channel::ALL {
                let bytes = number.to_le_bytes();
                // The link may be there at the other end only, for a moment.
                while links.send(receiver_id, channel, &bytes).is_err() {
                    tokio::task::yield_now().await;
                }
            }
        }
        let mut came = Channel::ALL.map(|_| 0_u32);
        while came != Channel::ALL.map(|_| COUNT) {
            let Heard::Bytes(from, channel, bytes) = next().await else {
                panic!("the link ends");
            };
            let count = &mut came[channel as usize];
            assert_eq!((from, &bytes[..]), (sender_id, &count.to_le_bytes()[..]));
            *count += 1;
        }
        sender.shutdown().await.unwrap();
        assert_eq!(next().await, Heard::Linked(sender_id, false));
    }

    /// Longer than it ever takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_node_whose_shard_has_panicked_can_be_shut_down_or_dropped() {
        for drops in [false, true] {
            let (done, waits) = sync_channel(1);
            // A thread and runtime of its own, which a node that hangs keeps.
            thread::spawn(move || {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                runtime.block_on(async {
                    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
                    let jetstream = node.jetstream.as_ref().unwrap();
                    jetstream.panic_shard(0);
                    assert!(
                        jetstream.has_room(),
                        "publishers are refused, and do not wait"
                    );
                    if drops {
                        drop(node);
                    } else {
                        // There is nobody to describe a last checkpoint.
                        node.shutdown().await.ok();
                    }
                });
                done.send(()).unwrap();
            });
            assert!(
                waits.recv_timeout(PATIENCE).is_ok(),
                "it hangs; drops: {drops}"
            );
        }
    }
}
