//! What both sides say before there is a link.
//!
//! ```text
//! who connected                      who was connected to
//!   Hello  ----------------------->
//!          <-----------------------  Hello, or Refuse and the end
//!   Accept, or Refuse and the end ->
//! ```
//!
//! Each judges the other, so each knows and logs why there is no link. The side that connected decides last,
//! so that the other one counts on a link only when it is there.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use hitherto_platform::Connection;
use hitherto_protocol::link::{
    Credentials, FRAME_BYTES_MAX_BEFORE_HELLO, Frame, FrameDecoder, FrameError, Hello, Refusal,
    RefusalKind, encode,
};
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Links;
use super::judge::{LinkMark, refusal};
use super::link::Origin;
use crate::config::RouteUser;

/// Another node, with which a link may begin.
pub(super) struct Met {
    /// What it said of itself, with the addresses filled in.
    pub(super) hello: Hello,
    pub(super) mark: LinkMark,
    pub(super) origin: Origin,
    pub(super) peer: SocketAddr,
    pub(super) talk: Talk,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLink {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("it says something else than hello; is it the port for clients?")]
    Unexpected,
    /// This node said so.
    #[error("{}", .0.text)]
    Refused(Refusal),
    /// The other node said so.
    #[error("the other node refuses: {}", .0.text)]
    RefusedByPeer(Refusal),
}

/// A connection on which frames are exchanged one after the other.
pub(super) struct Talk {
    pub(super) connection: Box<dyn Connection>,
    /// What was read and is not decoded.
    pub(super) buffer: BytesMut,
    decoder: FrameDecoder,
}

impl Talk {
    pub(super) fn new(connection: Box<dyn Connection>) -> Self {
        Self {
            connection,
            buffer: BytesMut::new(),
            decoder: FrameDecoder::new(FRAME_BYTES_MAX_BEFORE_HELLO),
        }
    }

    async fn say(&mut self, frame: &Frame) -> Result<(), NoLink> {
        let mut bytes = BytesMut::new();
        encode::frame(&mut bytes, frame).map_err(io::Error::other)?;
        self.connection.write_all(&bytes).await?;
        self.connection.flush().await?;
        Ok(())
    }

    /// The next frame. Never more is read than belongs to it and what the other side sent along.
    async fn hear(&mut self) -> Result<Frame, NoLink> {
        loop {
            match self.decoder.decode(&mut self.buffer)? {
                Some(Frame::Refuse(refusal)) => return Err(NoLink::RefusedByPeer(refusal)),
                Some(frame) => return Ok(frame),
                None => {}
            }
            if self.connection.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    async fn hear_hello(&mut self) -> Result<Hello, NoLink> {
        match self.hear().await? {
            Frame::Hello(hello) => Ok(*hello),
            _ => Err(NoLink::Unexpected),
        }
    }

    /// Tells the other side why there will be no link.
    pub(super) async fn refuse(&mut self, refusal: Refusal) -> NoLink {
        // It may have gone already, and the reason stays the same.
        self.say(&Frame::Refuse(refusal.clone())).await.ok();
        self.connection.shutdown().await.ok();
        NoLink::Refused(refusal)
    }
}

/// Introduces this node to one it has connected to.
pub(super) async fn greet(
    links: &Links,
    mut talk: Talk,
    (peer, origin): (SocketAddr, Origin),
    user: Option<&RouteUser>,
) -> Result<Met, NoLink> {
    let mut hello = links.hello(peer.ip());
    hello.credentials = user.map(|user| Credentials {
        user: user.name.clone(),
        password: user.password.clone(),
    });
    talk.say(&Frame::Hello(Box::new(hello))).await?;
    let hello = talk.hear_hello().await?;
    match links.judge(&hello, true) {
        Ok(mark) => Ok(links.met(hello, mark, talk, (peer, origin))),
        Err(refusal) => Err(talk.refuse(refusal).await),
    }
}

/// Hears who has connected, and introduces this node.
pub(super) async fn receive(
    links: &Links,
    mut talk: Talk,
    peer: SocketAddr,
) -> Result<Met, NoLink> {
    let hello = talk.hear_hello().await?;
    let judged = match is_authorized(links.options().user.as_ref(), &hello) {
        true => links.judge(&hello, false),
        false => Err(refusal(
            RefusalKind::NotAuthorized,
            format!("node {:?} is not authorized", hello.server_name),
        )),
    };
    let mark = match judged {
        Ok(mark) => mark,
        Err(refusal) => return Err(talk.refuse(refusal).await),
    };
    let own = links.hello(peer.ip());
    talk.say(&Frame::Hello(Box::new(own))).await?;
    match talk.hear().await? {
        Frame::Accept => Ok(links.met(hello, mark, talk, (peer, Origin::Accepted))),
        _ => Err(NoLink::Unexpected),
    }
}

/// Compared in constant time, as the passwords of clients.
fn is_authorized(user: Option<&RouteUser>, hello: &Hello) -> bool {
    let Some(user) = user else {
        return true;
    };
    let Some(credentials) = &hello.credentials else {
        return false;
    };
    let same = |one: &str, other: &str| one.as_bytes().ct_eq(other.as_bytes());
    let is_user = same(&user.name, &credentials.user);
    let is_password = same(user.password.expose(), credentials.password.expose());
    (is_user & is_password).into()
}
