//! Turns the bytes of a client into operations.
//!
//! The buffer belongs to the caller: read into it, call [`Decoder::decode`] until it says `None`, read again.
//! Operations share the buffer's memory. Answering, closing and checking of subjects belong to the connection.
//! Framing follows nats-server 2.15, `server/parser.go`.

use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::verb::{Verb, is_blank};
use crate::{ClientOp, Connect, Publish};

/// What one operation may weigh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest argument part of a line in bytes, also of CONNECT (`max_control_line`). Verb and blanks before the
    /// arguments may take another 16 bytes. Differs from nats-server, where those blanks are not limited.
    pub control_line_bytes_max: usize,
    /// Largest message in bytes, headers and payload together (`max_payload`).
    pub payload_bytes_max: usize,
}

impl Default for Limits {
    /// The defaults of nats-server: lines of 4,096 bytes, messages of 1 MiB.
    fn default() -> Self {
        Self {
            control_line_bytes_max: 4_096,
            payload_bytes_max: 1_048_576,
        }
    }
}

/// Decodes what one client sends. Keeps its place between calls: no byte is looked at twice.
///
/// # Examples
///
/// ```
/// use bytes::BytesMut;
/// use hitherto_protocol::{ClientOp, Decoder, Limits};
///
/// let mut decoder = Decoder::new(Limits::default());
/// let mut buf = BytesMut::from("PUB orders.new 5\r\nhel");
/// assert_eq!(decoder.decode(&mut buf)?, None);
/// buf.extend_from_slice(b"lo\r\nPING\r\n");
/// assert!(matches!(decoder.decode(&mut buf)?, Some(ClientOp::Publish(_))));
/// assert_eq!(decoder.decode(&mut buf)?, Some(ClientOp::Ping));
/// # Ok::<(), hitherto_protocol::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    state: State,
}

/// Where the decoder stands in the buffer, whose first byte is always the first of an operation.
#[derive(Debug, Clone)]
enum State {
    /// The first `scanned` bytes hold no line end.
    Line { scanned: usize },
    /// The line is read; its payload has not come in full.
    Payload(PublishLine),
}

/// A PUB or HPUB line, as places in the buffer.
#[derive(Debug, Clone)]
struct PublishLine {
    subject: Range<usize>,
    reply: Option<Range<usize>>,
    headers: Range<usize>,
    payload: Range<usize>,
}

/// What a line may hold beside its arguments: the verb, blanks, CR.
const LINE_BYTES_EXTRA: usize = 16;

/// CR and LF behind a payload.
const PAYLOAD_END_BYTES: usize = 2;

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Line { scanned: 0 },
        }
    }

    /// Takes the next operation out of `buf`; `None` when it has not come in full.
    ///
    /// Between two calls bytes may only be appended to `buf`.
    ///
    /// # Errors
    ///
    /// When the client breaks the protocol or a limit. Nothing is taken out of `buf` then, and the next call fails
    /// the same way: the connection is to be closed after [`DecodeError::wire_text`] is sent.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<ClientOp>, DecodeError> {
        match &self.state {
            State::Line { scanned } => {
                let scanned = *scanned;
                self.decode_line(buf, scanned)
            }
            State::Payload(line) => {
                let op = take_publish(buf, line)?;
                if op.is_some() {
                    self.state = State::Line { scanned: 0 };
                }
                Ok(op)
            }
        }
    }

    /// How many more bytes the operation at hand needs before [`Decoder::decode`] can give it; 0 when that is not
    /// known. A reader reserves so much, and a large payload is not moved while it comes in.
    pub fn missing_bytes(&self, buf: &BytesMut) -> usize {
        match &self.state {
            State::Line { .. } => 0,
            State::Payload(line) => line.end().saturating_sub(buf.len()),
        }
    }

    fn decode_line(
        &mut self,
        buf: &mut BytesMut,
        scanned: usize,
    ) -> Result<Option<ClientOp>, DecodeError> {
        let unseen = buf.get(scanned..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', unseen) else {
            self.check_partial_line(buf)?;
            self.state = State::Line { scanned: buf.len() };
            return Ok(None);
        };
        let line_end = scanned + found;
        self.state = State::Line { scanned: line_end };
        let op = self.decode_whole_line(buf, line_end)?;
        if op.is_some() {
            self.state = State::Line { scanned: 0 };
        }
        Ok(op)
    }

    /// Refuses early what no further byte can save, so that garbage is not collected.
    fn check_partial_line(&self, line: &[u8]) -> Result<(), DecodeError> {
        if !Verb::may_start_with(line) {
            return Err(DecodeError::UnknownOperation);
        }
        self.check_line_bytes(line.len())
    }

    fn check_line_bytes(&self, line_bytes: usize) -> Result<(), DecodeError> {
        let max = self.limits.control_line_bytes_max;
        if line_bytes > max.saturating_add(LINE_BYTES_EXTRA) {
            return Err(DecodeError::ControlLineTooLong { max });
        }
        Ok(())
    }

    /// Decodes the line in front of the LF at `line_end`; `None` when its payload has not come in full.
    fn decode_whole_line(
        &mut self,
        buf: &mut BytesMut,
        line_end: usize,
    ) -> Result<Option<ClientOp>, DecodeError> {
        let line = &buf[..line_end];
        let verb = Verb::of(line).ok_or(DecodeError::UnknownOperation)?;
        self.check_line_bytes(line_end)?;
        let args = argument_range(line, verb);
        let max = self.limits.control_line_bytes_max;
        if args.len() > max {
            return Err(DecodeError::ControlLineTooLong { max });
        }
        match verb {
            Verb::Pub | Verb::Hpub => {
                let publish = self.parse_publish(line, verb, args)?;
                let op = take_publish(buf, &publish)?;
                if op.is_none() {
                    self.state = State::Payload(publish);
                }
                Ok(op)
            }
            Verb::Sub => take_subscribe(buf, line_end, args).map(Some),
            Verb::Unsub => take_unsubscribe(buf, line_end, args).map(Some),
            Verb::Connect => {
                let connect = Connect::from_json(&line[args])
                    .map_err(|source| DecodeError::InvalidConnect { source })?;
                buf.advance(line_end + 1);
                Ok(Some(ClientOp::Connect(Box::new(connect))))
            }
            Verb::Err => {
                let line = take_line(buf, line_end);
                Ok(Some(ClientOp::Err(line.slice(args))))
            }
            Verb::Ping | Verb::Pong | Verb::Info | Verb::Ok => {
                buf.advance(line_end + 1);
                Ok(Some(bare(verb)))
            }
        }
    }

    fn parse_publish(
        &self,
        line: &[u8],
        verb: Verb,
        args: Range<usize>,
    ) -> Result<PublishLine, DecodeError> {
        let malformed = || DecodeError::MalformedArguments { verb: verb.name() };
        let words = Words::split(line, args).ok_or_else(malformed)?;
        let (names, headers_size, total_size) = match (verb, words.as_slice()) {
            (Verb::Hpub, [names @ .., headers, total]) => (names, Some(headers), total),
            (Verb::Pub, [names @ .., total]) => (names, None, total),
            _ => return Err(malformed()),
        };
        let (subject, reply) = match names {
            [subject] => (subject.clone(), None),
            [subject, reply] => (subject.clone(), Some(reply.clone())),
            _ => return Err(malformed()),
        };
        let total = parse_size(&line[total_size.clone()]).ok_or_else(malformed)?;
        let headers = match headers_size {
            Some(size) => parse_size(&line[size.clone()]).ok_or_else(malformed)?,
            None => 0,
        };
        if headers > total {
            return Err(DecodeError::HeadersTooLong { headers, total });
        }
        let (headers, total) = self.check_payload(headers, total)?;
        let start = line.len() + 1;
        Ok(PublishLine {
            subject,
            reply,
            headers: start..start + headers,
            payload: start + headers..start + total,
        })
    }

    /// Compares the size a client announced with the limit; both numbers then fit in memory.
    fn check_payload(&self, headers: u64, total: u64) -> Result<(usize, usize), DecodeError> {
        let max = self.limits.payload_bytes_max.min(PAYLOAD_BYTES_CEILING);
        match (usize::try_from(headers), usize::try_from(total)) {
            (Ok(headers), Ok(total)) if total <= max => Ok((headers, total)),
            _ => Err(DecodeError::PayloadTooLarge { bytes: total, max }),
        }
    }
}

/// Whatever the limits say, no operation outgrows half the address space.
const PAYLOAD_BYTES_CEILING: usize = usize::MAX / 4;

impl PublishLine {
    /// Where the operation ends, payload end included.
    fn end(&self) -> usize {
        self.payload.end + PAYLOAD_END_BYTES
    }
}

/// Takes a PUB or HPUB with its payload; `None` when it has not come in full.
fn take_publish(buf: &mut BytesMut, line: &PublishLine) -> Result<Option<ClientOp>, DecodeError> {
    let come = buf.get(line.payload.end..).unwrap_or_default();
    match come {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => return Ok(None),
        _ => return Err(DecodeError::MalformedPayload),
    }
    let mut whole = buf.split_to(line.end()).freeze();
    let subject = whole.slice(line.subject.clone());
    let reply = line.reply.clone().map(|reply| whole.slice(reply));
    let headers = (!line.headers.is_empty()).then(|| whole.slice(line.headers.clone()));
    let payload = if line.payload.is_empty() {
        Bytes::new()
    } else {
        whole.truncate(line.payload.end);
        whole.advance(line.payload.start);
        whole
    };
    Ok(Some(ClientOp::Publish(Publish {
        subject,
        reply,
        headers,
        payload,
    })))
}

fn take_subscribe(
    buf: &mut BytesMut,
    line_end: usize,
    args: Range<usize>,
) -> Result<ClientOp, DecodeError> {
    let malformed = DecodeError::MalformedArguments {
        verb: Verb::Sub.name(),
    };
    let words = Words::split(&buf[..line_end], args);
    let (subject, queue, sid) = match words.as_ref().map(Words::as_slice) {
        Some([subject, sid]) => (subject, None, sid),
        Some([subject, queue, sid]) => (subject, Some(queue), sid),
        _ => return Err(malformed),
    };
    let line = take_line(buf, line_end);
    Ok(ClientOp::Subscribe {
        subject: line.slice(subject.clone()),
        queue: queue.map(|queue| line.slice(queue.clone())),
        sid: line.slice(sid.clone()),
    })
}

fn take_unsubscribe(
    buf: &mut BytesMut,
    line_end: usize,
    args: Range<usize>,
) -> Result<ClientOp, DecodeError> {
    let malformed = || DecodeError::MalformedArguments {
        verb: Verb::Unsub.name(),
    };
    let words = Words::split(&buf[..line_end], args);
    let (sid, max) = match words.as_ref().map(Words::as_slice) {
        Some([sid]) => (sid, 0),
        Some([sid, max]) => (sid, parse_size(&buf[max.clone()]).ok_or_else(malformed)?),
        _ => return Err(malformed()),
    };
    let line = take_line(buf, line_end);
    Ok(ClientOp::Unsubscribe {
        sid: line.slice(sid.clone()),
        max: (max > 0).then_some(max),
    })
}

fn take_line(buf: &mut BytesMut, line_end: usize) -> Bytes {
    buf.split_to(line_end + 1).freeze()
}

/// The operation of a verb without arguments that matter.
fn bare(verb: Verb) -> ClientOp {
    match verb {
        Verb::Ping => ClientOp::Ping,
        Verb::Pong => ClientOp::Pong,
        Verb::Info => ClientOp::Info,
        _ => ClientOp::Ok,
    }
}

/// What stands behind the verb: without the blanks before it and without the CR at the end.
fn argument_range(line: &[u8], verb: Verb) -> Range<usize> {
    let end = if line.last() == Some(&b'\r') {
        line.len() - 1
    } else {
        line.len()
    };
    let rest = line.get(verb.word().len()..end).unwrap_or_default();
    let blanks = rest.iter().take_while(|&&byte| is_blank(byte)).count();
    end - (rest.len() - blanks)..end
}

/// The words of a line, as places in it.
struct Words {
    places: [Range<usize>; WORDS_MAX],
    count: usize,
}

/// HPUB has most: subject, reply, header size, total size.
const WORDS_MAX: usize = 4;

impl Words {
    /// Splits at runs of blanks; `None` when there are more words than any verb takes, or a CR among them.
    fn split(line: &[u8], args: Range<usize>) -> Option<Self> {
        let mut words = Self {
            places: [const { 0..0 }; WORDS_MAX],
            count: 0,
        };
        let mut start = args.start;
        for at in args.clone() {
            match line[at] {
                b' ' | b'\t' => {
                    words.push(start..at)?;
                    start = at + 1;
                }
                b'\r' => return None,
                _ => {}
            }
        }
        words.push(start..args.end)?;
        Some(words)
    }

    fn push(&mut self, place: Range<usize>) -> Option<()> {
        if !place.is_empty() {
            *self.places.get_mut(self.count)? = place;
            self.count += 1;
        }
        Some(())
    }

    fn as_slice(&self) -> &[Range<usize>] {
        &self.places[..self.count]
    }
}

/// Reads a decimal number; `None` when it is empty, holds anything but digits, or outgrows 64 bits.
fn parse_size(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Says how a client broke the protocol.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The line begins with no verb a client may send.
    #[error("unknown protocol operation")]
    UnknownOperation,
    /// The arguments of a line, or a line whose end has not come, are too long.
    #[error("control line exceeds {max} bytes")]
    ControlLineTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// A line lacks words, has too many, or a number in it is none.
    #[error("arguments of {verb} are malformed")]
    MalformedArguments {
        /// The verb of the line.
        verb: &'static str,
    },
    /// An HPUB announces more headers than message.
    #[error("header size {headers} exceeds total size {total}")]
    HeadersTooLong {
        /// Announced size of the headers in bytes.
        headers: u64,
        /// Announced size of headers and payload in bytes.
        total: u64,
    },
    /// The announced message is larger than the limit.
    #[error("message of {bytes} bytes exceeds max_payload of {max} bytes")]
    PayloadTooLarge {
        /// Announced size of headers and payload in bytes.
        bytes: u64,
        /// The limit in bytes.
        max: usize,
    },
    /// No CRLF where the announced payload ends.
    #[error("payload is not followed by CRLF")]
    MalformedPayload,
    /// The body of CONNECT is not the JSON it should be.
    #[error("body of CONNECT is malformed")]
    InvalidConnect {
        /// What the JSON reader says.
        source: serde_json::Error,
    },
}

impl DecodeError {
    /// The text for `-ERR` before the connection is closed; `None` when it is closed silently.
    pub fn wire_text(&self) -> Option<&'static str> {
        match self {
            Self::UnknownOperation | Self::MalformedPayload => Some("Unknown Protocol Operation"),
            Self::ControlLineTooLong { .. } => Some("maximum control line exceeded"),
            Self::PayloadTooLarge { .. } => Some("Maximum Payload Violation"),
            Self::MalformedArguments { .. }
            | Self::HeadersTooLong { .. }
            | Self::InvalidConnect { .. } => None,
        }
    }
}
