//! What goes because it is old: by `max_age`, or by the `Nats-TTL` of the message itself (ADR-43).
//!
//! Time is the leader's, carried by the commands. Every append expires what is due first; an idle
//! stream has the log decide when something is due.

use std::time::Duration;

use bytes::Bytes;
use hitherto_protocol::{HeadersBuilder, Subject, Timestamp, format_go_duration};

use super::Stream;
use super::expectations::header;
use crate::StreamSeq;
use crate::command::{Append, Command, Control};
use crate::lifetime::{MARKER_REASON, TTL};
use crate::output::Output;

/// The log is asked to expire old messages of an idle stream once in so long: 250 ms, as the
/// shortest timer of nats-server 2.15.
const EXPIRY_PAUSE: Duration = Duration::from_millis(250);

impl Stream {
    /// Removes what is due at `now`, what has been due longest first.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((due, seq)) = self.first_due()
            && due <= now
        {
            self.expire_one(seq, now);
        }
    }

    /// The message that goes next for its age, and when.
    fn first_due(&self) -> Option<(Timestamp, StreamSeq)> {
        if self.config.sealed {
            return None;
        }
        [self.first_aging(), self.lifetimes.first()]
            .into_iter()
            .flatten()
            .min()
    }

    fn first_aging(&self) -> Option<(Timestamp, StreamSeq)> {
        if self.config.max_age.is_zero() {
            return None;
        }
        let next = |from| self.index.next_any(from);
        let seq = self.lifetimes.first_aging(next)?;
        let at = self.index.get(seq)?.at;
        Some((at.saturating_add(self.config.max_age), seq))
    }

    /// Removes a message for its age. The last one of its subject leaves a marker behind when the
    /// stream wants so.
    fn expire_one(&mut self, seq: StreamSeq, now: Timestamp) {
        let subject = self.index.subject(seq);
        let leaves_marker =
            !self.config.subject_delete_marker_ttl.is_zero() && !self.lifetimes.is_marker(seq);
        self.remove(seq);
        if let Some(subject) = subject
            && leaves_marker
            && self.index.count_on(subject.as_str()) == 0
        {
            self.store_marker(subject, now);
        }
    }

    /// Tells who follows the subject that its last message has gone
    /// (`server/filestore.go` of nats-server 2.15, `handleRemovalOrSdm`).
    fn store_marker(&mut self, subject: Subject, now: Timestamp) {
        let ttl = format_go_duration(self.config.subject_delete_marker_ttl);
        let mut headers = HeadersBuilder::new();
        for (name, value) in [
            (MARKER_REASON, "MaxAge"),
            (TTL, &ttl),
            (header::ROLLUP, "sub"),
        ] {
            headers
                .insert(name, value)
                .expect("fixed names and a duration make headers");
        }
        let marker = Append {
            at: now.max(self.last_at),
            subject,
            headers: Some(headers.build()),
            payload: Bytes::new(),
        };
        self.store(marker, None, None);
    }

    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        let (due, _) = self.first_due()?;
        Some(due.max(self.expiry_asked.saturating_add(EXPIRY_PAUSE)))
    }

    /// Lets the log decide that old messages go, so that every replica agrees.
    pub(super) fn propose_expiry(&mut self, now: Timestamp) {
        if self.next_expiry().is_some_and(|due| due <= now) {
            self.expiry_asked = now;
            self.outputs.push_back(Output::Propose {
                command: Command::Control(Control::Expire { at: now }),
                replies: Vec::new(),
            });
        }
    }
}
