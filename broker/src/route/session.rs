//! The task of one link: reads what the other node says, until the link ends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use hitherto_platform::ReadHalf;
use hitherto_protocol::link::{
    FRAME_BYTES_MAX, Frame, FrameDecoder, Refusal, RefusalKind, Routed, encode,
};
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::handshake::{Met, NoLink};
use super::link::Link;
use super::link_end::LinkEnd;
use super::remote_interest::{Rejected, RemoteInterest};
use super::{Links, writer};
use crate::account::Account;
use crate::connection::Traffic;
use crate::pubsub::{Addressees, Message, Origin, Publisher};
use crate::stop::StopSignal;

/// One read takes at most 256 KiB, or what is missing of a frame.
const READ_BYTES: usize = 256 * 1024;

/// After the end what waits has so long to be written: 2 s.
const DRAIN_WAIT: Duration = Duration::from_secs(2);

/// Makes a link of a node that was met, and serves it until it ends.
///
/// # Errors
/// When there is a better link already; the other node was told.
pub(super) async fn run(links: &Arc<Links>, met: Met, stop: StopSignal) -> Result<(), NoLink> {
    let link = match links.admit(&met) {
        Ok(link) => link,
        Err(refusal) => {
            let mut talk = met.talk;
            return Err(talk.refuse(refusal).await);
        }
    };
    let (rid, peer, name) = (link.rid, link.peer, link.name());
    tracing::info!("{peer} - rid:{rid} - Route connection created - Remote: {name}");
    let end = serve(links, &link, met, stop).await;
    let text = end.text();
    tracing::info!("{peer} - rid:{rid} - Router connection closed: {text} - Remote: {name}");
    Ok(())
}

async fn serve(links: &Arc<Links>, link: &Arc<Link>, met: Met, stop: StopSignal) -> LinkEnd {
    let outbound = &link.outbound;
    let write_deadline = links.parts.environment.settings().limits.write_deadline;
    let (socket, write_half) = met.talk.connection.split();
    let mut writer = JoinSet::new();
    writer.spawn(writer::run(
        Arc::clone(outbound),
        write_half,
        write_deadline,
    ));
    links.parts.interest.attach(outbound);
    // Again, now that this link carries words: the other node hears who else there is.
    links.gossip();
    let accounts = &links.parts.environment.accounts;
    let mut session = Session {
        links,
        link,
        interest: RemoteInterest::new(accounts.clone(), outbound),
        publishers: Account::ALL.map(|account| accounts.router(account).publisher(Origin::Node)),
        decoder: FrameDecoder::new(FRAME_BYTES_MAX),
        pings_outstanding: 0,
        pinged_at: None,
        received: Traffic::default(),
    };
    session.run(socket, met.talk.buffer, stop).await;
    links.parts.interest.detach(outbound);
    drop(session);
    links.retire(link);
    let end = outbound.end_reason().unwrap_or(LinkEnd::Failed);
    if end.gives_up() {
        writer.abort_all();
    }
    timeout(DRAIN_WAIT, writer.join_next()).await.ok();
    end
}

struct Session<'a> {
    links: &'a Arc<Links>,
    link: &'a Arc<Link>,
    interest: RemoteInterest,
    /// By account.
    publishers: [Publisher; Account::ALL.len()],
    decoder: FrameDecoder,
    pings_outstanding: u32,
    /// When the first unanswered PING went out, by the monotonic clock.
    pinged_at: Option<Duration>,
    /// Since the last read.
    received: Traffic,
}

impl Session<'_> {
    /// Reads until the link ends; the reason is in the outbound side.
    async fn run(&mut self, mut socket: ReadHalf, mut buffer: BytesMut, mut stop: StopSignal) {
        let outbound = &self.link.outbound;
        let mut ending = pin!(async {
            // Both only wait, and the first to come ends the link.
            tokio::select! {
                () = outbound.ended() => {}
                () = stop.stopped() => outbound.end(LinkEnd::Shutdown),
            }
        });
        let mut ping = interval(self.links.options().ping_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Err(end) = self.handle_buffer(&mut buffer) {
                return outbound.end(end);
            }
            let missing = self.decoder.missing_bytes(&buffer);
            buffer.reserve(missing.max(READ_BYTES));
            // Reading is cancel safe: bytes are in the buffer or still in the socket.
            let read = tokio::select! {
                read = socket.read_buf(&mut buffer) => read,
                () = &mut ending => return,
                _ = ping.tick() => {
                    if !self.handle_ping_due() {
                        return outbound.end(LinkEnd::Stale);
                    }
                    continue;
                }
            };
            match read {
                Ok(0) => return outbound.end(LinkEnd::ClosedByPeer),
                // Whatever it says, it lives.
                Ok(_) => self.pings_outstanding = 0,
                Err(_) => return outbound.end(LinkEnd::Failed),
            }
        }
    }

    /// Takes every whole frame out of the buffer.
    fn handle_buffer(&mut self, buffer: &mut BytesMut) -> Result<(), LinkEnd> {
        let handled = loop {
            match self.decoder.decode(buffer) {
                Ok(None) => break Ok(()),
                Ok(Some(frame)) => {
                    if let Err(end) = self.handle_frame(frame) {
                        break Err(end);
                    }
                }
                Err(error) => {
                    let node = self.link.name();
                    tracing::error!(node, %error, "another node sends what makes no sense");
                    break Err(LinkEnd::Malformed);
                }
            }
        };
        for publisher in &mut self.publishers {
            publisher.flush();
        }
        let received = std::mem::take(&mut self.received);
        if received.messages > 0 {
            self.link.note_received(received);
        }
        handled
    }

    fn handle_frame(&mut self, frame: Frame) -> Result<(), LinkEnd> {
        match frame {
            Frame::Message(routed) => self.handle_message(*routed),
            Frame::Interest(told) => {
                let handled = self.interest.handle(&told);
                self.link.note_interest(self.interest.len());
                handled.map_err(|rejected| match rejected {
                    Rejected::UnknownSpace => LinkEnd::Malformed,
                    Rejected::TooMuch => LinkEnd::TooMuchInterest,
                })
            }
            Frame::Bytes { channel, bytes } => {
                if let Some(sink) = self.links.sink() {
                    sink.receive(self.link.node(), channel, bytes);
                }
                Ok(())
            }
            Frame::Ping(number) => {
                let pong = Frame::Pong(number);
                let outbound = &self.link.outbound;
                outbound.push_word(|buffer| encode::frame(buffer, &pong));
                Ok(())
            }
            Frame::Pong(_) => {
                if let Some(pinged_at) = self.pinged_at.take() {
                    let now = self.links.parts.environment.clock.monotonic();
                    self.link.note_rtt(now.saturating_sub(pinged_at));
                }
                Ok(())
            }
            Frame::News(news) => {
                self.links.handle_news(self.link, news);
                Ok(())
            }
            Frame::Peers(peers) => {
                self.links.handle_peers(peers);
                Ok(())
            }
            Frame::Refuse(refusal) => Err(self.handle_refusal(&refusal)),
            // They come before there is a link.
            Frame::Hello(_) | Frame::Accept => Err(LinkEnd::Malformed),
        }
    }

    fn handle_message(&mut self, routed: Routed) -> Result<(), LinkEnd> {
        let Some(account) = Account::at(routed.space) else {
            return Err(LinkEnd::Malformed);
        };
        let to = routed.to.unwrap_or_else(|| routed.subject.clone());
        let message = Message {
            subject: routed.subject,
            reply: routed.reply,
            headers: routed.headers,
            payload: routed.payload,
        };
        self.received.add(Traffic {
            messages: 1,
            bytes: message.body_bytes() as u64,
        });
        let addressees = Addressees {
            plain: routed.plain,
            queues: routed.queues.as_slice(),
        };
        let publisher = &mut self.publishers[usize::from(account.space().0)];
        publisher.publish_routed(&to, &message, addressees);
        Ok(())
    }

    fn handle_refusal(&self, refusal: &Refusal) -> LinkEnd {
        let (node, text) = (self.link.name(), &refusal.text);
        match refusal.kind {
            // Both nodes connected at once, and the other link stays.
            RefusalKind::Linked => tracing::debug!(node, %text, "a second link is not needed"),
            _ => tracing::error!(node, %text, "another node ends the link"),
        }
        LinkEnd::Refused
    }

    /// The PING timer has run out. `false` when too many PINGs are unanswered.
    fn handle_ping_due(&mut self) -> bool {
        if self.pings_outstanding >= self.links.options().pings_outstanding_max {
            return false;
        }
        self.pings_outstanding += 1;
        let now = self.links.parts.environment.clock.monotonic();
        self.pinged_at.get_or_insert(now);
        let frame = Frame::Ping(0);
        let outbound = &self.link.outbound;
        outbound.push_word(|buffer| encode::frame(buffer, &frame));
        true
    }
}
