//! The task behind one address: connects to the node there, again and again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hitherto_platform::Connection;
use hitherto_protocol::link::RefusalKind;
use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::handshake::{Met, NoLink, Talk, greet};
use super::link::Origin;
use super::{Links, NodeId, session};
use crate::config::{RouteUrl, RouteUser};
use crate::stop::StopSignal;

/// One try to connect may take so long: 2 s.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Two nodes that hear of each other at the same moment need only one link: the one with the larger id
/// leaves the other so long to connect: 300 ms.
const YIELD: Duration = Duration::from_millis(300);

/// Of failures in a row the log has the first and every 60th.
const LOG_EVERY: u32 = 60;

/// Where another node is to be found.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    pub(super) url: RouteUrl,
    pub(super) origin: Origin,
    /// Who is said to be there.
    pub(super) node: Option<NodeId>,
}

/// What comes after a try.
enum Next {
    /// Try again.
    Retry,
    /// There is a link to this node; try again when there is none.
    Linked(NodeId),
    /// It leads nowhere.
    GiveUp,
}

/// Connects until the node stops or, for an address that was only heard of, it has failed too often.
pub(super) async fn run(links: Arc<Links>, mut goal: Goal, mut stop: StopSignal) {
    let mut backoff = Backoff::new(links.parts.entropy.u64());
    let mut failures = 0;
    if let Some(node) = goal.node.filter(|node| links.yields_to(*node)) {
        // Both only wait.
        tokio::select! {
            () = sleep(YIELD) => {}
            () = stop.stopped() => return,
        }
        if links.is_linked(node) {
            return;
        }
    }
    while !stop.is_stopped() {
        if let Some(node) = goal.node.filter(|node| links.is_linked(*node)) {
            if goal.origin == Origin::Learned {
                return;
            }
            // Both only wait.
            tokio::select! {
                () = links.unlinked(node) => {}
                () = stop.stopped() => return,
            }
        }
        // Connecting leaves nothing behind when it is given up.
        let dialed = tokio::select! {
            dialed = dial(&links, &goal) => dialed,
            () = stop.stopped() => return,
        };
        let next = match dialed {
            Ok(met) => {
                let node = met.mark.node;
                goal.node = Some(node);
                match session::run(&links, met, stop.clone()).await {
                    Ok(()) => {
                        failures = 0;
                        backoff.reset();
                        Next::Retry
                    }
                    Err(error) => after_failure(&error, &goal),
                }
            }
            Err(error) => {
                failures += 1;
                log_failure(&goal, failures, &error);
                after_failure(&error, &goal)
            }
        };
        let is_learned = goal.origin == Origin::Learned;
        match next {
            Next::GiveUp => return,
            Next::Retry if is_learned && failures > links.options().connect_retries => return,
            Next::Linked(node) => goal.node = Some(node),
            Next::Retry => {}
        }
        // Both only wait.
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = stop.stopped() => return,
        }
    }
}

fn after_failure(error: &NoLink, goal: &Goal) -> Next {
    let (NoLink::Refused(refusal) | NoLink::RefusedByPeer(refusal)) = error else {
        return Next::Retry;
    };
    match (refusal.kind, goal.node) {
        (RefusalKind::SameProcess, _) => Next::GiveUp,
        (RefusalKind::Linked, Some(node)) => Next::Linked(node),
        _ => Next::Retry,
    }
}

fn log_failure(goal: &Goal, failures: u32, error: &NoLink) {
    let address = goal.url.address();
    if let NoLink::Refused(refusal) | NoLink::RefusedByPeer(refusal) = error
        && matches!(refusal.kind, RefusalKind::SameProcess | RefusalKind::Linked)
    {
        // The usual case where every node has the same list of addresses.
        return tracing::debug!("no link by {address}: {error}");
    }
    match failures % LOG_EVERY {
        1 => tracing::error!(
            "Error trying to connect to route {address} (attempt {failures}): {error}"
        ),
        _ => tracing::debug!(
            "Error trying to connect to route {address} (attempt {failures}): {error}"
        ),
    }
}

/// One try.
async fn dial(links: &Links, goal: &Goal) -> Result<Met, NoLink> {
    let (connection, peer) = connect(links, &goal.url).await?;
    let options = links.options();
    let user: Option<&RouteUser> = goal.url.user.as_ref().or(options.user.as_ref());
    let handshake = async {
        let connection = match &links.tls {
            Some(tls) => tls.connect(connection, &goal.url.host).await?,
            None => connection,
        };
        greet(links, Talk::new(connection), (peer, goal.origin), user).await
    };
    let met = timeout(options.auth_timeout, handshake).await;
    met.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Tries the addresses of a host one after the other.
async fn connect(links: &Links, url: &RouteUrl) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for addr in lookup_host((url.host.as_str(), url.port)).await? {
        match timeout(CONNECT_MAX, links.parts.net.connect(addr)).await {
            Ok(Ok(connection)) => return Ok((connection, addr)),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}
