//! The task that owns all others of the links: accepts connections, connects to addresses, and joins what
//! has ended.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hitherto_platform::{Connection, Listener};
use hitherto_protocol::link::{PeerAddress, RefusalKind};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::dialer::{self, Goal};
use super::handshake::{NoLink, Talk, receive};
use super::link::Origin;
use super::links::LINKS_MAX;
use super::{Links, session};
use crate::stop::StopSignal;

/// Connections that were accepted, with or without a link yet; more are closed at once.
const ACCEPTED_MAX: usize = 2 * LINKS_MAX;

/// Addresses that were heard of and are tried at a time; more wait until they are told again.
const LEARNED_MAX: usize = 2 * LINKS_MAX;

/// The nodes tell each other who there is when somebody comes or goes, and this often: every 5 s.
const GOSSIP_INTERVAL: Duration = Duration::from_secs(5);

/// After a failed accept the next one waits: 100 ms.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A stopping node waits so long for its links to write what they have: 5 s.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Runs the links of a node until it stops. Dropping the future ends all of them at once.
pub(crate) async fn run(links: Arc<Links>, listener: Box<dyn Listener>, mut stop: StopSignal) {
    let Some(mut learned) = links.take_learned() else {
        return;
    };
    let mut accepted = JoinSet::new();
    let mut dialers = Dialers {
        links: Arc::clone(&links),
        stop: stop.clone(),
        addresses: BTreeSet::new(),
        tasks: JoinSet::new(),
    };
    for url in &links.options().routes {
        dialers.start(Goal {
            url: url.clone(),
            origin: Origin::Configured,
            node: None,
        });
    }
    let mut gossip = interval(GOSSIP_INTERVAL);
    gossip.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Accepting, receiving, joining and ticking are cancel safe; stopping ends the loop.
        tokio::select! {
            connection = listener.accept() => match connection {
                Ok((connection, peer)) if accepted.len() < ACCEPTED_MAX => {
                    accepted.spawn(accept(Arc::clone(&links), connection, peer, stop.clone()));
                }
                Ok((_, peer)) => tracing::warn!(%peer, "too many connections of other nodes"),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of another node");
                    sleep(ACCEPT_RETRY).await;
                }
            },
            Some(peer) = learned.recv() => dialers.start_learned(&peer),
            Some(_) = accepted.join_next() => {}
            Some(ended) = dialers.tasks.join_next() => dialers.note_ended(ended),
            _ = gossip.tick() => links.gossip(),
            () = stop.stopped() => break,
        }
    }
    drop(listener);
    let all_ended = async {
        while accepted.join_next().await.is_some() {}
        while dialers.tasks.join_next().await.is_some() {}
    };
    timeout(CLOSE_WAIT, all_ended).await.ok();
}

/// The tasks that connect, by address.
struct Dialers {
    links: Arc<Links>,
    stop: StopSignal,
    /// One task each.
    addresses: BTreeSet<String>,
    /// Each gives its address when it ends.
    tasks: JoinSet<String>,
}

impl Dialers {
    fn start(&mut self, goal: Goal) {
        let address = goal.url.address();
        if self.addresses.insert(address.clone()) {
            let task = dialer::run(Arc::clone(&self.links), goal, self.stop.clone());
            self.tasks.spawn(async {
                task.await;
                address
            });
        }
    }

    fn start_learned(&mut self, peer: &PeerAddress) {
        if self.addresses.len() >= LEARNED_MAX + self.links.options().routes.len() {
            return;
        }
        match peer.link_address.parse() {
            Ok(url) => self.start(Goal {
                url,
                origin: Origin::Learned,
                node: peer.node_id.parse().ok(),
            }),
            Err(error) => {
                let node = &peer.server_name;
                tracing::warn!(node, %error, "another node tells an address that is none");
            }
        }
    }

    fn note_ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(address) => {
                self.addresses.remove(&address);
            }
            Err(error) => {
                tracing::error!(%error, "a task that connects to another node has failed")
            }
        }
    }
}

/// A connection of another node, until it ends.
async fn accept(
    links: Arc<Links>,
    connection: Box<dyn Connection>,
    peer: SocketAddr,
    stop: StopSignal,
) {
    let handshake = async {
        let connection = match &links.tls {
            Some(tls) => tls.accept(connection).await?,
            None => connection,
        };
        receive(&links, Talk::new(connection), peer).await
    };
    let mut stopped = stop.clone();
    // Nothing is left of a handshake that is given up.
    let met = tokio::select! {
        met = timeout(links.options().auth_timeout, handshake) => met,
        () = stopped.stopped() => return,
    };
    let met = met.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
    let served = match met {
        Ok(met) => session::run(&links, met, stop).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        log_refusal(peer, &error);
    }
}

fn log_refusal(peer: SocketAddr, error: &NoLink) {
    if let NoLink::Refused(refusal) | NoLink::RefusedByPeer(refusal) = error
        && matches!(refusal.kind, RefusalKind::SameProcess | RefusalKind::Linked)
    {
        return tracing::debug!("{peer} - no link: {error}");
    }
    tracing::error!("{peer} - Router connection refused: {error}");
}
