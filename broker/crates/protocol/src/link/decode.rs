//! Bytes to frames.

use bytes::{Buf as _, Bytes, BytesMut};
use bytestring::ByteString;
use serde::de::DeserializeOwned;

use super::frame::{Channel, Frame, Interest, Routed, SpaceId};
use super::{FrameError, HEADER_BYTES, encode};
use crate::{Subject, SubjectFilter};

/// Takes whole frames out of a buffer. What they hold shares the buffer's memory.
#[derive(Debug, Clone)]
pub struct FrameDecoder {
    bytes_max: usize,
}

impl FrameDecoder {
    /// A decoder of frames whose kind and body have at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max }
    }

    /// Sets the bound from now on.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Takes the next frame; `None` when it is not there in full.
    ///
    /// # Errors
    /// When the bytes are no frame; the link is of no use then.
    pub fn decode(&self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some((length, checksum)) = header(buf) else {
            return Ok(None);
        };
        self.check(length)?;
        if buf.len() - HEADER_BYTES < length {
            return Ok(None);
        }
        buf.advance(HEADER_BYTES);
        let content = buf.split_to(length).freeze();
        if crc32c::crc32c(&content) != checksum {
            return Err(FrameError::Checksum { bytes: length });
        }
        read(content).map(Some)
    }

    /// How many bytes are missing from the frame that has begun; 0 when that is not known yet.
    pub fn missing_bytes(&self, buf: &[u8]) -> usize {
        match header(buf) {
            Some((length, _)) if self.check(length).is_ok() => {
                (HEADER_BYTES + length).saturating_sub(buf.len())
            }
            _ => 0,
        }
    }

    fn check(&self, bytes: usize) -> Result<(), FrameError> {
        let max = self.bytes_max;
        if bytes > max {
            return Err(FrameError::TooLong { bytes, max });
        }
        Ok(())
    }
}

/// Length and checksum.
fn header(mut buf: &[u8]) -> Option<(usize, u32)> {
    let length = buf.try_get_u32_le().ok()?;
    let checksum = buf.try_get_u32_le().ok()?;
    Some((usize::try_from(length).unwrap_or(usize::MAX), checksum))
}

fn read(mut content: Bytes) -> Result<Frame, FrameError> {
    let kind = content.try_get_u8().map_err(|_| FrameError::Kind(0))?;
    match kind {
        encode::HELLO => json("hello", &content).map(|hello| Frame::Hello(Box::new(hello))),
        encode::ACCEPT => match content.is_empty() {
            true => Ok(Frame::Accept),
            false => Err(malformed("accept", "it has a body")),
        },
        encode::REFUSE => json("refuse", &content).map(Frame::Refuse),
        encode::PING => number("ping", content).map(Frame::Ping),
        encode::PONG => number("pong", content).map(Frame::Pong),
        encode::NEWS => json("news", &content).map(Frame::News),
        encode::PEERS => json("peers", &content).map(Frame::Peers),
        encode::INTEREST => interest(Fields::new("interest", content)).map(Frame::Interest),
        encode::MESSAGE => {
            let routed = message(Fields::new("message", content))?;
            Ok(Frame::Message(Box::new(routed)))
        }
        encode::BYTES => {
            let mut fields = Fields::new("bytes", content);
            let code = fields.u8()?;
            let is_meant = |channel: &Channel| encode::channel_code(*channel) == code;
            let channel = Channel::ALL.into_iter().find(is_meant);
            let channel = channel.ok_or_else(|| fields.malformed("unknown channel"))?;
            let bytes = fields.rest();
            Ok(Frame::Bytes { channel, bytes })
        }
        kind => Err(FrameError::Kind(kind)),
    }
}

fn json<T: DeserializeOwned>(frame: &'static str, body: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(body).map_err(|error| malformed(frame, &error.to_string()))
}

fn number(frame: &'static str, mut body: Bytes) -> Result<u64, FrameError> {
    let number = body.try_get_u64_le();
    match number {
        Ok(number) if body.is_empty() => Ok(number),
        _ => Err(malformed(frame, "its body is not 8 bytes")),
    }
}

fn interest(mut fields: Fields) -> Result<Interest, FrameError> {
    let space = SpaceId(fields.u8()?);
    let flags = fields.u8()?;
    let members = fields.u32()?;
    let filter_bytes = fields.u16()?;
    let filter = fields.text(filter_bytes)?;
    let filter = SubjectFilter::new(filter).map_err(|error| fields.malformed(&error))?;
    let queue = match flags {
        0 if fields.is_empty() => None,
        encode::QUEUED => Some(fields.rest_text()?),
        _ => return Err(fields.malformed("flags")),
    };
    Ok(Interest {
        space,
        filter,
        queue,
        members,
    })
}

fn message(mut fields: Fields) -> Result<Routed, FrameError> {
    let space = SpaceId(fields.u8()?);
    let flags = fields.u8()?;
    let queue_count = fields.u16()?;
    let [subject_bytes, to_bytes, reply_bytes] = [fields.u16()?, fields.u16()?, fields.u16()?];
    let headers_bytes = usize::try_from(fields.u32()?).unwrap_or(usize::MAX);
    let has = |flag: u8| flags & flag != 0;
    // Grows with what is really there, whatever the count says.
    let mut queues = Vec::new();
    for _ in 0..queue_count {
        let bytes = fields.u16()?;
        queues.push(fields.text(bytes)?);
    }
    let subject = fields.subject(subject_bytes)?;
    let to = fields.optional(has(encode::TO), to_bytes, Fields::subject)?;
    let reply = fields.optional(has(encode::REPLY), reply_bytes, Fields::subject)?;
    let headers = fields.optional(has(encode::HEADERS), headers_bytes, Fields::take)?;
    Ok(Routed {
        space,
        plain: has(encode::PLAIN),
        queues,
        subject,
        to,
        reply,
        headers,
        payload: fields.rest(),
    })
}

/// Reads the fields of a body one after the other.
struct Fields {
    frame: &'static str,
    body: Bytes,
}

impl Fields {
    fn new(frame: &'static str, body: Bytes) -> Self {
        Self { frame, body }
    }

    fn malformed(&self, problem: &(impl ToString + ?Sized)) -> FrameError {
        malformed(self.frame, &problem.to_string())
    }

    fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    fn u8(&mut self) -> Result<u8, FrameError> {
        let read = self.body.try_get_u8();
        read.map_err(|error| self.malformed(&error))
    }

    fn u16(&mut self) -> Result<usize, FrameError> {
        let read = self.body.try_get_u16_le();
        read.map(usize::from)
            .map_err(|error| self.malformed(&error))
    }

    fn u32(&mut self) -> Result<u32, FrameError> {
        let read = self.body.try_get_u32_le();
        read.map_err(|error| self.malformed(&error))
    }

    fn take(&mut self, bytes: usize) -> Result<Bytes, FrameError> {
        if bytes > self.body.len() {
            return Err(self.malformed("a field is longer than the frame"));
        }
        Ok(self.body.split_to(bytes))
    }

    fn text(&mut self, bytes: usize) -> Result<ByteString, FrameError> {
        let text = ByteString::try_from(self.take(bytes)?);
        text.map_err(|error| self.malformed(&error))
    }

    fn subject(&mut self, bytes: usize) -> Result<Subject, FrameError> {
        let subject = Subject::from_bytes(self.take(bytes)?);
        subject.map_err(|error| self.malformed(&error))
    }

    /// A field that may be absent, and has no bytes then.
    fn optional<T>(
        &mut self,
        is_there: bool,
        bytes: usize,
        read: impl FnOnce(&mut Self, usize) -> Result<T, FrameError>,
    ) -> Result<Option<T>, FrameError> {
        match is_there {
            true => read(self, bytes).map(Some),
            false if bytes == 0 => Ok(None),
            false => Err(self.malformed("an absent field has bytes")),
        }
    }

    fn rest(self) -> Bytes {
        self.body
    }

    fn rest_text(&mut self) -> Result<ByteString, FrameError> {
        self.text(self.body.len())
    }
}

fn malformed(frame: &'static str, problem: &str) -> FrameError {
    FrameError::Malformed {
        frame,
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
