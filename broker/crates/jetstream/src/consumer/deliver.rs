//! Giving messages to waiting requests: redeliveries first, then what is new, in stream order.

use std::collections::VecDeque;

use hitherto_protocol::{Subject, Timestamp};

use super::Consumer;
use crate::ack_subject::AckSubject;
use crate::command::{Command, Delivered, Settled, Settlement};
use crate::index::Index;
use crate::output::{Delivery, Output};
use crate::{AckPolicy, StreamSeq};

/// A message that could be delivered now.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    seq: StreamSeq,
    /// Which delivery of it this would be, from 1.
    deliveries: u64,
    stored_at: Timestamp,
    bytes: u64,
}

impl Consumer {
    /// Serves waiting requests as far as there is something to deliver.
    pub(crate) fn deliver(
        &mut self,
        now: Timestamp,
        index: &Index,
        interest: &dyn Fn(&Subject) -> bool,
        out: &mut VecDeque<Output>,
    ) {
        if !std::mem::take(&mut self.ready) {
            return;
        }
        self.waiting.retain(|request| interest(&request.reply));
        while !self.waiting.is_empty() {
            let Some(candidate) = self.candidate(now, index, out) else {
                break;
            };
            self.serve_first(now, candidate, out);
        }
        self.end_no_wait(out);
    }

    /// Gives the message to the oldest request, or ends that request if the message is too large.
    fn serve_first(&mut self, now: Timestamp, candidate: Candidate, out: &mut VecDeque<Output>) {
        let Some(request) = self.waiting.first() else {
            return;
        };
        let bytes = candidate.bytes;
        if request.bytes.is_some_and(|left| bytes > left) {
            out.push_back(request.status_pending(409, "Message Size Exceeds MaxBytes"));
            self.waiting.pop();
            return;
        }
        request.count(now, bytes);
        self.active_at = now;
        let to = request.reply.clone();
        let done = request.messages == 0;
        let spent = !done && request.bytes == Some(0);
        let batch_end = spent.then(|| request.status_pending(409, "Batch Completed"));
        if done || spent {
            self.waiting.pop();
        }
        self.deliver_one(now, to, candidate, out);
        out.extend(batch_end);
    }

    fn deliver_one(
        &mut self,
        now: Timestamp,
        to: Subject,
        candidate: Candidate,
        out: &mut VecDeque<Output>,
    ) {
        let delivered = Delivered {
            consumer: self.name.clone(),
            incarnation: self.incarnation,
            stream_seq: candidate.seq,
            consumer_seq: self.progress.delivered.consumer_seq.next(),
            deliveries: candidate.deliveries,
            at: now,
        };
        let needs_ack = self.needs_acks();
        if candidate.deliveries > 1 {
            self.progress.deliver_again(&delivered);
        } else {
            self.progress.deliver_first(&delivered, needs_ack, true);
        }
        if needs_ack {
            let due = now.saturating_add(self.ack_wait(candidate.deliveries));
            self.deadlines.set(candidate.seq, due);
        }
        out.push_back(Output::Deliver(Delivery {
            to,
            stream_seq: candidate.seq,
            ack_subject: self.ack_subject(&delivered, candidate.stored_at),
            headers_only: self.config.headers_only,
        }));
        out.push_back(Output::Propose {
            command: Command::Delivered(delivered),
            reply: None,
        });
    }

    fn ack_subject(&self, delivered: &Delivered, stored_at: Timestamp) -> Subject {
        AckSubject {
            stream: self.stream.clone(),
            consumer: self.name.clone(),
            deliveries: delivered.deliveries,
            stream_seq: delivered.stream_seq,
            consumer_seq: delivered.consumer_seq,
            at: stored_at,
            pending: self.progress.undelivered,
        }
        .to_subject()
    }

    fn candidate(
        &mut self,
        now: Timestamp,
        index: &Index,
        out: &mut VecDeque<Output>,
    ) -> Option<Candidate> {
        if let Some(again) = self.overdue_candidate(now, index, out) {
            return Some(again);
        }
        if self.is_stalled() {
            return None;
        }
        let seq = self.next_new(index)?;
        let entry = index.get(seq)?;
        Some(Candidate {
            seq,
            deliveries: 1,
            stored_at: entry.at,
            bytes: entry.bytes,
        })
    }

    /// The next message for a first delivery.
    fn next_new(&mut self, index: &Index) -> Option<StreamSeq> {
        if let Some(seq) = self.progress.initial.front() {
            return Some(*seq);
        }
        let from = self.progress.next_from().max(self.searched.next());
        let found = index.next(from, &self.selection);
        if found.is_none() {
            self.searched = index.last_seq();
        }
        found
    }

    fn overdue_candidate(
        &mut self,
        now: Timestamp,
        index: &Index,
        out: &mut VecDeque<Output>,
    ) -> Option<Candidate> {
        while let Some(seq) = self.deadlines.first_overdue() {
            match (self.progress.pending.get(&seq), index.get(seq)) {
                (Some(pending), Some(entry)) => {
                    return Some(Candidate {
                        seq,
                        deliveries: pending.deliveries + 1,
                        stored_at: entry.at,
                        bytes: entry.bytes,
                    });
                }
                // The stream has removed the message: nobody can ever acknowledge it.
                (Some(_), None) => self.drop_pending(now, seq, Settlement::Dropped, out),
                (None, _) => {}
            }
            self.deadlines.clear(seq);
        }
        None
    }

    /// Tells whether too much awaits acknowledgement for anything new.
    fn is_stalled(&self) -> bool {
        let max = usize::try_from(self.config.max_ack_pending).unwrap_or(0);
        self.needs_acks() && max > 0 && self.progress.pending.len() >= max
    }

    /// Has the log settle a message that will not be delivered again.
    pub(super) fn drop_pending(
        &self,
        now: Timestamp,
        seq: StreamSeq,
        how: Settlement,
        out: &mut VecDeque<Output>,
    ) {
        out.push_back(Output::Propose {
            command: Command::Settled(Settled {
                consumer: self.name.clone(),
                incarnation: self.incarnation,
                stream_seq: seq,
                how,
                at: now,
            }),
            reply: None,
        });
    }

    /// Ends requests that do not wait, now that nothing is left for them.
    fn end_no_wait(&mut self, out: &mut VecDeque<Output>) {
        self.waiting.retain(|request| {
            let ends = request.no_wait && (request.expires.is_none() || request.delivered > 0);
            if ends {
                out.push_back(request.status_pending(404, "No Messages"));
            }
            !ends
        });
    }

    /// The consumer goes: whoever waits is told.
    pub(crate) fn close(&mut self, out: &mut VecDeque<Output>) {
        while let Some(request) = self.waiting.pop() {
            out.push_back(request.status(409, "Consumer Deleted"));
        }
    }

    /// Answers for one delivery, or with ack policy `all` for all before it too.
    pub(super) fn is_pending(&self, seq: StreamSeq) -> bool {
        match self.config.ack_policy {
            AckPolicy::All => self.progress.pending.range(..=seq).next().is_some(),
            AckPolicy::None | AckPolicy::Explicit | AckPolicy::FlowControl => {
                self.progress.pending.contains_key(&seq)
            }
        }
    }
}
