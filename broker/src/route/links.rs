//! The links of a node, and what goes over all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use hitherto_platform::{Entropy, Net};
use hitherto_protocol::link::{
    Channel, Frame, Hello, NodeNews, PeerAddress, Refusal, RefusalKind, VERSIONS, encode,
};
use tokio::sync::{mpsc, watch};

use super::handshake::{Met, Talk};
use super::judge::{Identity, LinkMark, Placement, refusal};
use super::link::{Link, Origin};
use super::link_end::LinkEnd;
use super::outbound::{LinkOutbound, SendError};
use super::tls::LinkTls;
use super::{LinkReport, LocalInterest, NodeId};
use crate::Error;
use crate::account::Account;
use crate::config::ClusterOptions;
use crate::connection::Environment;
use crate::settings::Settings;

/// A node has links to so many others at most: 64.
pub(super) const LINKS_MAX: usize = 64;

/// Addresses that other nodes told and that wait for the supervisor; more are left out, as they are told
/// again.
const LEARNED_MAX: usize = 256;

/// Takes the bytes of the replicated log that other nodes send.
pub(crate) trait PeerSink: Send + Sync {
    /// Takes bytes that `peer` sent, in the order it sent them on that channel. Runs on the task of the
    /// link: it must not block, and bounds what it keeps.
    fn receive(&self, peer: NodeId, channel: Channel, bytes: Bytes);

    /// There is a link to `peer` now, or there is none any more. What was sent before and has not arrived
    /// is lost.
    fn linked(&self, peer: NodeId, is_linked: bool);
}

/// What links are made of.
pub(crate) struct LinksParts {
    pub(crate) options: ClusterOptions,
    pub(crate) node: NodeId,
    /// Where this node listens for others.
    pub(crate) addr: SocketAddr,
    pub(crate) environment: Arc<Environment>,
    pub(crate) interest: Arc<LocalInterest>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) net: Arc<dyn Net>,
}

/// The links of one node, shared by its tasks and by everybody who sends or watches.
pub(crate) struct Links {
    pub(super) parts: LinksParts,
    identity: Identity,
    pub(super) tls: Option<LinkTls>,
    state: Mutex<State>,
    /// Counts links that come and go.
    changes: watch::Sender<u64>,
    learned: mpsc::Sender<PeerAddress>,
    /// Taken by the supervisor.
    learned_rx: Mutex<Option<mpsc::Receiver<PeerAddress>>>,
    sink: OnceLock<Arc<dyn PeerSink>>,
    /// The cluster that has admitted this node, by the node that founded it.
    cluster_id: OnceLock<NodeId>,
}

#[derive(Default)]
struct State {
    /// At most [`LINKS_MAX`].
    peers: BTreeMap<NodeId, Peer>,
    /// Where others meet this node.
    met_at: Option<IpAddr>,
    /// There was a link once: then clients are told of this node as well.
    was_linked: bool,
    lame_duck: bool,
}

/// Another node.
struct Peer {
    link: Arc<Link>,
    address: PeerAddress,
    news: NodeNews,
    jetstream: bool,
    /// As in its hello.
    cluster_id: Option<String>,
}

impl Links {
    /// No links yet; [`run`](super::run) makes them.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub(crate) fn new(parts: LinksParts) -> Result<Arc<Self>, Error> {
        let info = &parts.environment.settings().info;
        let name = |account: Account| parts.environment.accounts.get(account).name.clone();
        let identity = Identity {
            node: parts.node,
            server_id: info.server_id.clone(),
            server_name: info.server_name.clone(),
            cluster: parts.options.name.clone(),
            accounts: Account::ALL.map(name).into(),
        };
        let (learned, learned_rx) = mpsc::channel(LEARNED_MAX);
        Ok(Arc::new(Self {
            tls: parts.options.tls.as_ref().map(LinkTls::load).transpose()?,
            parts,
            identity,
            state: Mutex::default(),
            changes: watch::Sender::new(0),
            learned,
            learned_rx: Mutex::new(Some(learned_rx)),
            sink: OnceLock::new(),
            cluster_id: OnceLock::new(),
        }))
    }

    /// A cluster has admitted this node: from now on those of other clusters are refused, and links to them end.
    pub(crate) fn set_cluster_id(&self, id: NodeId) {
        self.cluster_id.get_or_init(|| id);
        let id = id.to_string();
        let state = self.lock();
        let strangers = state.peers.values();
        let strangers =
            strangers.filter(|peer| peer.cluster_id.as_ref().is_some_and(|own| *own != id));
        let links: Vec<_> = strangers.map(|peer| Arc::clone(&peer.link)).collect();
        drop(state);
        for link in links {
            tracing::error!(
                node = link.name(),
                "the node belongs to another cluster of this name"
            );
            link.outbound.end(LinkEnd::Replaced);
        }
    }

    fn cluster_id(&self) -> Option<NodeId> {
        self.cluster_id.get().copied()
    }

    /// This node.
    #[cfg(test)]
    pub(crate) fn node(&self) -> NodeId {
        self.identity.node
    }

    pub(crate) fn options(&self) -> &ClusterOptions {
        &self.parts.options
    }

    /// Where this node listens for others.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.parts.addr
    }

    /// Sends bytes of the replicated log to another node without waiting for room.
    ///
    /// # Errors
    /// When they were not taken; see [`SendError`].
    #[cfg(test)]
    pub(crate) fn send(
        &self,
        peer: NodeId,
        channel: Channel,
        bytes: &[u8],
    ) -> Result<(), SendError> {
        let link = self.link(peer).ok_or(SendError::NotLinked)?;
        link.outbound.push_bytes(channel, bytes)
    }

    /// Sends bytes of the replicated log to another node; waits while there is no room for them. They arrive in the
    /// order they were sent on that channel, or the link has ended meanwhile.
    ///
    /// # Errors
    /// When they were not taken; see [`SendError`].
    pub(crate) async fn send_when_room(
        &self,
        peer: NodeId,
        channel: Channel,
        bytes: &[u8],
    ) -> Result<(), SendError> {
        let link = self.link(peer).ok_or(SendError::NotLinked)?;
        link.outbound.push_bytes_when_room(channel, bytes).await
    }

    fn link(&self, peer: NodeId) -> Option<Arc<Link>> {
        let state = self.lock();
        state.peers.get(&peer).map(|peer| Arc::clone(&peer.link))
    }

    /// Says who takes the bytes of the replicated log; until then they are dropped. A second call does
    /// nothing.
    pub(crate) fn set_sink(&self, sink: Arc<dyn PeerSink>) {
        self.sink.set(sink).ok();
    }

    pub(super) fn sink(&self) -> Option<&Arc<dyn PeerSink>> {
        self.sink.get()
    }

    /// All links, as they are now.
    pub(crate) fn reports(&self) -> Vec<LinkReport> {
        let links: Vec<_> = self.links();
        links.iter().map(|link| link.report()).collect()
    }

    /// How many other nodes there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().peers.len()
    }

    /// This node sends its clients away: they are not told to come here any more.
    pub(crate) fn lame_duck(&self) {
        self.lock().lame_duck = true;
        self.refresh_urls();
        self.tell_news();
    }

    /// What this node says to one it meets at `peer`.
    pub(super) fn hello(&self, peer: IpAddr) -> Hello {
        let info = &self.parts.environment.settings().info;
        let identity = &self.identity;
        let NodeNews {
            client_urls,
            lame_duck,
        } = self.own_news();
        Hello {
            versions: VERSIONS,
            cluster: identity.cluster.clone(),
            node_id: identity.node.to_string(),
            server_id: identity.server_id.clone(),
            server_name: identity.server_name.clone(),
            version: info.version.clone(),
            accounts: identity.accounts.clone(),
            link_address: self.own_address(),
            client_urls,
            lame_duck,
            jetstream: info.jetstream,
            met_at: peer.to_canonical().to_string(),
            capabilities: Vec::new(),
            cluster_id: self.cluster_id().map(|id| id.to_string()),
            credentials: None,
        }
    }

    /// Whether there may be a link to the node that said this.
    pub(super) fn judge(&self, hello: &Hello, dialed: bool) -> Result<LinkMark, Refusal> {
        let mark = self.identity.fit(hello, dialed)?;
        fit_cluster(self.cluster_id(), hello)?;
        self.place(&self.lock(), &mark)?;
        Ok(mark)
    }

    fn place(&self, state: &State, mark: &LinkMark) -> Result<Placement, Refusal> {
        let links = state.peers.values().map(|peer| &peer.link.mark);
        self.identity.place(mark, links, LINKS_MAX)
    }

    /// A node that may get a link, with its addresses as they are seen from here.
    pub(super) fn met(
        &self,
        mut hello: Hello,
        mark: LinkMark,
        talk: Talk,
        (peer, origin): (SocketAddr, Origin),
    ) -> Met {
        let ip = peer.ip().to_canonical();
        hello.link_address = with_host(&hello.link_address, ip);
        fill_hosts(&mut hello.client_urls, ip);
        Met {
            hello,
            mark,
            origin,
            peer,
            talk,
        }
    }

    /// Begins a link. Another one to the same node ends.
    ///
    /// # Errors
    /// When another link came first meanwhile, and stays.
    pub(super) fn admit(&self, met: &Met) -> Result<Arc<Link>, Refusal> {
        let environment = &self.parts.environment;
        let pending_bytes_max = environment.settings().limits.pending_bytes_max;
        let link = Arc::new(Link::new(
            environment.accounts.next_subscriber_id().0,
            met.mark.clone(),
            (met.origin, met.peer),
            LinkOutbound::new(pending_bytes_max),
            Arc::clone(&environment.clock),
        ));
        if met.mark.dialed {
            // Before anybody else can send over the link: the other node waits for this word.
            let outbound = &link.outbound;
            outbound.push_word(|buffer| encode::frame(buffer, &Frame::Accept));
        }
        let mut state = self.lock();
        self.place(&state, &met.mark)?;
        let peer = Peer {
            link: Arc::clone(&link),
            address: PeerAddress {
                node_id: met.hello.node_id.clone(),
                server_name: met.hello.server_name.clone(),
                link_address: met.hello.link_address.clone(),
            },
            news: NodeNews {
                client_urls: met.hello.client_urls.clone(),
                lame_duck: met.hello.lame_duck,
            },
            jetstream: met.hello.jetstream,
            cluster_id: met.hello.cluster_id.clone(),
        };
        if let Ok(ip) = met.hello.met_at.parse() {
            state.met_at.get_or_insert(ip);
        }
        state.was_linked = true;
        let replaced = state.peers.insert(met.mark.node, peer);
        drop(state);
        if let Some(replaced) = replaced {
            replaced.link.outbound.end(LinkEnd::Replaced);
        } else if let Some(sink) = self.sink() {
            sink.linked(link.node(), true);
        }
        self.note_change();
        Ok(link)
    }

    /// A link has ended.
    pub(super) fn retire(&self, link: &Arc<Link>) {
        let mut state = self.lock();
        let is_current = state
            .peers
            .get(&link.node())
            .is_some_and(|peer| Arc::ptr_eq(&peer.link, link));
        if !is_current {
            // Another one has taken its place.
            return;
        }
        state.peers.remove(&link.node());
        drop(state);
        if let Some(sink) = self.sink() {
            sink.linked(link.node(), false);
        }
        self.note_change();
    }

    /// What another node says of itself has changed.
    pub(super) fn handle_news(&self, link: &Arc<Link>, mut news: NodeNews) {
        fill_hosts(&mut news.client_urls, link.peer.ip().to_canonical());
        let mut state = self.lock();
        if let Some(peer) = state.peers.get_mut(&link.node())
            && Arc::ptr_eq(&peer.link, link)
        {
            peer.news = news;
        }
        drop(state);
        self.refresh_urls();
    }

    /// Another node has links to these.
    pub(super) fn handle_peers(&self, peers: Vec<PeerAddress>) {
        for peer in peers.into_iter().take(LINKS_MAX) {
            let Ok(node) = peer.node_id.parse::<NodeId>() else {
                continue;
            };
            if node != self.identity.node && !self.is_linked(node) {
                // When it is full the address is told again later.
                self.learned.try_send(peer).ok();
            }
        }
    }

    /// Tells every node which others there are.
    pub(super) fn gossip(&self) {
        let state = self.lock();
        let all: Vec<_> = state
            .peers
            .values()
            .map(|peer| &peer.address)
            .cloned()
            .collect();
        let links: Vec<_> = state
            .peers
            .values()
            .map(|peer| Arc::clone(&peer.link))
            .collect();
        drop(state);
        if all.len() < 2 {
            return;
        }
        for link in links {
            let own = link.node().to_string();
            let others = all.iter().filter(|peer| peer.node_id != own).cloned();
            let frame = Frame::Peers(others.collect());
            link.outbound
                .push_word(|buffer| encode::frame(buffer, &frame));
        }
    }

    pub(super) fn is_linked(&self, node: NodeId) -> bool {
        self.lock().peers.contains_key(&node)
    }

    /// The nodes there are links to that have streams, with their names.
    pub(super) fn jetstream_peers(&self) -> Vec<(hitherto_cluster::NodeId, String)> {
        let state = self.lock();
        let peers = state.peers.iter().filter(|(_, peer)| peer.jetstream);
        let named = peers.map(|(node, peer)| ((*node).into(), peer.link.name().to_owned()));
        named.collect()
    }

    /// Whether this node leaves it to `other` to connect first.
    pub(super) fn yields_to(&self, other: NodeId) -> bool {
        self.identity.node > other
    }

    /// Waits until there is no link to `node`.
    pub(super) async fn unlinked(&self, node: NodeId) {
        let mut changes = self.changes.subscribe();
        while self.is_linked(node) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// The addresses that other nodes tell; only the first call gets them.
    pub(super) fn take_learned(&self) -> Option<mpsc::Receiver<PeerAddress>> {
        let mut learned = self
            .learned_rx
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        learned.take()
    }

    /// Nodes have come or gone: clients hear of it, and the other nodes.
    fn note_change(&self) {
        self.changes.send_modify(|count| *count += 1);
        self.refresh_urls();
        self.gossip();
    }

    fn tell_news(&self) {
        let frame = Frame::News(self.own_news());
        for link in self.links() {
            link.outbound
                .push_word(|buffer| encode::frame(buffer, &frame));
        }
    }

    fn links(&self) -> Vec<Arc<Link>> {
        let state = self.lock();
        state
            .peers
            .values()
            .map(|peer| Arc::clone(&peer.link))
            .collect()
    }

    fn own_news(&self) -> NodeNews {
        NodeNews {
            client_urls: self.own_client_urls(),
            lame_duck: self.lock().lame_duck,
        }
    }

    /// Where clients reach this node; an empty host where others know better.
    fn own_client_urls(&self) -> Vec<String> {
        let info = &self.parts.environment.settings().info;
        if self.parts.options.no_advertise || info.port == 0 {
            return Vec::new();
        }
        vec![address(&info.host, info.port)]
    }

    fn own_address(&self) -> String {
        let options = &self.parts.options;
        let port = self.parts.addr.port();
        match &options.advertise {
            None => address(&options.host, port),
            Some(advertised) => match advertised.rsplit_once(':') {
                Some((_, port)) if port.parse::<u16>().is_ok() => advertised.clone(),
                _ => address(advertised, port),
            },
        }
    }

    /// Tells the clients where else they can go, when that has changed.
    fn refresh_urls(&self) {
        let own = self.own_client_urls();
        let settings = &self.parts.environment.settings;
        settings.send_if_modified(|settings| {
            let urls = self.connect_urls(&own);
            if settings.info.connect_urls == urls {
                return false;
            }
            let mut changed = Settings::clone(settings);
            changed.info.connect_urls = urls;
            *settings = Arc::new(changed);
            true
        });
    }

    /// This node first, as in nats-server, and the others in the order of their names.
    fn connect_urls(&self, own: &[String]) -> Vec<String> {
        let state = self.lock();
        if self.parts.options.no_advertise || !state.was_linked {
            return Vec::new();
        }
        let mut own = own.to_vec();
        if let Some(ip) = state.met_at {
            fill_hosts(&mut own, ip);
        }
        own.retain(|url| !state.lame_duck && !url.starts_with(':'));
        let others = state.peers.values().filter(|peer| !peer.news.lame_duck);
        let mut others: Vec<_> = others.map(|peer| (peer.link.name(), &peer.news)).collect();
        others.sort_by_key(|(name, _)| *name);
        let others = others.into_iter().flat_map(|(_, news)| &news.client_urls);
        own.into_iter().chain(others.cloned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two clusters never become one: each has a meta group of its own, with other streams in it.
fn fit_cluster(own: Option<NodeId>, hello: &Hello) -> Result<(), Refusal> {
    let own = own.map(|id| id.to_string());
    match (&own, &hello.cluster_id) {
        (Some(own), Some(other)) if own != other => Err(refusal(
            RefusalKind::Misfit,
            format!(
                "node {:?} belongs to the cluster that node {other} founded, this one to that of node {own}; \
                 give one of them a new store, or another cluster name",
                hello.server_name
            ),
        )),
        _ => Ok(()),
    }
}

/// `host:port`, with nothing for a host that stands for all addresses.
fn address(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => format!(":{port}"),
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

fn with_host(address: &str, ip: IpAddr) -> String {
    match address.strip_prefix(':').map(str::parse) {
        Some(Ok(port)) => SocketAddr::new(ip, port).to_string(),
        Some(Err(_)) | None => address.to_owned(),
    }
}

fn fill_hosts(addresses: &mut [String], ip: IpAddr) {
    for address in addresses {
        *address = with_host(address, ip);
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links")
            .field("identity", &self.identity)
            .field("links", &self.count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_host_gets_the_one_it_was_met_at() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(address("0.0.0.0", 1), ":1");
        assert_eq!(address("::", 1), ":1");
        assert_eq!(address("::1", 1), "[::1]:1");
        assert_eq!(address("name", 1), "name:1");
        assert_eq!(with_host(":1", ip("10.0.0.1")), "10.0.0.1:1");
        assert_eq!(with_host(":1", ip("fe80::1")), "[fe80::1]:1");
        assert_eq!(with_host("name:1", ip("10.0.0.1")), "name:1");
    }
}
