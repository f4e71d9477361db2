//! What each operation of a client does. No IO: answers go into the outbound buffer.
//!
//! Texts and order of answers follow nats-server 2.15, observed on the wire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use hitherto_protocol::{
    ClientOp, Connect, HeadersBuilder, Publish, ServerInfo, Subject, SubjectFilter, encode,
};

use super::client::Client;
use super::handshake::{ClientOptions, connect_info, info_for};
use super::outbound::Pushed;
use super::subscriptions::{Subscriptions, TooManySubscriptions};
use super::vitals::Traffic;
use super::{CloseReason, Outbound, trace};
use crate::account::{Account, Accounts};
use crate::auth::{Admission, DeliveryGuard, Permissions};
use crate::pubsub::{Crowded, Message, Origin, Publisher, SubscriberId, Target};
use crate::settings::Settings;

/// Subjects of the inside of a cluster: clients may not publish to them, nor ask for answers there.
const RAFT_PREFIX: &str = "$NRG.";
const ROUTED_REPLY_PREFIX: &str = "_R_.";

/// The server's side of the conversation with one client.
#[derive(Debug)]
pub(super) struct Session {
    options: ClientOptions,
    id: SubscriberId,
    info: ServerInfo,
    /// CONNECT has come.
    connected: bool,
    /// Who the client is; `None` until CONNECT says so, where it must.
    admission: Option<Admission>,
    /// What is delivered to the client must pass it.
    guard: Option<Arc<DeliveryGuard>>,
    settings: Arc<Settings>,
    connect_info_sent: bool,
    client: Arc<Client>,
    outbound: Arc<Outbound>,
    /// Published since the last [`Session::flush`].
    received: Traffic,
    /// Our own answers wait for [`Session::flush`].
    wake_own_writer: bool,
    /// Whose subjects it sees.
    account: Account,
    accounts: Accounts,
    publisher: Publisher,
    subscriptions: Subscriptions,
    /// PINGs of ours without a PONG.
    pings_outstanding: u32,
    /// When the first of them went out, by the monotonic clock.
    pinged_at: Option<Duration>,
}

/// The client broke the protocol: the connection is closed, after an `-ERR` if there is a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) reason: CloseReason,
    pub(super) text: Option<&'static str>,
}

impl Violation {
    /// The client may not be here.
    pub(super) const NOT_AUTHORIZED: Self = Self {
        reason: CloseReason::NotAuthorized,
        text: Some("Authorization Violation"),
    };

    fn of_protocol(text: Option<&'static str>) -> Self {
        Self {
            reason: CloseReason::ProtocolViolation,
            text,
        }
    }
}

impl Session {
    /// A conversation that begins: INFO is on its way to the client, or was sent before the handshake.
    pub(super) fn new(
        accounts: Accounts,
        client: Arc<Client>,
        settings: Arc<Settings>,
        peer: SocketAddr,
        info_sent: bool,
    ) -> Self {
        let outbound = Arc::clone(client.outbound());
        let id = client.id();
        let account = Account::Ordinary;
        let router = accounts.router(account);
        let mut session = Self {
            options: ClientOptions::default(),
            id,
            info: info_for(&settings.info, id, peer),
            connected: false,
            admission: None,
            guard: None,
            connect_info_sent: false,
            wake_own_writer: false,
            publisher: router.publisher(Origin::Client(id)),
            subscriptions: Subscriptions::new(
                Arc::clone(router),
                Arc::clone(&outbound),
                settings.limits.subscriptions_max,
            ),
            client,
            outbound,
            account,
            accounts,
            received: Traffic::default(),
            pings_outstanding: 0,
            pinged_at: None,
            settings,
        };
        if let Some(admission) = session.settings.auth.without_credentials() {
            session.admit(admission);
        }
        if !info_sent {
            session.push_info();
        }
        session
    }

    /// Takes one operation.
    ///
    /// # Errors
    /// When the connection must be closed.
    pub(super) fn handle_op(&mut self, op: ClientOp) -> Result<(), Violation> {
        if self.admission.is_none() {
            return Err(Violation::NOT_AUTHORIZED);
        }
        if trace::is_on() {
            self.outbound.tracer.operation(&op);
        }
        match op {
            ClientOp::Publish(publish) => self.handle_publish(publish)?,
            ClientOp::Subscribe {
                subject,
                queue,
                sid,
            } => self.handle_subscribe(&subject, queue.as_deref(), &sid),
            ClientOp::Unsubscribe { sid, max } => {
                self.subscriptions.unsubscribe(&sid, max);
                self.client.note_subscriptions(self.subscriptions.len());
                self.push_ok();
            }
            ClientOp::Ping => self.handle_ping(),
            ClientOp::Pong => self.handle_pong(),
            // Taken by the reader, which finds out who the client is.
            ClientOp::Connect(_) | ClientOp::Info | ClientOp::Ok => {}
            ClientOp::Err(text) => {
                let text = String::from_utf8_lossy(&text);
                tracing::debug!(client = self.id.0, %text, "client reports an error");
                return Err(Violation::of_protocol(None));
            }
        }
        Ok(())
    }

    /// Tells whether the client gets a PING early. Differs from nats-server: one that speaks the original
    /// protocol, most likely by hand, is left alone until `ping_interval`.
    pub(super) fn takes_early_ping(&self) -> bool {
        self.options.takes_async_info
    }

    /// The PING timer has run out. `false` when too many PINGs are unanswered: the client is stale.
    pub(super) fn handle_ping_due(&mut self, pings_outstanding_max: u32) -> bool {
        if self.pings_outstanding >= pings_outstanding_max {
            return false;
        }
        self.pings_outstanding += 1;
        self.pinged_at.get_or_insert(self.client.monotonic());
        self.push_line(encode::ping);
        true
    }

    /// Lets the writers of all that was published and answered go to work. To be called before waiting.
    pub(super) fn flush(&mut self) {
        self.publisher.flush();
        let received = std::mem::take(&mut self.received);
        if received.messages > 0 {
            self.client.note_received(received);
        }
        if std::mem::take(&mut self.wake_own_writer) {
            self.outbound.wake_writer();
        }
    }

    /// The receiver to give way to before reading on, if there is one.
    pub(super) fn take_crowded(&mut self) -> Option<Crowded> {
        self.publisher.take_crowded()
    }

    /// Takes CONNECT. `admission` is `None` when the client may not be here.
    ///
    /// # Errors
    /// When the connection must be closed.
    pub(super) fn handle_connect(
        &mut self,
        connect: &Connect,
        admission: Option<Admission>,
    ) -> Result<(), Violation> {
        let admission = admission.ok_or_else(|| {
            let user = connect.user.as_deref();
            tracing::debug!(client = self.id.0, user, "client is not authorized");
            Violation::NOT_AUTHORIZED
        })?;
        let options = ClientOptions::from_connect(connect)
            .map_err(|text| Violation::of_protocol(Some(text)))?;
        if std::mem::replace(&mut self.connected, true) {
            // As nats-server 2.15: a second CONNECT may be another user, and begins without subscriptions.
            self.subscriptions.clear();
        }
        self.admit(admission);
        self.options = options;
        let user = self.admission.as_ref().and_then(Admission::user_name);
        self.client
            .note_connect(connect, self.account, user.map(str::to_owned));
        let account = &self.accounts.get(self.account).name;
        self.outbound.tracer.connected(connect, account);
        self.outbound.set_headers(options.headers);
        self.publisher.set_origin(self.origin());
        tracing::debug!(
            client = self.id.0,
            name = connect.name,
            lang = connect.lang,
            version = connect.version,
            "client connected"
        );
        self.push_ok();
        Ok(())
    }

    /// From now on the client is this one: in its account, with its permissions.
    fn admit(&mut self, admission: Admission) {
        if admission.account != self.account {
            self.account = admission.account;
            let router = self.accounts.router(self.account);
            self.publisher = router.publisher(self.origin());
            self.subscriptions.move_to(Arc::clone(router));
        }
        let permissions = admission.permissions();
        self.guard = permissions
            .and_then(Permissions::delivery_guard)
            .map(Arc::new);
        self.outbound.set_guard(self.guard.clone());
        self.admission = Some(admission);
    }

    /// Tells whether CONNECT must come before anything else.
    pub(super) fn awaits_connect(&self) -> bool {
        self.admission.is_none()
    }

    /// Goes by other settings from now on: the client may not be welcome any more, or may do less.
    ///
    /// # Errors
    /// When the connection must be closed.
    pub(super) fn handle_change(&mut self, settings: &Arc<Settings>) -> Result<(), Violation> {
        self.settings = Arc::clone(settings);
        self.handle_news(&settings.info);
        self.subscriptions
            .set_max(settings.limits.subscriptions_max);
        let Some(admission) = &self.admission else {
            return Ok(());
        };
        let readmitted = settings.auth.readmit(admission);
        self.admit(readmitted.ok_or(Violation::NOT_AUTHORIZED)?);
        let permissions = self.admission.as_ref().and_then(Admission::permissions);
        let Some(permissions) = permissions else {
            return Ok(());
        };
        let denied = self
            .subscriptions
            .end_unless(|filter, queue| permissions.may_subscribe(filter, queue));
        for (filter, queue, sid) in denied {
            let sid = String::from_utf8_lossy(&sid);
            let text = subscribe_violation(filter.as_str(), queue.as_deref());
            self.push_err(&format!("{text} (sid \"{sid}\")"));
        }
        self.client.note_subscriptions(self.subscriptions.len());
        Ok(())
    }

    /// The node tells of itself or of others what clients should know at once. Clients that do not take INFO
    /// at any time find out when they connect again; those that have just come get it with the answer to
    /// their first PING, as from nats-server.
    fn handle_news(&mut self, node: &ServerInfo) {
        let leaves = node.ldm && !self.info.ldm;
        let goes_elsewhere = node.connect_urls != self.info.connect_urls;
        self.info.ldm = node.ldm;
        self.info.connect_urls.clone_from(&node.connect_urls);
        let takes = self.options.takes_async_info;
        if takes && (leaves || (goes_elsewhere && self.connect_info_sent)) {
            self.push_info();
        }
    }

    fn origin(&self) -> Origin {
        if self.options.echo {
            Origin::Client(self.id)
        } else {
            Origin::ClientWithoutEcho(self.id)
        }
    }

    fn permissions(&self) -> Option<&Permissions> {
        self.admission.as_ref().and_then(Admission::permissions)
    }

    /// Tells whether the client may publish to a subject, by its permissions or as an answer.
    fn may_publish(&self, subject: &[u8]) -> bool {
        let Some(permissions) = self.permissions() else {
            return true;
        };
        let Ok(subject) = std::str::from_utf8(subject) else {
            return false;
        };
        let may_answer = |guard: &DeliveryGuard| guard.may_answer(subject);
        permissions.may_publish(subject) || self.guard.as_deref().is_some_and(may_answer)
    }

    /// PONG is a barrier: what the client sent before is done. It goes into the same buffer as the
    /// deliveries that it follows.
    fn handle_ping(&mut self) {
        self.push_line(encode::pong);
        if self.options.takes_async_info && !self.connect_info_sent {
            self.connect_info_sent = true;
            let account = self.accounts.get(self.account);
            let is_system = self.account == Account::System;
            let info = std::mem::take(&mut self.info);
            self.info = connect_info(info, &account.name, is_system);
            self.info.auth_required = self.settings.auth.has_credentials();
            self.push_info();
            self.client.note_takes_info();
        }
    }

    fn handle_pong(&mut self) {
        self.pings_outstanding = 0;
        if let Some(pinged_at) = self.pinged_at.take() {
            let rtt = self.client.monotonic().saturating_sub(pinged_at);
            self.client.note_rtt(rtt);
        }
    }

    fn handle_subscribe(&mut self, subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) {
        // Copies: the parts belong to the read buffer.
        let filter = std::str::from_utf8(subject)
            .ok()
            .and_then(|subject| SubjectFilter::new(subject.to_owned()).ok());
        let queue = queue
            .map(|queue| std::str::from_utf8(queue).map(ByteString::from))
            .transpose();
        let (Some(filter), Ok(queue)) = (filter, queue) else {
            // Differs from nats-server: subjects and queue names must be UTF-8.
            self.push_err("Invalid Subject");
            return;
        };
        let permissions = self.permissions();
        if permissions
            .is_some_and(|permissions| !permissions.may_subscribe(&filter, queue.as_deref()))
        {
            self.push_err(&subscribe_violation(filter.as_str(), queue.as_deref()));
            return;
        }
        match self.subscriptions.subscribe(filter, queue, sid) {
            Ok(()) => {
                self.client.note_subscriptions(self.subscriptions.len());
                self.push_ok();
            }
            Err(TooManySubscriptions) => self.push_err("maximum subscriptions exceeded"),
        }
    }

    fn handle_publish(&mut self, publish: Publish) -> Result<(), Violation> {
        let headers = publish.headers.as_ref().map_or(0, Bytes::len);
        self.received.messages += 1;
        self.received.bytes += (headers + publish.payload.len()) as u64;
        if publish.headers.is_some() && !self.options.headers {
            return Err(Violation::of_protocol(None));
        }
        if !self.may_publish(&publish.subject) {
            self.push_err(&publish_violation(&publish.subject));
            return Ok(());
        }
        if let Some(text) = forbidden(&publish) {
            self.push_err(&text);
            return Ok(());
        }
        let subject = Subject::from_bytes(publish.subject.clone());
        let is_literal = subject
            .as_ref()
            .is_ok_and(|subject| !self.options.pedantic || !subject.has_wildcard());
        if self.options.pedantic && !is_literal {
            self.push_err("Invalid Publish Subject");
        }
        self.push_ok();
        // Differs from nats-server, which hands on any bytes: a reply subject nobody could publish to is
        // left out.
        let reply = publish
            .reply
            .and_then(|reply| Subject::from_bytes(reply).ok());

        let reached_nobody = match subject {
            Ok(subject) => {
                let message = Message {
                    subject,
                    reply: reply.clone(),
                    headers: publish.headers,
                    payload: publish.payload,
                };
                self.publisher.publish(&message).reached_nobody()
            }
            // An empty token matches no filter, so as in nats-server such a message reaches nobody.
            Err(_) => true,
        };
        if let (true, true, Some(reply)) = (reached_nobody, self.options.no_responders, reply) {
            self.push_no_responders(&reply, &publish.subject);
        }
        Ok(())
    }

    /// Tells the publisher that nobody listens, if it waits for answers on this connection
    /// (`subForReply` in nats-server 2.15 `server/client.go`). It does not count for UNSUB max.
    fn push_no_responders(&mut self, reply: &Subject, subject: &Bytes) {
        let router = self.publisher.router();
        let Some(subscription) = router.own_subscription(reply, self.id) else {
            return;
        };
        let mut headers = HeadersBuilder::new();
        headers.status(503, "");
        let subject = String::from_utf8_lossy(subject);
        // A subject holds no line break, so it can be the value of a header.
        headers.insert("Nats-Subject", &subject).ok();
        let status = Message {
            subject: reply.clone(),
            reply: None,
            headers: Some(headers.build().as_bytes().clone()),
            payload: Bytes::new(),
        };
        if let Target::Client { outbound, sid } = subscription.target() {
            self.note(outbound.push_message(sid, &status));
        }
    }

    fn push_info(&mut self) {
        let pushed = self
            .outbound
            .push_line(|buffer| encode::info(&self.info, buffer));
        self.note(pushed);
    }

    fn push_ok(&mut self) {
        if self.options.verbose {
            self.push_line(encode::ok);
        }
    }

    fn push_err(&mut self, text: &str) {
        self.push_line(|buffer| encode::err(buffer, text));
    }

    fn push_line(&mut self, encode: impl FnOnce(&mut bytes::BytesMut)) {
        let pushed = self.outbound.push_line(encode);
        self.note(pushed);
    }

    fn note(&mut self, pushed: Pushed) {
        // When the outbound side is closed, the reader hears of it by itself.
        self.wake_own_writer |= pushed == Pushed::WakeWriter;
    }
}

fn publish_violation(subject: &[u8]) -> String {
    let subject = String::from_utf8_lossy(subject);
    format!("Permissions Violation for Publish to \"{subject}\"")
}

fn subscribe_violation(filter: &str, queue: Option<&str>) -> String {
    let queue = queue.map(|queue| format!(" using queue \"{queue}\""));
    let queue = queue.unwrap_or_default();
    format!("Permissions Violation for Subscription to \"{filter}\"{queue}")
}

/// The text of a permissions violation, if the message may not be published.
fn forbidden(publish: &Publish) -> Option<String> {
    if publish.subject.starts_with(RAFT_PREFIX.as_bytes()) {
        return Some(publish_violation(&publish.subject));
    }
    let reply = publish.reply.as_deref().unwrap_or_default();
    reply.starts_with(ROUTED_REPLY_PREFIX.as_bytes()).then(|| {
        let reply = String::from_utf8_lossy(reply);
        format!("Permissions Violation for Publish with Reply of \"{reply}\"")
    })
}
