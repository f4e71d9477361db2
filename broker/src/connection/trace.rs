//! The protocol in the log, line by line, in the form tools read from nats-server (`traceInOp`,
//! `traceOutOp` and `traceMsg` in `server/client.go` 2.15): who, which way, what.
//!
//! ```text
//! 127.0.0.1:51298 - cid:5 - "v0.1:py:worker" - "$G/user:joe" - <<- [PUB orders.1  5]
//! ```
//!
//! Passwords and tokens are left out. INFO is not traced, as there.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use hitherto_protocol::{ClientOp, Connect, Publish};
use serde_json::Value;
use tracing::Level;

use crate::pubsub::{Message, SubscriberId};

/// What stands in place of a secret.
const REDACTED: &str = "[REDACTED]";

/// Fields of CONNECT that nobody should read in a log.
const SECRETS: &[&str] = &["pass", "auth_token", "jwt", "sig"];

/// Traces one connection.
#[derive(Debug, Default)]
pub(super) struct Tracer {
    /// How its lines begin; longer once the client has said who it is.
    who: RwLock<String>,
}

/// Whether anybody reads such lines; one atomic load where nobody reads the log that closely.
pub(super) fn is_on() -> bool {
    tracing::enabled!(Level::TRACE)
}

impl Tracer {
    /// A connection begins.
    pub(super) fn begin(&self, id: SubscriberId, peer: SocketAddr) {
        let ip = peer.ip().to_canonical();
        let peer = SocketAddr::new(ip, peer.port());
        *self.who.write().unwrap_or_else(PoisonError::into_inner) =
            format!("{peer} - cid:{}", id.0);
    }

    /// The client has said who it is.
    pub(super) fn connected(&self, connect: &Connect, account: &str) {
        let mut who = self.who.write().unwrap_or_else(PoisonError::into_inner);
        // CONNECT may come again.
        let begin: Vec<&str> = who.splitn(3, " - ").take(2).collect();
        let mut longer = begin.join(" - ");
        let version = connect
            .version
            .as_ref()
            .map(|version| format!("v{version}"));
        let parts = [
            version.as_ref(),
            connect.lang.as_ref(),
            connect.name.as_ref(),
        ];
        let parts: Vec<&str> = parts
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        if !parts.is_empty() {
            write!(longer, " - {}", quoted(parts.join(":").as_bytes())).expect("a text grows");
        }
        if let Some(user) = &connect.user {
            let user = format!("{account}/user:{user}");
            write!(longer, " - {}", quoted(user.as_bytes())).expect("a text grows");
        }
        *who = longer;
    }

    /// The client says who it is.
    pub(super) fn connect(&self, connect: &Connect) {
        self.line("<<-", &format!("[CONNECT {}]", shown(connect)));
    }

    /// How its lines begin.
    pub(super) fn who(&self) -> String {
        let who = self.who.read().unwrap_or_else(PoisonError::into_inner);
        who.clone()
    }

    /// What the client has sent.
    pub(super) fn operation(&self, op: &ClientOp) {
        let text = String::from_utf8_lossy;
        match op {
            ClientOp::Connect(connect) => self.connect(connect),
            ClientOp::Publish(publish) => self.publish(publish),
            ClientOp::Subscribe {
                subject,
                queue,
                sid,
            } => {
                let queue = queue.as_ref().map(|queue| format!("{} ", text(queue)));
                let queue = queue.unwrap_or_default();
                self.line(
                    "<<-",
                    &format!("[SUB {} {queue}{}]", text(subject), text(sid)),
                );
            }
            ClientOp::Unsubscribe { sid, max: None } => {
                self.line("<<-", &format!("[UNSUB {}]", text(sid)));
            }
            ClientOp::Unsubscribe {
                sid,
                max: Some(max),
            } => self.line("<<-", &format!("[UNSUB {} {max}]", text(sid))),
            ClientOp::Ping => self.line("<<-", "[PING]"),
            ClientOp::Pong => self.line("<<-", "[PONG]"),
            ClientOp::Info | ClientOp::Ok | ClientOp::Err(_) => {}
        }
    }

    /// A protocol line on its way to the client.
    pub(super) fn sent_line(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if let Some(text) = line.strip_prefix("-ERR ") {
            self.line("->>", &format!("[-ERR {}]", text.trim_matches('\'')));
        } else if !line.starts_with("INFO") {
            self.line("->>", &format!("[{}]", line.trim_start_matches('+')));
        }
    }

    /// A message on its way to the client.
    pub(super) fn sent_message(&self, sid: &[u8], message: &Message, headers: Option<&[u8]>) {
        let sid = String::from_utf8_lossy(sid);
        let subject = &message.subject;
        let reply = message.reply.as_ref();
        let reply = reply.map(|reply| format!("{reply} ")).unwrap_or_default();
        let bytes = message.payload.len();
        let line = match headers.map(<[u8]>::len) {
            None => format!("[MSG {subject} {sid} {reply}{bytes}]"),
            Some(headers) => {
                format!(
                    "[HMSG {subject} {sid} {reply}{headers} {}]",
                    headers + bytes
                )
            }
        };
        self.line("->>", &line);
        self.body("->>", headers.unwrap_or_default(), &message.payload);
    }

    fn publish(&self, publish: &Publish) {
        let Publish {
            subject,
            reply,
            headers,
            payload,
        } = publish;
        let subject = String::from_utf8_lossy(subject);
        let reply = String::from_utf8_lossy(reply.as_deref().unwrap_or_default());
        let line = match headers.as_ref().map(Bytes::len) {
            None => format!("[PUB {subject} {reply} {}]", payload.len()),
            Some(headers) => {
                format!(
                    "[HPUB {subject} {reply} {headers} {}]",
                    headers + payload.len()
                )
            }
        };
        self.line("<<-", &line);
        self.body("<<-", headers.as_deref().unwrap_or_default(), payload);
    }

    fn body(&self, way: &str, headers: &[u8], payload: &[u8]) {
        if headers.is_empty() && payload.is_empty() {
            return;
        }
        let body = [headers, payload].concat();
        self.line(way, &format!("MSG_PAYLOAD: [{}]", quoted(&body)));
    }

    fn line(&self, way: &str, what: &str) {
        tracing::trace!("{} - {way} {what}", self.who());
    }
}

/// CONNECT as JSON, without its secrets.
fn shown(connect: &Connect) -> String {
    let mut connect = serde_json::to_value(connect).unwrap_or_default();
    if let Some(fields) = connect.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
        for secret in SECRETS {
            if let Some(value) = fields.get_mut(*secret) {
                *value = Value::from(REDACTED);
            }
        }
    }
    connect.to_string()
}

/// Bytes between quotation marks, as Go's `%q` writes them.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{7}' => text.push_str("\\a"),
                '\u{8}' => text.push_str("\\b"),
                '\u{b}' => text.push_str("\\v"),
                '\u{c}' => text.push_str("\\f"),
                char if char.is_ascii_control() => {
                    write!(text, "\\x{:02x}", u32::from(char)).expect("a text grows");
                }
                char if char.is_control() => {
                    write!(text, "\\u{:04x}", u32::from(char)).expect("a text grows");
                }
                char => text.push(char),
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a text grows");
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_quoted_as_by_go() {
        assert_eq!(
            quoted(b"he\r\nllo \"q\" \\ \x01\xff\xc3\xa9"),
            r#""he\r\nllo \"q\" \\ \x01\xffé""#
        );
    }

    #[test]
    fn a_line_begins_with_who_it_is_about() {
        let tracer = Tracer::default();
        let who = Tracer::who;
        tracer.begin(SubscriberId(5), "[::ffff:127.0.0.1]:51298".parse().unwrap());
        assert_eq!(who(&tracer), "127.0.0.1:51298 - cid:5");
        let mut connect = Connect {
            lang: Some("py".into()),
            version: Some("0.1".into()),
            name: Some("a - b".into()),
            user: Some("joe".into()),
            ..Connect::default()
        };
        tracer.connected(&connect, "$G");
        assert_eq!(
            who(&tracer),
            r#"127.0.0.1:51298 - cid:5 - "v0.1:py:a - b" - "$G/user:joe""#
        );
        (connect.user, connect.name) = (None, Some(String::new()));
        tracer.connected(&connect, "$G");
        assert_eq!(who(&tracer), r#"127.0.0.1:51298 - cid:5 - "v0.1:py""#);
    }

    #[test]
    fn secrets_are_not_shown() {
        let connect: Connect =
            serde_json::from_str(r#"{"user":"joe","pass":"secret","auth_token":"t0ken"}"#).unwrap();
        let shown = shown(&connect);
        assert!(shown.contains(r#""pass":"[REDACTED]""#), "{shown}");
        assert!(shown.contains(r#""user":"joe""#), "{shown}");
        assert!(
            !shown.contains("secret") && !shown.contains("t0ken"),
            "{shown}"
        );
    }
}
