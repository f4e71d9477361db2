//! Deliveries whose records are under way, and what is done when a record was lost.
//!
//! The log refuses records while the disk is full. Nobody learns which, only that there were some. The
//! records behind a lost one are passed over when they come out of the log, so the owner proposes all
//! deliveries again that no record has told of, as one record, and the settlements after it.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use hitherto_protocol::Timestamp;

use super::Consumer;
use crate::ConsumerSeq;
use crate::command::Runs;
use crate::output::Output;

/// How long a consumer waits before it proposes lost records again: 100 ms. Meanwhile it delivers
/// nothing, so that what is not recorded stays small.
const PROPOSE_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Records that have not come out of the log, oldest first.
#[derive(Debug, Default)]
pub(super) struct Unrecorded {
    records: VecDeque<Record>,
    /// Some may be lost: all are proposed again then.
    again_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Record {
    first: ConsumerSeq,
    last: ConsumerSeq,
    messages: Runs,
}

impl Unrecorded {
    /// A record of the deliveries from `first` to `last` is on its way.
    pub(super) fn push(&mut self, first: ConsumerSeq, last: ConsumerSeq, messages: Runs) {
        self.records.push_back(Record {
            first,
            last,
            messages,
        });
    }

    /// Everything up to this delivery is recorded.
    pub(super) fn forget_through(&mut self, recorded: ConsumerSeq) {
        while self
            .records
            .front()
            .is_some_and(|record| record.last <= recorded)
        {
            self.records.pop_front();
        }
    }

    /// When lost records are proposed again; `None` when none is lost.
    pub(super) fn again_at(&self) -> Option<Timestamp> {
        self.again_at
    }

    /// Makes one record of all.
    fn join(&mut self) -> Option<&Record> {
        let mut records = mem::take(&mut self.records).into_iter();
        let mut joined = records.next()?;
        for record in records {
            joined.last = record.last;
            joined.messages.extend(&record.messages);
        }
        self.records.push_back(joined);
        self.records.front()
    }
}

impl Consumer {
    /// Records of the stream were lost; some may be this consumer's.
    pub(crate) fn handle_lost_records(&mut self, now: Timestamp) {
        if self.is_volatile() {
            return;
        }
        self.leaving = false;
        self.unrecorded.again_at = Some(now.saturating_add(PROPOSE_AGAIN_AFTER));
    }

    /// Proposes lost records again when it is time; `false` while it is not.
    pub(super) fn propose_again(&mut self, now: Timestamp, out: &mut VecDeque<Output>) -> bool {
        let Some(at) = self.unrecorded.again_at else {
            return true;
        };
        if at > now {
            return false;
        }
        self.unrecorded.again_at = None;
        let joined = self.unrecorded.join();
        if let Some((first, messages)) = joined.map(|all| (all.first, all.messages.clone())) {
            out.push_back(self.record_of(first, messages, now));
        }
        self.settling.add_again(&self.progress.pending);
        true
    }
}
