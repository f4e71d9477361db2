//! Frames to bytes, each appended to a buffer.

use bytes::{BufMut as _, BytesMut};
use serde::Serialize;

use super::frame::{Channel, Frame, Interest, SpaceId};
use super::{FRAME_BYTES_MAX, HEADER_BYTES};

pub(super) const HELLO: u8 = 1;
pub(super) const ACCEPT: u8 = 2;
pub(super) const REFUSE: u8 = 3;
pub(super) const PING: u8 = 4;
pub(super) const PONG: u8 = 5;
pub(super) const NEWS: u8 = 6;
pub(super) const PEERS: u8 = 7;
pub(super) const INTEREST: u8 = 8;
pub(super) const MESSAGE: u8 = 9;
pub(super) const BYTES: u8 = 10;

/// The message is for plain subscriptions.
pub(super) const PLAIN: u8 = 1;
/// It has a reply subject.
pub(super) const REPLY: u8 = 2;
/// It has a header block, which may be empty.
pub(super) const HEADERS: u8 = 4;
/// It goes to another subject than its own.
pub(super) const TO: u8 = 8;

/// Interest in a queue group.
pub(super) const QUEUED: u8 = 1;

/// Something is too long for a frame; the buffer is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too long for a frame between nodes")]
pub struct TooLong;

/// The parts of a message that is sent on, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct RoutedParts<'a> {
    /// See [`Routed::space`](super::Routed::space).
    pub space: SpaceId,
    /// See [`Routed::plain`](super::Routed::plain).
    pub plain: bool,
    /// See [`Routed::subject`](super::Routed::subject).
    pub subject: &'a str,
    /// See [`Routed::to`](super::Routed::to).
    pub to: Option<&'a str>,
    /// See [`Routed::reply`](super::Routed::reply).
    pub reply: Option<&'a str>,
    /// See [`Routed::headers`](super::Routed::headers).
    pub headers: Option<&'a [u8]>,
    /// See [`Routed::payload`](super::Routed::payload).
    pub payload: &'a [u8],
}

/// Writes any frame.
///
/// # Errors
/// [`TooLong`] when a part of it does not fit its field, or all of it is longer than [`FRAME_BYTES_MAX`].
pub fn frame(buf: &mut BytesMut, frame: &Frame) -> Result<(), TooLong> {
    match frame {
        Frame::Hello(hello) => json(buf, HELLO, &**hello),
        Frame::Accept => framed(buf, ACCEPT, |_| Ok(())),
        Frame::Refuse(refusal) => json(buf, REFUSE, refusal),
        Frame::Ping(number) => framed(buf, PING, |buf| put_number(buf, *number)),
        Frame::Pong(number) => framed(buf, PONG, |buf| put_number(buf, *number)),
        Frame::News(news) => json(buf, NEWS, news),
        Frame::Peers(peers) => json(buf, PEERS, peers),
        Frame::Interest(told) => interest(buf, told),
        Frame::Message(routed) => {
            let parts = RoutedParts {
                space: routed.space,
                plain: routed.plain,
                subject: routed.subject.as_str(),
                to: routed.to.as_ref().map(|to| to.as_str()),
                reply: routed.reply.as_ref().map(|reply| reply.as_str()),
                headers: routed.headers.as_deref(),
                payload: &routed.payload,
            };
            let queues = routed.queues.iter().map(|queue| &**queue);
            message(buf, &parts, &queues)
        }
        Frame::Bytes { channel, bytes } => self::bytes(buf, *channel, bytes),
    }
}

/// Writes [`Frame::Interest`].
///
/// # Errors
/// [`TooLong`].
pub fn interest(buf: &mut BytesMut, interest: &Interest) -> Result<(), TooLong> {
    framed(buf, INTEREST, |buf| {
        let filter = interest.filter.as_str();
        buf.put_u8(interest.space.0);
        buf.put_u8(if interest.queue.is_some() { QUEUED } else { 0 });
        buf.put_u32_le(interest.members);
        buf.put_u16_le(length(filter)?);
        buf.put_slice(filter.as_bytes());
        buf.put_slice(interest.queue.as_deref().unwrap_or_default().as_bytes());
        Ok(())
    })
}

/// Writes [`Frame::Message`] without gathering its parts first.
///
/// # Errors
/// [`TooLong`].
pub fn message<'a>(
    buf: &mut BytesMut,
    parts: &RoutedParts<'_>,
    queues: &(impl Iterator<Item = &'a str> + Clone),
) -> Result<(), TooLong> {
    framed(buf, MESSAGE, |buf| {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags = flag(parts.plain, PLAIN)
            | flag(parts.reply.is_some(), REPLY)
            | flag(parts.headers.is_some(), HEADERS)
            | flag(parts.to.is_some(), TO);
        let (to, reply) = (
            parts.to.unwrap_or_default(),
            parts.reply.unwrap_or_default(),
        );
        let headers = parts.headers.unwrap_or_default();
        buf.put_u8(parts.space.0);
        buf.put_u8(flags);
        buf.put_u16_le(u16::try_from(queues.clone().count()).map_err(|_| TooLong)?);
        buf.put_u16_le(length(parts.subject)?);
        buf.put_u16_le(length(to)?);
        buf.put_u16_le(length(reply)?);
        buf.put_u32_le(u32::try_from(headers.len()).map_err(|_| TooLong)?);
        for queue in queues.clone() {
            buf.put_u16_le(length(queue)?);
            buf.put_slice(queue.as_bytes());
        }
        for part in [parts.subject, to, reply] {
            buf.put_slice(part.as_bytes());
        }
        buf.put_slice(headers);
        buf.put_slice(parts.payload);
        Ok(())
    })
}

/// Writes [`Frame::Bytes`].
///
/// # Errors
/// [`TooLong`].
pub fn bytes(buf: &mut BytesMut, channel: Channel, bytes: &[u8]) -> Result<(), TooLong> {
    framed(buf, BYTES, |buf| {
        buf.put_u8(channel_code(channel));
        buf.put_slice(bytes);
        Ok(())
    })
}

pub(super) fn channel_code(channel: Channel) -> u8 {
    match channel {
        Channel::Control => 0,
        Channel::Append => 1,
        Channel::Bulk => 2,
    }
}

fn json(buf: &mut BytesMut, kind: u8, document: &impl Serialize) -> Result<(), TooLong> {
    framed(buf, kind, |buf| {
        serde_json::to_writer(buf.writer(), document).map_err(|_| TooLong)
    })
}

fn put_number(buf: &mut BytesMut, number: u64) -> Result<(), TooLong> {
    buf.put_u64_le(number);
    Ok(())
}

fn length(text: &str) -> Result<u16, TooLong> {
    u16::try_from(text.len()).map_err(|_| TooLong)
}

/// Writes a frame around what `body` writes; nothing when that fails.
fn framed(
    buf: &mut BytesMut,
    kind: u8,
    body: impl FnOnce(&mut BytesMut) -> Result<(), TooLong>,
) -> Result<(), TooLong> {
    let begin = buf.len();
    buf.put_bytes(0, HEADER_BYTES);
    buf.put_u8(kind);
    let written = body(buf).and_then(|()| close_frame(&mut buf[begin..]));
    if written.is_err() {
        buf.truncate(begin);
    }
    written
}

/// Fills in length and checksum of the frame that `frame` is.
fn close_frame(frame: &mut [u8]) -> Result<(), TooLong> {
    let (header, content) = frame.split_at_mut(HEADER_BYTES);
    if content.len() > FRAME_BYTES_MAX {
        return Err(TooLong);
    }
    let length = u32::try_from(content.len()).map_err(|_| TooLong)?;
    let (length_field, checksum_field) = header.split_at_mut(4);
    length_field.copy_from_slice(&length.to_le_bytes());
    checksum_field.copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
    Ok(())
}
