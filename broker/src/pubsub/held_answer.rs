//! An answer that waits until what came of a message elsewhere is decided.

use std::sync::Arc;

use super::Message;

/// How far copies of copies are waited for: 8 streams in a row. Streams that publish again in a circle go
/// on for ever, and nobody waits longer than that for them.
const HOPS_MAX: u8 = 8;

/// A share of an answer that is ready and not sent. Whoever lets go of the last share sends it; a share that
/// is dropped instead, because the node ends, leaves the client to its time-out.
#[derive(Debug, Clone)]
pub(crate) struct HeldAnswer {
    answer: Arc<Message>,
    hops_left: u8,
}

impl HeldAnswer {
    /// Holds an answer back.
    pub(crate) fn new(answer: Message) -> Self {
        Self {
            answer: Arc::new(answer),
            hops_left: HOPS_MAX,
        }
    }

    /// A share for the copies of a copy; `None` when those are not waited for any more.
    pub(crate) fn for_copies(&self) -> Option<Self> {
        Some(Self {
            answer: Arc::clone(&self.answer),
            hops_left: self.hops_left.checked_sub(1)?,
        })
    }

    /// Gives the share back; the answer comes with the last one, and is to be sent.
    #[must_use = "the answer is to be sent"]
    pub(crate) fn let_go(self) -> Option<Message> {
        Arc::into_inner(self.answer)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hitherto_protocol::Subject;

    use super::*;

    fn held() -> HeldAnswer {
        HeldAnswer::new(Message {
            subject: Subject::new("inbox").unwrap(),
            reply: None,
            headers: None,
            payload: Bytes::new(),
        })
    }

    #[test]
    fn the_last_share_brings_the_answer() {
        let one = held();
        let other = one.clone();
        let third = other.for_copies().unwrap();
        assert_eq!(one.let_go(), None);
        assert_eq!(third.let_go(), None);
        assert_eq!(other.let_go().unwrap().subject.as_str(), "inbox");
    }

    #[test]
    fn copies_in_a_circle_are_not_waited_for_without_end() {
        let mut held = held();
        for _ in 0..HOPS_MAX {
            held = held.for_copies().unwrap();
        }
        assert!(held.for_copies().is_none());
        assert!(held.let_go().is_some());
    }
}
