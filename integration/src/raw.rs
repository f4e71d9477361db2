//! A client on a bare socket: what the benchmark and the kill tests need, so that no client library
//! is the limit and no library reconnects behind a test's back.
//!
//! Blocking, one connection, no TLS, no authentication. Control lines follow the NATS client
//! protocol (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// The room for input at first; it doubles when one frame is larger.
const INPUT_BYTES: usize = 256 * 1024;

/// How long a read waits before it fails: a stuck server fails the test instead of hanging it.
const READ_PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a server, after INFO, CONNECT, PING and PONG.
#[derive(Debug)]
pub struct RawClient {
    socket: TcpStream,
    output: Vec<u8>,
    input: Vec<u8>,
    /// How much of `input`, from its start, was read and not taken yet.
    input_filled: usize,
}

/// One message as it stands in the input.
#[derive(Debug, Clone, Copy)]
pub struct RawMessage<'a> {
    /// The subject it was sent to.
    pub subject: &'a str,
    /// Where an answer goes; for a delivery of JetStream where its ack goes.
    pub reply: Option<&'a str>,
    /// The header block with its closing blank line; empty when the message has none.
    pub headers: &'a [u8],
    /// The body.
    pub payload: &'a [u8],
}

impl RawClient {
    /// Connects and waits until the server has answered a PING.
    ///
    /// # Errors
    ///
    /// When the socket fails or the server refuses the connection.
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(addr)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(READ_PATIENCE))?;
        let mut client = Self {
            socket,
            output: Vec::new(),
            input: vec![0; INPUT_BYTES],
            input_filled: 0,
        };
        client.queue(
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\
              \"no_responders\":true,\"protocol\":1,\"name\":\"hitherto-integration\",\
              \"lang\":\"raw\",\"version\":\"0\"}\r\n",
        );
        client.ping()?;
        Ok(client)
    }

    /// Sends a PING and waits for its PONG: everything before it has been taken by the server.
    ///
    /// # Errors
    ///
    /// When the socket fails, or the server sends an error or closes.
    pub fn ping(&mut self) -> io::Result<()> {
        self.queue(b"PING\r\n");
        self.flush()?;
        loop {
            self.fill()?;
            let mut answered = false;
            self.take_frames(|_| (), || answered = true)?;
            if answered {
                return Ok(());
            }
        }
    }

    /// Queues a subscription; [`flush`](Self::flush) sends it.
    pub fn subscribe(&mut self, subject: &str, sid: u64) {
        self.queue(format!("SUB {subject} {sid}\r\n").as_bytes());
    }

    /// Queues a publish, without a reply subject when `reply` is empty; [`flush`](Self::flush) sends it.
    pub fn publish(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        let space = if reply.is_empty() { "" } else { " " };
        for part in ["PUB ", subject, space, reply, " "] {
            self.output.extend_from_slice(part.as_bytes());
        }
        self.output
            .extend_from_slice(payload.len().to_string().as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.output.extend_from_slice(payload);
        self.output.extend_from_slice(b"\r\n");
    }

    /// Queues a publish with a header block, which begins with `NATS/1.0` and ends with a blank line;
    /// [`flush`](Self::flush) sends it.
    pub fn publish_with_headers(
        &mut self,
        subject: &str,
        reply: &str,
        headers: &[u8],
        payload: &[u8],
    ) {
        let (headers_bytes, total_bytes) = (headers.len(), headers.len() + payload.len());
        let line = format!("HPUB {subject} {reply} {headers_bytes} {total_bytes}\r\n");
        for part in [line.as_bytes(), headers, payload, b"\r\n"] {
            self.output.extend_from_slice(part);
        }
    }

    /// Queues bytes as they are; [`flush`](Self::flush) sends them.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Writes everything queued.
    ///
    /// # Errors
    ///
    /// When the socket fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Waits for input and hands every complete message to `handle`; returns after one read, which
    /// may have brought none. A PING of the server is answered.
    ///
    /// # Errors
    ///
    /// When the socket fails, or the server sends an error or closes.
    pub fn receive(&mut self, handle: impl FnMut(RawMessage<'_>)) -> io::Result<()> {
        self.fill()?;
        self.take_frames(handle, || ())
    }

    /// Waits for input, throws it away unread, and returns how many bytes it was.
    ///
    /// # Errors
    ///
    /// When the socket fails.
    pub fn discard(&mut self) -> io::Result<usize> {
        self.fill()?;
        Ok(std::mem::take(&mut self.input_filled))
    }

    /// Sends a request and waits for the first answer.
    ///
    /// # Errors
    ///
    /// When the socket fails, or the server sends an error or closes.
    pub fn request(&mut self, subject: &str, payload: &[u8]) -> io::Result<Vec<u8>> {
        const INBOX: &str = "_INBOX.raw.request";
        self.queue(b"UNSUB 9999\r\n");
        self.subscribe(INBOX, 9999);
        self.publish(subject, INBOX, payload);
        self.flush()?;
        let mut answer = None;
        while answer.is_none() {
            self.receive(|message| {
                if message.subject == INBOX {
                    answer.get_or_insert_with(|| [message.headers, message.payload].concat());
                }
            })?;
        }
        Ok(answer.unwrap_or_default())
    }

    /// Reads once from the socket into the input.
    fn fill(&mut self) -> io::Result<()> {
        if self.input_filled == self.input.len() {
            self.input.resize(self.input.len() * 2, 0);
        }
        match self.socket.read(&mut self.input[self.input_filled..])? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed",
            )),
            count => {
                self.input_filled += count;
                Ok(())
            }
        }
    }

    /// Takes every complete frame off the input.
    fn take_frames(
        &mut self,
        mut on_message: impl FnMut(RawMessage<'_>),
        mut on_pong: impl FnMut(),
    ) -> io::Result<()> {
        let mut taken = 0;
        while let Some((frame, length)) = parse(&self.input[taken..self.input_filled])? {
            match frame {
                Frame::Message(message) => on_message(message),
                Frame::Ping => self.socket.write_all(b"PONG\r\n")?,
                Frame::Pong => on_pong(),
                Frame::Other => (),
            }
            taken += length;
        }
        self.input.copy_within(taken..self.input_filled, 0);
        self.input_filled -= taken;
        Ok(())
    }
}

impl AsFd for RawClient {
    /// The socket, to wait for input on several clients at once.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

enum Frame<'a> {
    Message(RawMessage<'a>),
    Ping,
    Pong,
    /// INFO and +OK.
    Other,
}

/// The first frame of `input` and its length; `None` while it is incomplete.
fn parse(input: &[u8]) -> io::Result<Option<(Frame<'_>, usize)>> {
    let Some(end) = memchr::memchr(b'\n', input) else {
        return Ok(None);
    };
    let line = std::str::from_utf8(&input[..end])
        .map_err(io::Error::other)?
        .trim_end();
    let body = end + 1;
    let frame = match line.split(' ').next() {
        Some("PING") => Frame::Ping,
        Some("PONG") => Frame::Pong,
        Some("INFO" | "+OK") => Frame::Other,
        Some(verb @ ("MSG" | "HMSG")) => return message(line, verb == "HMSG", input, body),
        _ => return Err(io::Error::other(format!("the server says: {line}"))),
    };
    Ok(Some((frame, body)))
}

/// `MSG <subject> <sid> [reply] <size>` or `HMSG <subject> <sid> [reply] <header size> <size>`.
fn message<'a>(
    line: &'a str,
    has_headers: bool,
    input: &'a [u8],
    body: usize,
) -> io::Result<Option<(Frame<'a>, usize)>> {
    let malformed = || io::Error::other(format!("malformed line: {line}"));
    let mut from_end = line.rsplit(' ');
    let mut size = || from_end.next().and_then(|text| text.parse::<usize>().ok());
    let total = size().ok_or_else(malformed)?;
    let headers = if has_headers {
        size().ok_or_else(malformed)?
    } else {
        0
    };
    // What is left of the line: `MSG <subject> <sid> [reply]`.
    let mut from_start = line.split(' ').skip(1);
    let subject = from_start.next().ok_or_else(malformed)?;
    let sizes = if has_headers { 2 } else { 1 };
    let reply = match line.split(' ').count() {
        words if words == 4 + sizes => from_start.nth(1),
        _ => None,
    };
    let frame_end = body + total + 2;
    if input.len() < frame_end || headers > total {
        return if headers > total {
            Err(malformed())
        } else {
            Ok(None)
        };
    }
    let message = RawMessage {
        subject,
        reply,
        headers: &input[body..body + headers],
        payload: &input[body + headers..body + total],
    };
    Ok(Some((Frame::Message(message), frame_end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(input: &[u8]) -> Option<(String, Vec<u8>, Vec<u8>, usize)> {
        match parse(input).unwrap() {
            Some((Frame::Message(m), length)) => Some((
                m.subject.to_owned(),
                m.headers.to_vec(),
                m.payload.to_vec(),
                length,
            )),
            _ => None,
        }
    }

    #[test]
    fn a_message_is_taken_only_when_complete() {
        let whole = b"MSG a.b 1 reply 3\r\nxyz\r\nPING\r\n";
        for cut in 0..24 {
            assert_eq!(parsed(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(
            parsed(whole),
            Some(("a.b".into(), vec![], b"xyz".to_vec(), 24))
        );
    }

    #[test]
    fn headers_and_payload_are_told_apart() {
        let input = b"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
        let (_, headers, payload, _) = parsed(input).unwrap();
        assert_eq!(
            (headers.as_slice(), payload.as_slice()),
            (&b"NATS/1.0\r\n\r\n"[..], &b"hi"[..])
        );
    }

    #[test]
    fn a_reply_is_there_or_not() {
        let reply = |input: &'static [u8]| match parse(input).unwrap() {
            Some((Frame::Message(message), _)) => message.reply,
            _ => panic!("no message"),
        };
        assert_eq!(reply(b"MSG a 1 2\r\nhi\r\n"), None);
        assert_eq!(reply(b"MSG a 1 back 2\r\nhi\r\n"), Some("back"));
        assert_eq!(reply(b"HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n"), None);
        assert_eq!(
            reply(b"HMSG a 1 back 12 12\r\nNATS/1.0\r\n\r\n\r\n"),
            Some("back")
        );
    }

    #[test]
    fn an_error_of_the_server_is_an_error() {
        assert!(parse(b"-ERR 'Unknown Protocol Operation'\r\n").is_err());
    }
}
