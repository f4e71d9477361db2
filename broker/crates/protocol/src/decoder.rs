//! Turns the bytes of a client into operations.
//!
//! The buffer belongs to the caller: read into it, call [`Decoder::decode`] until it says `None`,
//! read again. A publish shares the buffer's memory. Answering, closing and checking of subjects
//! belong to the connection. Framing follows nats-server 2.15, `server/parser.go`.

use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::verb::Verb;
use crate::words::{Words, argument_range, parse_size};
use crate::{ClientOp, Connect, DecodeError, Publish};

/// What one operation may weigh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest argument part of a line in bytes, also of CONNECT (`max_control_line`). Verb and
    /// blanks before the arguments may take another 16 bytes. Differs from nats-server, where those
    /// blanks are not limited.
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
    /// When the client breaks the protocol or a limit. Nothing is taken out of `buf` then, and the
    /// next call fails the same way: the connection is to be closed after
    /// [`DecodeError::wire_text`] is sent.
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

    /// Other limits from the next operation on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many more bytes the operation at hand needs before [`Decoder::decode`] can give it; 0
    /// when that is not known. A reader reserves so much, and a large payload is not moved while it
    /// comes in. At most `payload_bytes_max` and 2 more.
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

    /// Decodes the line in front of the LF at `line_end`; `None` when its payload has not come in
    /// full.
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
                let line = copy_line(buf, line_end);
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

/// Whatever the limits say, no operation outgrows a quarter of the address space.
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
    let line = copy_line(buf, line_end);
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
    let line = copy_line(buf, line_end);
    Ok(ClientOp::Unsubscribe {
        sid: line.slice(sid.clone()),
        max: (max > 0).then_some(max),
    })
}

/// Takes a line into memory of its own: a subscription lives long and must not keep a whole read
/// buffer alive.
fn copy_line(buf: &mut BytesMut, line_end: usize) -> Bytes {
    let line = Bytes::copy_from_slice(&buf[..line_end]);
    buf.advance(line_end + 1);
    line
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_shares_the_buffer_and_a_subscription_does_not() {
        let mut buf = BytesMut::from("PUB a 5\r\nhello\r\nSUB a 1\r\n");
        let memory = buf.as_ptr_range();
        let mut decoder = Decoder::new(Limits::default());
        let Ok(Some(ClientOp::Publish(publish))) = decoder.decode(&mut buf) else {
            panic!()
        };
        assert!(memory.contains(&publish.payload.as_ptr()));
        assert!(memory.contains(&publish.subject.as_ptr()));
        let Ok(Some(ClientOp::Subscribe { subject, .. })) = decoder.decode(&mut buf) else {
            panic!()
        };
        assert!(!memory.contains(&subject.as_ptr()));
    }

    #[test]
    fn a_partial_line_is_scanned_once() {
        let mut buf = BytesMut::from("SUB abc");
        let mut decoder = Decoder::new(Limits::default());
        assert!(decoder.decode(&mut buf).unwrap().is_none());
        assert!(matches!(decoder.state, State::Line { scanned: 7 }));
        buf.extend_from_slice(b" 1\r\n");
        assert!(decoder.decode(&mut buf).unwrap().is_some());
        assert!(matches!(decoder.state, State::Line { scanned: 0 }));
    }

    #[test]
    fn a_reader_is_told_how_much_of_a_payload_is_missing() {
        let mut buf = BytesMut::from("PUB a 10\r\nabc");
        let mut decoder = Decoder::new(Limits::default());
        assert_eq!(decoder.missing_bytes(&buf), 0);
        assert!(decoder.decode(&mut buf).unwrap().is_none());
        assert_eq!(decoder.missing_bytes(&buf), 9);
    }

    #[test]
    fn an_error_takes_nothing_and_repeats_itself() {
        for sent in [
            "BAD\r\n",
            "PUB a x\r\n",
            "PUB a 1\r\nab\r\n",
            "SUB\r\n",
            "CONNECT x\r\n",
        ] {
            let mut buf = BytesMut::from(sent);
            let mut decoder = Decoder::new(Limits::default());
            let first = decoder.decode(&mut buf).unwrap_err().to_string();
            assert_eq!(
                decoder.decode(&mut buf).unwrap_err().to_string(),
                first,
                "{sent:?}"
            );
            assert_eq!(buf, sent);
        }
    }

    #[test]
    fn limits_of_any_size_do_not_overflow() {
        let limits = Limits {
            control_line_bytes_max: usize::MAX,
            payload_bytes_max: usize::MAX,
        };
        let mut buf = BytesMut::from("PUB a 4611686018427387904\r\n");
        let error = Decoder::new(limits).decode(&mut buf).unwrap_err();
        assert!(matches!(error, DecodeError::PayloadTooLarge { .. }));
        let mut buf = BytesMut::from("PUB a 4611686018427387903\r\nabc");
        assert!(Decoder::new(limits).decode(&mut buf).unwrap().is_none());
    }
}
