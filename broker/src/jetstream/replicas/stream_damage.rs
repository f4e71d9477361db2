//! What is damaged of one stream: noted by whoever reads, told by its owner.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::sync::Arc;

use hitherto_jetstream::api::LostMessages;
use hitherto_jetstream::{Stream, StreamSeq};
use hitherto_storage::{Error, Finding, SegmentFile, StreamStore};

use super::damage::{Damage, DamageReport};
use super::hands::Hands;
use super::unreadable::Unreadable;
use crate::jetstream::taking::StreamEntry;

/// The damage of a stream that serves.
pub(super) struct StreamDamage {
    entry: Arc<StreamEntry>,
    report: DamageReport,
    /// Found by whoever reads, also by those who only look.
    unreadable: RefCell<Unreadable>,
}

impl StreamDamage {
    pub(super) fn new(entry: Arc<StreamEntry>, report: DamageReport) -> Self {
        Self {
            entry,
            report,
            unreadable: RefCell::default(),
        }
    }

    /// Notes that a message could not be read, and why.
    pub(super) fn note_unreadable(&self, store: &StreamStore, seq: StreamSeq, error: &Error) {
        if let Error::Damaged { .. } = error {
            self.note(store.unreadable_with(seq), &error.to_string());
        } else {
            let stream = &self.entry.name;
            tracing::error!(%stream, %seq, %error, "a stored message cannot be read");
        }
    }

    /// Takes in what a scrub has found, unless the segment has gone meanwhile.
    pub(super) fn note_findings(
        &self,
        store: &StreamStore,
        segment: &SegmentFile,
        findings: Vec<Finding>,
    ) {
        if !store.has_segment(segment) {
            return;
        }
        for finding in findings {
            let (file, offset) = (finding.file.display(), finding.offset);
            let problem = &finding.problem;
            match finding.sequences {
                Some(sequences) => {
                    let problem = format!("{file} is damaged at offset {offset}: {problem}");
                    self.note(sequences, &problem);
                }
                None => {
                    let stream = &self.entry.name;
                    tracing::error!(%stream, problem, "a segment is not as it should be; no message is known to be lost");
                }
            }
        }
    }

    /// Notes that these sequences cannot be read, and reports it the first time.
    fn note(&self, sequences: RangeInclusive<u64>, problem: &str) {
        let is_new = self.unreadable.borrow_mut().add(sequences.clone(), problem);
        if is_new {
            let stream = &self.entry.name;
            tracing::error!(%stream, ?sequences, problem, "messages are damaged");
            self.report.add(Damage {
                stream: stream.clone(),
                sequences: Some(sequences),
                problem: problem.to_owned(),
            });
        }
    }

    /// The messages before `seq` are gone, and so is what was damaged of them.
    pub(super) fn forget_below(&self, seq: u64) {
        if self.unreadable.borrow_mut().forget_below(seq) {
            self.report.forget_below(&self.entry.name, seq);
        }
    }

    /// What the stream still counts of the messages that cannot be read.
    pub(super) fn lost_of(&self, stream: &Stream) -> Option<LostMessages> {
        stream.messages_in(self.unreadable.borrow().ranges())
    }

    /// Publishes the advisories that are due.
    pub(super) fn tell(&self, hands: &mut Hands<'_>) {
        if !self.unreadable.borrow().has_unsaid() {
            return;
        }
        let mut unreadable = self.unreadable.borrow_mut();
        for (subject, payload) in unreadable.take_advisories(&self.entry.name, hands.now) {
            if let Some(subject) = subject {
                hands.outlet.publish(&subject, payload);
            }
        }
    }
}
