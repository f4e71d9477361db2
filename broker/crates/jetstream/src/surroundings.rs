//! What the owner of a stream looks up for it in the middle of a round of deliveries.

use hitherto_protocol::Subject;

use crate::StreamSeq;

/// Answers that only the owner of a stream has. Nothing replicated depends on them.
pub trait Surroundings {
    /// Tells whether anybody listens on an inbox. A request nobody listens for is dropped instead of a
    /// message being sent into the void.
    fn has_interest(&self, inbox: &Subject) -> bool;

    /// How long the parts of a stored message are; `None` when it cannot be read. Asked for the
    /// messages of pulls that set `max_bytes`, and for no others.
    fn lens(&self, seq: StreamSeq) -> Option<MessageLens>;

    /// Gets a message ready. Nothing is delivered that is not at hand, as a delivery may be all it takes
    /// for the message to leave the stream. The next delivery is of this message, or of none.
    fn fetch(&mut self, seq: StreamSeq) -> Fetched;

    /// Tells whether as much is ready as is to be at once. Consumers that have not had their turn have it
    /// in the next round.
    fn is_laden(&self) -> bool;
}

/// Whether a message can be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// It is at hand.
    Ready,
    /// It cannot be read now, and perhaps later: its consumer waits.
    Later,
    /// Its bytes are damaged, as the text says. The stream keeps it, in case it is repaired; its consumer
    /// goes on without it.
    Damaged(String),
}

/// How long the parts of a stored message are, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLens {
    /// Its header block; 0 when it has none.
    pub headers: usize,
    /// Its payload.
    pub payload: usize,
}

impl MessageLens {
    /// The length of headers and payload as they are delivered. Without its payload a message gets a
    /// header that tells the payload's length.
    pub(crate) fn delivered(self, headers_only: bool) -> u64 {
        const EMPTY_BLOCK: usize = "NATS/1.0\r\n\r\n".len();
        const SIZE_HEADER: usize = "Nats-Msg-Size: \r\n".len();
        let Self { headers, payload } = self;
        let len = match (headers_only, headers) {
            (false, _) => headers + payload,
            (true, 0) => EMPTY_BLOCK + SIZE_HEADER + digits(payload as u64),
            (true, headers) => headers + SIZE_HEADER + digits(payload as u64),
        };
        len as u64
    }
}

/// For those who keep no bodies: only the interest in inboxes, and every message is at hand.
impl<F: Fn(&Subject) -> bool> Surroundings for F {
    fn has_interest(&self, inbox: &Subject) -> bool {
        self(inbox)
    }

    fn lens(&self, _seq: StreamSeq) -> Option<MessageLens> {
        None
    }

    fn fetch(&mut self, _seq: StreamSeq) -> Fetched {
        Fetched::Ready
    }

    fn is_laden(&self) -> bool {
        false
    }
}

/// How many digits the number has in decimal.
pub(crate) fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_without_its_payload_tells_the_length() {
        let lens = |headers, payload| MessageLens { headers, payload };
        assert_eq!(lens(20, 100).delivered(false), 120);
        let alone = "NATS/1.0\r\nNats-Msg-Size: 100\r\n\r\n".len() as u64;
        assert_eq!(lens(0, 100).delivered(true), alone);
        let added = "Nats-Msg-Size: 0\r\n".len() as u64;
        assert_eq!(lens(20, 0).delivered(true), 20 + added);
    }
}
