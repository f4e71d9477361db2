//! What a node knows about one client connection: for those who watch it.
//!
//! The connection's own tasks write it, once per read or write and not once per message; everybody else
//! only reads.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hitherto_platform::Clock;
use hitherto_protocol::{Connect, ServerInfo, Timestamp, encode};
use tokio::sync::mpsc::Sender;

use super::handshake::info_for;
use super::vitals::{Traffic, Vitals};
use super::{CloseReason, Outbound};
use crate::account::Account;
use crate::pubsub::SubscriberId;

/// One connection, while it lives.
pub(crate) struct Client {
    id: SubscriberId,
    peer: SocketAddr,
    outbound: Arc<Outbound>,
    events: Sender<ClientEvent>,
    vitals: Vitals,
    subscriptions: AtomicUsize,
    takes_info: AtomicBool,
    /// `None` until CONNECT.
    identity: Mutex<Option<Identity>>,
}

/// Who a client is, by its CONNECT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) account: Account,
    /// The user it was let in as; `None` when nobody is asked.
    pub(crate) user: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) lang: Option<String>,
    pub(crate) version: Option<String>,
}

/// Something those who watch want to hear of at once.
#[derive(Debug, Clone)]
pub(crate) enum ClientEvent {
    /// A client has said who it is.
    Connected(ClientReport),
    /// The connection of such a client has ended.
    Disconnected(ClientReport),
    /// A client was not let in.
    Refused(ClientReport),
}

/// A connection at one moment, or at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientReport {
    pub(crate) id: SubscriberId,
    pub(crate) peer: SocketAddr,
    pub(crate) identity: Identity,
    pub(crate) started: Timestamp,
    /// Of this report, or of the end of the connection.
    pub(crate) at: Timestamp,
    pub(crate) last_activity: Timestamp,
    /// `None` while it is not known.
    pub(crate) rtt: Option<Duration>,
    pub(crate) pending_bytes: usize,
    /// What came from the client.
    pub(crate) received: Traffic,
    /// What was delivered to it.
    pub(crate) sent: Traffic,
    /// How often a publisher waited for it.
    pub(crate) stalls: u64,
    pub(crate) subscriptions: usize,
    /// `None` while it lives.
    pub(crate) reason: Option<CloseReason>,
}

impl Client {
    /// A connection that begins.
    pub(super) fn new(
        outbound: Arc<Outbound>,
        peer: SocketAddr,
        clock: Arc<dyn Clock>,
        events: Sender<ClientEvent>,
    ) -> Self {
        Self {
            id: outbound.subscriber(),
            peer,
            outbound,
            events,
            vitals: Vitals::new(clock),
            subscriptions: AtomicUsize::new(0),
            takes_info: AtomicBool::new(false),
            identity: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> SubscriberId {
        self.id
    }

    /// Its side of the socket.
    pub(crate) fn outbound(&self) -> &Arc<Outbound> {
        &self.outbound
    }

    /// Something was read from the client or written to it.
    pub(super) fn note_activity(&self) {
        self.vitals.note_activity();
    }

    /// The client published so much since the last call.
    pub(super) fn note_received(&self, received: Traffic) {
        self.vitals.note_received(received);
    }

    /// The client has so many subscriptions now.
    pub(super) fn note_subscriptions(&self, subscriptions: usize) {
        self.subscriptions.store(subscriptions, Ordering::Relaxed);
    }

    /// CONNECT has come. As in nats-server, the time since the socket was accepted stands for the round
    /// trip until the first PING is answered.
    pub(super) fn note_connect(&self, connect: &Connect, account: Account, user: Option<String>) {
        let identity = Identity {
            account,
            user,
            name: connect.name.clone(),
            lang: connect.lang.clone(),
            version: connect.version.clone(),
        };
        *self.identity() = Some(identity);
        if self.vitals.rtt().is_none() {
            let since = self.vitals.started();
            self.note_rtt(self.vitals.now().saturating_duration_since(since));
        }
        self.tell(ClientEvent::Connected);
    }

    /// Nothing is written any more. Gives what it was.
    pub(super) fn end(&self) -> ClientReport {
        let reason = self.outbound.close_reason();
        if self.identity().is_some() {
            self.tell(ClientEvent::Disconnected);
        } else if reason.is_some_and(CloseReason::is_refusal) {
            self.tell(ClientEvent::Refused);
        }
        self.report()
    }

    /// Events nobody takes fast enough are left out.
    fn tell(&self, event: impl FnOnce(ClientReport) -> ClientEvent) {
        self.events.try_send(event(self.report())).ok();
    }

    /// The clock of intervals.
    pub(super) fn monotonic(&self) -> Duration {
        self.vitals.clock().monotonic()
    }

    /// A PING was answered after so long.
    pub(super) fn note_rtt(&self, rtt: Duration) {
        self.vitals.note_rtt(rtt);
    }

    /// The node is about to stop, and the client should be elsewhere.
    pub(crate) fn send_away(&self) {
        self.outbound.close(CloseReason::Shutdown, None);
    }

    /// Tells the client to connect elsewhere; `false` when it does not take INFO at any time, or not yet.
    pub(crate) fn tell_to_leave(&self, node: &ServerInfo) -> bool {
        if !self.takes_info.load(Ordering::Acquire) {
            return false;
        }
        let mut info = info_for(node, self.id, self.peer);
        info.ldm = true;
        self.outbound
            .push_line(|buffer| encode::info(&info, buffer));
        self.outbound.wake_writer();
        true
    }

    /// The client has got its second INFO: it takes more at any time.
    pub(super) fn note_takes_info(&self) {
        self.takes_info.store(true, Ordering::Release);
    }

    /// Ends the connection.
    pub(crate) fn kick(&self) {
        self.outbound.close(CloseReason::Kicked, None);
    }

    /// Its account.
    pub(crate) fn account(&self) -> Account {
        self.identity()
            .as_ref()
            .map(|identity| identity.account)
            .unwrap_or_default()
    }

    /// The connection as it is now.
    pub(crate) fn report(&self) -> ClientReport {
        let outbound = self.outbound.figures();
        ClientReport {
            id: self.id,
            peer: self.peer,
            identity: self.identity().clone().unwrap_or_default(),
            started: self.vitals.started(),
            at: self.vitals.now(),
            last_activity: self.vitals.last_activity(),
            rtt: self.vitals.rtt(),
            pending_bytes: outbound.pending_bytes,
            received: self.received(),
            sent: outbound.sent,
            stalls: outbound.stalls,
            subscriptions: self.subscriptions.load(Ordering::Relaxed),
            reason: self.outbound.close_reason(),
        }
    }

    /// What came from the client so far.
    pub(crate) fn received(&self) -> Traffic {
        self.vitals.received()
    }

    fn identity(&self) -> std::sync::MutexGuard<'_, Option<Identity>> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
