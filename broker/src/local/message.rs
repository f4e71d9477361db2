//! A message as an in-process client gets it.

use bytes::Bytes;
use hitherto_protocol::{Headers, Subject};

use crate::pubsub::Message;

/// A message delivered inside the process. It owns its bytes: keeping it keeps nothing else alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMessage {
    /// The subject it was published to.
    pub subject: Subject,
    /// Where an answer goes; `None` when none is expected.
    pub reply: Option<Subject>,
    /// Its headers; `None` when it has none. A status such as 408 is [`Headers::status`].
    pub headers: Option<Headers>,
    /// What follows the headers; may be empty.
    pub payload: Bytes,
}

impl LocalMessage {
    /// Copies a message out of the buffers it shares. All parts lie in one new allocation.
    ///
    /// A header block that is none (nats-server and we let clients send them) is left out, with a
    /// warning in the log.
    pub(super) fn copy_of(message: &Message) -> Self {
        let reply = message.reply.as_ref().map(Subject::as_bytes);
        let headers = message.headers.as_ref();
        let parts = [
            message.subject.as_bytes(),
            reply.unwrap_or(&EMPTY),
            headers.unwrap_or(&EMPTY),
            &message.payload,
        ];
        let mut copy = Bytes::from(parts.map(Bytes::as_ref).concat());

        let subject = checked_before(copy.split_to(parts[0].len()));
        let copied_reply = copy.split_to(parts[1].len());
        let copied_headers = copy.split_to(parts[2].len());
        Self {
            subject,
            reply: reply.map(|_| checked_before(copied_reply)),
            headers: headers.and_then(|_| read_headers(copied_headers, &message.subject)),
            payload: copy,
        }
    }

    /// What the message weighs in a queue: its bytes and the place it takes.
    pub(super) fn queue_bytes(&self) -> usize {
        self.subject.as_str().len()
            + self.reply.as_ref().map_or(0, |reply| reply.as_str().len())
            + self.headers.as_ref().map_or(0, Headers::len)
            + self.payload.len()
            + size_of::<Self>()
    }
}

static EMPTY: Bytes = Bytes::new();

fn checked_before(subject: Bytes) -> Subject {
    Subject::from_bytes(subject).expect("a copy of a subject is a subject")
}

fn read_headers(block: Bytes, subject: &Subject) -> Option<Headers> {
    Headers::parse(block)
        .inspect_err(|error| tracing::warn!(%subject, %error, "message delivered without headers"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_all_parts() {
        let message = Message {
            subject: Subject::new("a.b").unwrap(),
            reply: Some(Subject::new("r").unwrap()),
            headers: Some(Bytes::from_static(b"NATS/1.0\r\nA: 1\r\n\r\n")),
            payload: Bytes::from_static(b"hello"),
        };
        let copy = LocalMessage::copy_of(&message);
        assert_eq!(copy.subject, "a.b");
        assert_eq!(copy.reply.unwrap(), "r");
        assert_eq!(copy.headers.unwrap().get("A"), Some("1"));
        assert_eq!(copy.payload, "hello");
    }

    #[test]
    fn absent_parts_stay_absent_and_bad_headers_are_left_out() {
        let message = Message {
            subject: Subject::new("a").unwrap(),
            reply: None,
            headers: Some(Bytes::from_static(b"Name: x")),
            payload: Bytes::new(),
        };
        let copy = LocalMessage::copy_of(&message);
        assert_eq!((copy.reply, copy.headers), (None, None));
        assert!(copy.payload.is_empty());
    }
}
