//! The task of one connection: reads, decodes, hands operations to the session, and ends it all.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use hitherto_platform::{Clock, Connection, ReadHalf};
use hitherto_protocol::{ClientOp, Connect, DecodeError, Decoder, Limits};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};

use super::at_once::AtOnce;
use super::client::{Client, ClientEvent};
use super::handshake::info_for;
use super::outbound::Outbound;
use super::session::{Session, Violation};
use super::{Clients, CloseReason, trace, writer};
use crate::account::Accounts;
use crate::config::ClientLimits;
use crate::pubsub::SubscriberId;
use crate::room::Room;
use crate::settings::Settings;
use crate::stop::StopSignal;
use crate::tls::{self, Opened};

/// The first read of a connection takes at most 4 KiB; reads that fill their buffer make the next larger.
const READ_BYTES_MIN: usize = 4 * 1024;

/// One read takes at most 64 KiB.
const READ_BYTES_MAX: usize = 64 * 1024;

/// The first PING goes to a client after 2 s, as in nats-server 2.15 (`firstClientPingInterval` in
/// `server/const.go`).
const FIRST_PING: Duration = Duration::from_secs(2);

/// After an `-ERR` that closes the connection, what the client still sends is thrown away for so long:
/// closing a socket with unread bytes would make the kernel throw away the `-ERR`.
const LINGER: Duration = Duration::from_millis(500);

/// What all connections of a node share.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) accounts: Accounts,
    pub(crate) room: Room,
    /// What a reload changes.
    pub(crate) settings: watch::Sender<Arc<Settings>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) clients: Arc<Clients>,
    /// What happens to connections, for those who watch.
    pub(crate) events: mpsc::Sender<ClientEvent>,
}

impl Environment {
    /// What holds now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }
}

/// Serves one client until it goes, breaks the rules, or the node stops.
pub(crate) async fn serve(
    environment: Arc<Environment>,
    connection: Box<dyn Connection>,
    peer: SocketAddr,
    mut stop: StopSignal,
) {
    let mut changes = environment.settings.subscribe();
    let settings = Arc::clone(&changes.borrow_and_update());
    let limits = &settings.limits;
    let id = environment.accounts.next_subscriber_id();
    let client = begin(&environment, &settings, id, peer);
    let outbound = client.outbound();
    let opening = Box::pin(open(&settings, connection, id, peer));
    // Opening is not taken up again: the connection ends.
    let opened = tokio::select! {
        opened = opening => opened,
        () = stop.stopped() => Err(io::ErrorKind::ConnectionAborted.into()),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tracing::debug!(client = id.0, %peer, %error, "TLS handshake error");
            outbound.close(CloseReason::TlsFailed, None);
            return environment.clients.remove(&client);
        }
    };
    let (socket, write_half, shared) = opened.connection.split_shared();
    if let Some(shared) = shared {
        outbound.set_at_once(AtOnce::new(shared, &client));
    }
    // A set of one, because dropping it stops the writer.
    let mut writer = JoinSet::new();
    writer.spawn(writer::run(
        Arc::clone(&client),
        write_half,
        limits.write_deadline,
    ));
    tracing::debug!("{} - Client connection created", outbound.tracer.who());

    let session = Session::new(
        environment.accounts.clone(),
        Arc::clone(&client),
        Arc::clone(&settings),
        peer,
        opened.info_sent,
    );
    let mut reader = Reader {
        environment: &environment,
        client: &client,
        outbound,
        socket,
        buffer: BytesMut::new(),
        read_bytes: READ_BYTES_MIN,
        decoder: Decoder::new(decoder_limits(limits)),
        session,
        first_ping: limits.ping_interval > FIRST_PING,
        settings: Arc::clone(&settings),
        changes,
    };
    reader.run(stop).await;

    let Reader {
        socket, session, ..
    } = reader;
    // Its subscriptions end before the last bytes are written.
    drop(session);
    if outbound.is_given_up() {
        writer.abort_all();
    }
    writer.join_next().await;
    conclude(&environment, &client, socket).await;
}

/// The handshake, where there is one.
async fn open(
    settings: &Settings,
    connection: Box<dyn Connection>,
    id: SubscriberId,
    peer: SocketAddr,
) -> io::Result<Opened> {
    match &settings.tls {
        Some(tls) => tls::open(connection, tls, &info_for(&settings.info, id, peer)).await,
        None => Ok(Opened {
            connection,
            info_sent: false,
        }),
    }
}

/// Turns a client away because there are too many: INFO, `-ERR`, close.
pub(crate) async fn refuse(
    environment: Arc<Environment>,
    connection: Box<dyn Connection>,
    peer: SocketAddr,
) {
    let settings = environment.settings();
    let limits = &settings.limits;
    let id = environment.accounts.next_subscriber_id();
    let client = begin(&environment, &settings, id, peer);
    let outbound = client.outbound();
    let (socket, write_half) = connection.split();
    let info = info_for(&settings.info, id, peer);
    outbound.push_line(|buffer| hitherto_protocol::encode::info(&info, buffer));
    outbound.close(
        CloseReason::TooManyConnections,
        Some("maximum connections exceeded"),
    );
    writer::run(Arc::clone(&client), write_half, limits.write_deadline).await;
    conclude(&environment, &client, socket).await;
}

struct Reader<'a> {
    environment: &'a Environment,
    client: &'a Client,
    outbound: &'a Outbound,
    socket: ReadHalf,
    buffer: BytesMut,
    read_bytes: usize,
    decoder: Decoder,
    session: Session,
    /// The next PING is the early one.
    first_ping: bool,
    settings: Arc<Settings>,
    changes: watch::Receiver<Arc<Settings>>,
}

impl Reader<'_> {
    /// Reads until the connection ends; the reason is in the outbound side.
    async fn run(&mut self, mut stop: StopSignal) {
        let (outbound, room) = (self.outbound, &self.environment.room);
        let mut ending = pin!(async {
            // Both only wait, and the first to come ends the connection.
            tokio::select! {
                () = outbound.closed() => {}
                () = stop.stopped() => outbound.close(CloseReason::Shutdown, None),
            }
        });
        let mut ping = ping_timer(self.settings.limits.ping_interval);
        let mut connect_due = pin!(sleep(self.settings.auth.connect_timeout()));
        self.session.flush();
        loop {
            let missing = self.decoder.missing_bytes(&self.buffer);
            self.buffer.reserve(self.read_bytes.max(missing));
            // Reading is cancel safe: bytes are in the buffer or still in the socket.
            let read = tokio::select! {
                read = self.socket.read_buf(&mut self.buffer) => read,
                () = &mut ending => return,
                _ = ping.tick() => {
                    self.handle_ping_due();
                    continue;
                }
                () = &mut connect_due, if self.session.awaits_connect() => {
                    let text = "Authentication Timeout";
                    return self.outbound.close(CloseReason::AuthTimedOut, Some(text));
                }
                Ok(()) = self.changes.changed() => {
                    if self.handle_change().is_break() {
                        return;
                    }
                    continue;
                }
            };
            let bytes = match read {
                Ok(0) => return self.outbound.close(CloseReason::ClientClosed, None),
                Ok(bytes) => bytes,
                Err(_) => return self.outbound.close(CloseReason::ReadFailed, None),
            };
            self.client.note_activity();
            let flow = self.handle_buffer().await;
            self.session.flush();
            self.adapt_read_bytes(bytes);
            if let Some(crowded) = self.session.take_crowded() {
                crowded.give_way().await;
            }
            if flow.is_break() || wait_for_room(room, ending.as_mut()).await.is_break() {
                return;
            }
        }
    }

    /// Takes every whole operation out of the buffer.
    async fn handle_buffer(&mut self) -> ControlFlow<()> {
        loop {
            let handled = match self.decoder.decode(&mut self.buffer) {
                Ok(None) => return ControlFlow::Continue(()),
                Ok(Some(ClientOp::Connect(connect))) => {
                    if trace::is_on() {
                        self.outbound.tracer.connect(&connect);
                    }
                    self.handle_connect(&connect).await
                }
                Ok(Some(op)) => self.session.handle_op(op),
                Err(error) => Err(self.violation_of(&error)),
            };
            if let Err(violation) = handled {
                self.outbound.close(violation.reason, violation.text);
                return ControlFlow::Break(());
            }
        }
    }

    /// CONNECT: who the client is may take a while to find out.
    async fn handle_connect(&mut self, connect: &Connect) -> Result<(), Violation> {
        let admission = self.settings.auth.admit(connect).await;
        self.session.handle_connect(connect, admission)
    }

    fn violation_of(&self, error: &DecodeError) -> Violation {
        let is_connect = matches!(
            error,
            DecodeError::InvalidConnect { .. } | DecodeError::ControlLineTooLong { .. }
        );
        if self.session.awaits_connect() && !is_connect {
            // Whoever must say who it is learns nothing else.
            return Violation::NOT_AUTHORIZED;
        }
        let client = self.outbound.subscriber().0;
        tracing::debug!(client, %error, "client broke the protocol");
        Violation {
            reason: reason_of(error),
            text: error.wire_text(),
        }
    }

    /// The node goes by other settings from now on.
    fn handle_change(&mut self) -> ControlFlow<()> {
        self.settings = Arc::clone(&self.changes.borrow_and_update());
        self.decoder
            .set_limits(decoder_limits(&self.settings.limits));
        let changed = self.session.handle_change(&self.settings);
        self.session.flush();
        if let Err(violation) = changed {
            self.outbound.close(violation.reason, violation.text);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn handle_ping_due(&mut self) {
        if std::mem::take(&mut self.first_ping) && !self.session.takes_early_ping() {
            return;
        }
        let limits = &self.settings.limits;
        if self.session.handle_ping_due(limits.pings_outstanding_max) {
            self.session.flush();
        } else {
            self.outbound
                .close(CloseReason::StaleConnection, Some("Stale Connection"));
        }
    }

    /// Busy connections read much at once; idle ones keep little memory.
    fn adapt_read_bytes(&mut self, read: usize) {
        if read >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if read < self.read_bytes / 4 && self.read_bytes > READ_BYTES_MIN {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
        }
    }
}

/// Stops reading while the log has no room; the client's own socket then fills up. What was read already
/// is in the log's hands.
async fn wait_for_room(room: &Room, ending: Pin<&mut impl Future<Output = ()>>) -> ControlFlow<()> {
    if room.is_there() {
        return ControlFlow::Continue(());
    }
    // Both only wait.
    tokio::select! {
        () = room.wait() => ControlFlow::Continue(()),
        () = ending => ControlFlow::Break(()),
    }
}

/// The first PING comes early: it tells how far away the client is.
fn ping_timer(period: Duration) -> Interval {
    let first = period.min(FIRST_PING);
    let mut timer = interval_at(Instant::now() + first, period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

/// Makes a connection known to the node.
fn begin(
    environment: &Environment,
    settings: &Settings,
    id: SubscriberId,
    peer: SocketAddr,
) -> Arc<Client> {
    let outbound = Arc::new(Outbound::new(id, settings.limits.pending_bytes_max));
    let (clock, events) = (&environment.clock, &environment.events);
    outbound.tracer.begin(id, peer);
    let client = Client::new(outbound, peer, Arc::clone(clock), events.clone());
    let client = Arc::new(client);
    environment.clients.add(&client);
    client
}

/// What is left to do when nothing is written any more.
async fn conclude(environment: &Environment, client: &Client, mut socket: ReadHalf) {
    environment.clients.remove(client);
    let id = client.id().0;
    let reason = client.outbound().close_reason();
    let why = reason.map_or("", CloseReason::text);
    let who = client.outbound().tracer.who();
    tracing::debug!("{who} - Client connection closed: {why}");
    match reason {
        Some(reason) if reason.is_slow_consumer() => {
            tracing::warn!(client = id, "Slow Consumer Detected");
        }
        Some(
            CloseReason::ProtocolViolation
            | CloseReason::PayloadTooLarge
            | CloseReason::ControlLineTooLong
            | CloseReason::NotAuthorized
            | CloseReason::AuthTimedOut
            | CloseReason::TooManyConnections
            | CloseReason::StaleConnection,
        ) => {
            timeout(LINGER, throw_away(&mut socket)).await.ok();
        }
        _ => {}
    }
}

fn decoder_limits(limits: &ClientLimits) -> Limits {
    Limits {
        control_line_bytes_max: limits.control_line_bytes_max,
        payload_bytes_max: limits.payload_bytes_max,
    }
}

fn reason_of(error: &DecodeError) -> CloseReason {
    match error {
        DecodeError::PayloadTooLarge { .. } => CloseReason::PayloadTooLarge,
        DecodeError::ControlLineTooLong { .. } => CloseReason::ControlLineTooLong,
        _ => CloseReason::ProtocolViolation,
    }
}

async fn throw_away(socket: &mut ReadHalf) {
    let mut buffer = BytesMut::with_capacity(READ_BYTES_MIN);
    while socket
        .read_buf(&mut buffer)
        .await
        .is_ok_and(|read| read > 0)
    {
        buffer.clear();
    }
}
