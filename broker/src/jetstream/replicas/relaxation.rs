//! What a stream and its log have agreed on: whether acks go before the sync.
//!
//! The log is told to report records early only once a record that says so is applied; it is told to stop
//! before the record is proposed that takes it back. So whoever recovers the stream knows from its records
//! whether sequences may have been given out that are lost, and leaves those out.

use hitherto_jetstream::Stream;
use hitherto_jetstream::command::APPEND_BYTES_MIN;
use hitherto_storage::UNSYNCED_BYTES_MAX;

// As many messages as the log leaves unsynced at most.
const _: () = assert!(UNSYNCED_BYTES_MAX / APPEND_BYTES_MIN as u64 <= Stream::UNSYNCED_SEQS_MAX);

/// The records about it that were asked for.
#[derive(Debug)]
pub(super) struct Relaxation {
    /// What the newest of them says.
    asked: bool,
    /// How many are not applied yet.
    under_way: u32,
    /// The node ends, and from now on everything is synced.
    ends: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// Propose a record that says so; when it says no, let the log sync everything first.
    Ask(bool),
    /// Let the log report records before they are synced.
    Relax,
}

impl Relaxation {
    /// Begins with what the records of the stream say.
    pub(super) fn new(is_relaxed: bool) -> Self {
        Self {
            asked: is_relaxed,
            under_way: 0,
            ends: false,
        }
    }

    /// A record was proposed.
    pub(super) fn asked(&mut self, relaxed: bool) {
        self.asked = relaxed;
        self.under_way += 1;
    }

    /// A record is applied.
    pub(super) fn applied(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A record is not in the log. The next change of the stream asks again.
    pub(super) fn failed(&mut self, is_relaxed: bool) {
        self.applied();
        self.asked = is_relaxed;
    }

    /// From now on everything is to be synced.
    pub(super) fn end(&mut self) {
        self.ends = true;
    }

    /// What follows from the configuration and from what the records say.
    pub(super) fn next(&self, is_wanted: bool, is_relaxed: bool) -> Step {
        let is_wanted = is_wanted && !self.ends;
        match () {
            () if is_wanted != self.asked => Step::Ask(is_wanted),
            () if is_wanted && is_relaxed && self.under_way == 0 => Step::Relax,
            () => Step::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_reports_early_only_while_the_records_say_so() {
        let mut relaxation = Relaxation::new(false);
        assert_eq!(relaxation.next(false, false), Step::Nothing);
        assert_eq!(relaxation.next(true, false), Step::Ask(true));
        relaxation.asked(true);
        assert_eq!(relaxation.next(true, false), Step::Nothing);
        relaxation.applied();
        assert_eq!(relaxation.next(true, true), Step::Relax);
        assert_eq!(relaxation.next(false, true), Step::Ask(false));
        relaxation.asked(false);
        assert_eq!(relaxation.next(false, true), Step::Nothing);
    }

    #[test]
    fn a_record_that_is_overtaken_does_not_relax() {
        let mut relaxation = Relaxation::new(false);
        relaxation.asked(true);
        assert_eq!(relaxation.next(false, false), Step::Ask(false));
        relaxation.asked(false);
        relaxation.applied();
        assert_eq!(relaxation.next(false, true), Step::Nothing);
        relaxation.asked(true);
        relaxation.applied();
        assert_eq!(
            relaxation.next(true, true),
            Step::Nothing,
            "one is under way"
        );
        relaxation.applied();
        assert_eq!(relaxation.next(true, true), Step::Relax);
    }

    #[test]
    fn what_the_log_did_not_take_is_asked_for_again() {
        let mut relaxation = Relaxation::new(false);
        relaxation.asked(true);
        relaxation.failed(false);
        assert_eq!(relaxation.next(true, false), Step::Ask(true));
    }

    #[test]
    fn at_the_end_everything_is_synced() {
        let mut relaxation = Relaxation::new(true);
        assert_eq!(relaxation.next(true, true), Step::Relax);
        relaxation.end();
        assert_eq!(relaxation.next(true, true), Step::Ask(false));
    }
}
