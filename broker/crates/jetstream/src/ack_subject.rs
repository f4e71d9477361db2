//! The subject a delivered message carries as its reply, and what consumers send there.
//!
//! Written in the first form, `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer
//! seq>.<stored, unix ns>.<pending>`; read in the second too (ADR-15), which puts a domain and a
//! hash of the account before the stream and may end in more tokens. nats-server 2.15 does the
//! same.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use hitherto_protocol::{Subject, Timestamp, parse_go_duration};
use serde::Deserialize;

use crate::{ConsumerSeq, StreamSeq};

/// Says which delivery of which message is acknowledged.
///
/// # Examples
///
/// ```
/// use hitherto_jetstream::ack_subject::AckSubject;
///
/// let text = "$JS.ACK.ORDERS.worker.1.7.3.1700000000000000000.0";
/// let ack = AckSubject::parse(text).unwrap();
/// assert_eq!(ack.stream_seq.0, 7);
/// assert_eq!(ack.to_subject(), text);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckSubject<'a> {
    /// The stream; one token.
    pub stream: &'a str,
    /// The consumer; one token.
    pub consumer: &'a str,
    /// How often the message has been delivered, from 1.
    pub deliveries: u64,
    /// The message.
    pub stream_seq: StreamSeq,
    /// The delivery.
    pub consumer_seq: ConsumerSeq,
    /// When the message was stored.
    pub at: Timestamp,
    /// How many messages of the consumer come after this one.
    pub pending: u64,
}

const TOKENS: usize = 7;

impl<'a> AckSubject<'a> {
    /// The reply subject of the delivery, in the first form.
    ///
    /// # Panics
    ///
    /// Panics if stream or consumer are no tokens; the names of existing ones are.
    pub fn to_subject(&self) -> Subject {
        let text = format!(
            "$JS.ACK.{}.{}.{}.{}.{}.{}.{}",
            self.stream,
            self.consumer,
            self.deliveries,
            self.stream_seq,
            self.consumer_seq,
            self.at.unix_nanos(),
            self.pending
        );
        Subject::new(text).expect("names of streams and consumers are tokens")
    }

    /// Reads either form; `None` for everything else.
    pub fn parse(subject: &'a str) -> Option<Self> {
        let rest = subject.strip_prefix("$JS.ACK.")?;
        let mut tokens = rest.split('.');
        match tokens.clone().count() {
            TOKENS => {}
            // Domain and account hash before it, perhaps tokens behind it.
            count if count >= TOKENS + 2 => {
                tokens.nth(1);
            }
            _ => return None,
        }
        let mut token = || tokens.next();
        Some(Self {
            stream: token()?,
            consumer: token()?,
            deliveries: number(token()?)?,
            stream_seq: StreamSeq(number(token()?)?),
            consumer_seq: ConsumerSeq(number(token()?)?),
            at: Timestamp::from_unix_nanos(number(token()?)?),
            pending: number(token()?)?,
        })
    }
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// What a consumer says of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AckKind {
    /// Done: an empty payload, `+ACK` or `+OK`.
    Ack,
    /// Deliver again: `-NAK`, with `{"delay": ns}` or a duration such as `5s` behind it.
    Nak {
        /// After how long; `None` means at once.
        delay: Option<Duration>,
    },
    /// Still at work, wait longer: `+WPI`.
    Progress,
    /// Never deliver again: `+TERM`, with a reason behind it.
    Term {
        /// Why; `None` when none is given.
        reason: Option<String>,
    },
    /// Done, and a pull request: `+NXT`, with the body of the request behind it.
    Next(Bytes),
    /// Anything else. Says nothing, but is answered, as by nats-server.
    Unknown,
}

impl AckKind {
    /// Reads the payload of an acknowledgement.
    pub fn parse(payload: &Bytes) -> Self {
        if let Some(rest) = payload.strip_prefix(b"+NXT") {
            return Self::Next(payload.slice_ref(rest));
        }
        if let Some(rest) = payload.strip_prefix(b"-NAK") {
            let delay = nak_delay(rest.trim_ascii());
            return Self::Nak { delay };
        }
        if let Some(rest) = payload.strip_prefix(b"+TERM") {
            let reason = String::from_utf8_lossy(rest.trim_ascii()).into_owned();
            let reason = Some(reason).filter(|reason| !reason.is_empty());
            return Self::Term { reason };
        }
        match &payload[..] {
            b"" | b"+ACK" | b"+OK" => Self::Ack,
            b"+WPI" => Self::Progress,
            _ => Self::Unknown,
        }
    }
}

/// The delay behind `-NAK`; what cannot be read means at once, as on nats-server.
fn nak_delay(text: &[u8]) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Options {
        delay: u64,
    }
    let delay = if text.starts_with(b"{") {
        let options: Options = serde_json::from_slice(text).ok()?;
        Duration::from_nanos(options.delay)
    } else {
        parse_go_duration(std::str::from_utf8(text).ok()?)?
    };
    Some(delay).filter(|delay| !delay.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> AckSubject<'static> {
        AckSubject {
            stream: "S",
            consumer: "c",
            deliveries: 2,
            stream_seq: StreamSeq(7),
            consumer_seq: ConsumerSeq(9),
            at: Timestamp::from_unix_nanos(1_700_000_000_000_000_001),
            pending: 4,
        }
    }

    #[test]
    fn the_first_form_comes_back() {
        let text = "$JS.ACK.S.c.2.7.9.1700000000000000001.4";
        assert_eq!(sample().to_subject(), text);
        assert_eq!(AckSubject::parse(text), Some(sample()));
    }

    #[test]
    fn the_second_form_is_read_with_and_without_tokens_behind() {
        for extra in ["", ".xyz", ".a.b"] {
            let text = format!("$JS.ACK._.hash.S.c.2.7.9.1700000000000000001.4{extra}");
            assert_eq!(AckSubject::parse(&text), Some(sample()), "{text}");
        }
    }

    #[test]
    fn everything_else_is_no_ack_subject() {
        for text in [
            "$JS.ACK.S.c.2.7.9.1700000000000000001",
            "$JS.ACK.S.c.2.7.9.1700000000000000001.4.5",
            "$JS.ACK.S.c.x.7.9.1700000000000000001.4",
            "$JS.ACK",
            "a.b",
        ] {
            assert_eq!(AckSubject::parse(text), None, "{text}");
        }
    }

    fn parse(payload: &'static str) -> AckKind {
        AckKind::parse(&Bytes::from_static(payload.as_bytes()))
    }

    #[test]
    fn payloads_say_what_to_do() {
        for payload in ["", "+ACK", "+OK"] {
            assert_eq!(parse(payload), AckKind::Ack);
        }
        assert_eq!(parse("+WPI"), AckKind::Progress);
        assert_eq!(parse("+TERM"), AckKind::Term { reason: None });
        let reason = Some("bad input".into());
        assert_eq!(parse("+TERM bad input"), AckKind::Term { reason });
        assert_eq!(parse("+NXT 5"), AckKind::Next(Bytes::from_static(b" 5")));
        assert_eq!(parse("hello"), AckKind::Unknown);
    }

    #[test]
    fn a_nak_may_name_a_delay() {
        let nak = |payload| match parse(payload) {
            AckKind::Nak { delay } => delay,
            other => panic!("{other:?}"),
        };
        assert_eq!(nak("-NAK"), None);
        assert_eq!(nak("-NAK what"), None);
        assert_eq!(nak("-NAK {}"), None);
        assert_eq!(nak(r#"-NAK {"delay":0}"#), None);
        assert_eq!(
            nak(r#"-NAK {"delay":1500}"#),
            Some(Duration::from_nanos(1500))
        );
        assert_eq!(nak("-NAK 5s"), Some(Duration::from_secs(5)));
        assert_eq!(nak("-NAK 1m1.5s"), Some(Duration::from_millis(61_500)));
        assert_eq!(nak("-NAK 300ms"), Some(Duration::from_millis(300)));
    }
}
