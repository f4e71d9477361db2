//! Writes protocol lines into a buffer, without allocating apart from the buffer's own growth.
//!
//! What a server sends comes first; [`client_op`] is for tests, tools and measurements that play
//! the client. Nothing is checked: subjects, sids and header blocks were checked when they came in.

use bytes::{BufMut as _, BytesMut};

use crate::{ClientOp, Publish, ServerInfo};

/// `INFO {json} \r\n`; nats-server 2.15 leaves a space before the line end, and so do we.
///
/// # Panics
///
/// Never: the fields of [`ServerInfo`] are texts, numbers and lists of texts, which JSON can always
/// hold.
pub fn info(info: &ServerInfo, buf: &mut BytesMut) {
    buf.put_slice(b"INFO ");
    json(info, buf);
    buf.put_slice(b" \r\n");
}

/// `MSG subject sid [reply] size`, or `HMSG subject sid [reply] header-size total-size` when there
/// are headers, and the payload.
#[allow(
    clippy::too_many_arguments,
    reason = "one argument per part of the line, in wire order"
)]
pub fn msg(
    buf: &mut BytesMut,
    subject: &str,
    sid: &[u8],
    reply: Option<&str>,
    headers: Option<&[u8]>,
    payload: &[u8],
) {
    let headers_bytes = headers.map_or(0, <[u8]>::len);
    let reply_bytes = reply.map_or(0, str::len);
    let text_bytes = subject.len() + sid.len() + reply_bytes;
    buf.reserve(text_bytes + headers_bytes + payload.len() + LINE_BYTES_MAX);

    buf.put_slice(if headers.is_some() { b"HMSG " } else { b"MSG " });
    buf.put_slice(subject.as_bytes());
    buf.put_u8(b' ');
    buf.put_slice(sid);
    buf.put_u8(b' ');
    if let Some(reply) = reply {
        buf.put_slice(reply.as_bytes());
        buf.put_u8(b' ');
    }
    sizes_and_payload(buf, headers, payload);
}

/// Upper bound for the fixed parts of a MSG or HMSG: verb, blanks, two numbers, two line ends.
const LINE_BYTES_MAX: usize = 5 + 4 + 2 * DIGITS_MAX + 4;

/// Digits of `u64::MAX`.
const DIGITS_MAX: usize = 20;

/// The end of a MSG, HMSG, PUB or HPUB: numbers, line end, headers, payload, line end.
fn sizes_and_payload(buf: &mut BytesMut, headers: Option<&[u8]>, payload: &[u8]) {
    if let Some(headers) = headers {
        integer(buf, headers.len());
        buf.put_u8(b' ');
        integer(buf, headers.len() + payload.len());
        buf.put_slice(b"\r\n");
        buf.put_slice(headers);
    } else {
        integer(buf, payload.len());
        buf.put_slice(b"\r\n");
    }
    buf.put_slice(payload);
    buf.put_slice(b"\r\n");
}

/// `PING`.
pub fn ping(buf: &mut BytesMut) {
    buf.put_slice(b"PING\r\n");
}

/// `PONG`.
pub fn pong(buf: &mut BytesMut) {
    buf.put_slice(b"PONG\r\n");
}

/// `+OK`, for clients that asked for `verbose`.
pub fn ok(buf: &mut BytesMut) {
    buf.put_slice(b"+OK\r\n");
}

/// `-ERR 'text'`. Clients match on the text: use the ones of nats-server only.
pub fn err(buf: &mut BytesMut, text: &str) {
    buf.put_slice(b"-ERR '");
    buf.put_slice(text.as_bytes());
    buf.put_slice(b"'\r\n");
}

/// What a client would send; the inverse of [`Decoder`](crate::Decoder).
///
/// # Panics
///
/// Never: the fields of [`Connect`](crate::Connect) are texts, numbers and flags, which JSON can
/// always hold.
pub fn client_op(buf: &mut BytesMut, op: &ClientOp) {
    match op {
        ClientOp::Connect(connect) => {
            buf.put_slice(b"CONNECT ");
            json(connect, buf);
            buf.put_slice(b"\r\n");
        }
        ClientOp::Publish(publish) => client_publish(buf, publish),
        ClientOp::Subscribe {
            subject,
            queue,
            sid,
        } => {
            buf.put_slice(b"SUB ");
            word(buf, subject);
            if let Some(queue) = queue {
                word(buf, queue);
            }
            buf.put_slice(sid);
            buf.put_slice(b"\r\n");
        }
        ClientOp::Unsubscribe { sid, max } => {
            buf.put_slice(b"UNSUB ");
            buf.put_slice(sid);
            if let Some(max) = max {
                buf.put_u8(b' ');
                integer(buf, *max);
            }
            buf.put_slice(b"\r\n");
        }
        ClientOp::Ping => ping(buf),
        ClientOp::Pong => pong(buf),
        ClientOp::Info => buf.put_slice(b"INFO {}\r\n"),
        ClientOp::Ok => ok(buf),
        ClientOp::Err(text) => {
            buf.put_slice(b"-ERR ");
            buf.put_slice(text);
            buf.put_slice(b"\r\n");
        }
    }
}

fn client_publish(buf: &mut BytesMut, publish: &Publish) {
    buf.put_slice(if publish.headers.is_some() {
        b"HPUB "
    } else {
        b"PUB "
    });
    word(buf, &publish.subject);
    if let Some(reply) = &publish.reply {
        word(buf, reply);
    }
    sizes_and_payload(buf, publish.headers.as_deref(), &publish.payload);
}

fn word(buf: &mut BytesMut, word: &[u8]) {
    buf.put_slice(word);
    buf.put_u8(b' ');
}

fn json<T: serde::Serialize>(value: &T, buf: &mut BytesMut) {
    serde_json::to_writer(buf.writer(), value).expect("texts, numbers and flags are always JSON");
}

/// Writes a number in decimal, several times as fast as formatting it; one that is no `u64` is written as
/// the largest that is.
pub fn integer<N: TryInto<u64>>(buf: &mut BytesMut, number: N) {
    let mut rest = number.try_into().unwrap_or(u64::MAX);
    let mut digits = [0_u8; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    buf.put_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut buf = BytesMut::new();
        write(&mut buf);
        String::from_utf8(buf.to_vec()).unwrap()
    }

    #[test]
    fn a_message_without_headers_is_msg() {
        assert_eq!(
            written(|buf| msg(buf, "a.b", b"7", None, None, b"hello")),
            "MSG a.b 7 5\r\nhello\r\n"
        );
        assert_eq!(
            written(|buf| msg(buf, "a", b"x9", Some("r.1"), None, b"")),
            "MSG a x9 r.1 0\r\n\r\n"
        );
    }

    #[test]
    fn a_message_with_headers_is_hmsg_and_counts_both_parts() {
        let block: &[u8] = b"NATS/1.0\r\nA: 1\r\n\r\n";
        assert_eq!(
            written(|buf| msg(buf, "a", b"1", None, Some(block), b"hi")),
            "HMSG a 1 18 20\r\nNATS/1.0\r\nA: 1\r\n\r\nhi\r\n"
        );
        assert_eq!(
            written(|buf| msg(
                buf,
                "a",
                b"1",
                Some("r"),
                Some(b"NATS/1.0 503\r\n\r\n"),
                b""
            )),
            "HMSG a 1 r 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
        );
    }

    #[test]
    fn the_buffer_grows_at_most_once_per_message() {
        let mut buf = BytesMut::new();
        msg(
            &mut buf,
            "a.b.c",
            b"18446744073709551615",
            Some("r"),
            Some(&[b'h'; 999]),
            &[b'p'; 999],
        );
        let written = buf.len();
        assert!(buf.capacity() >= written && buf.capacity() <= 2 * written);
    }

    #[test]
    fn short_lines_are_written_as_nats_server_writes_them() {
        assert_eq!(written(ping), "PING\r\n");
        assert_eq!(written(pong), "PONG\r\n");
        assert_eq!(written(ok), "+OK\r\n");
        assert_eq!(
            written(|buf| err(buf, "Stale Connection")),
            "-ERR 'Stale Connection'\r\n"
        );
        let line = written(|buf| info(&ServerInfo::default(), buf));
        assert!(
            line.starts_with("INFO {\"server_id\":") && line.ends_with("} \r\n"),
            "{line}"
        );
    }

    #[test]
    fn integers_are_written_in_full() {
        for number in [0, 7, 10, 1_048_576, u64::MAX] {
            assert_eq!(written(|buf| integer(buf, number)), number.to_string());
        }
    }
}
