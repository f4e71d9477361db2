//! Pausing a consumer, and beginning anew (`CONSUMER.PAUSE`, `CONSUMER.RESET`).

use hitherto_protocol::Timestamp;

use super::Consumer;
use super::deadlines::Deadlines;
use super::deliver::Round;
use super::progress::{Place, Progress};
use super::settling::Settling;
use super::unrecorded::Unrecorded;
use crate::api::ApiError;
use crate::index::Index;
use crate::{ConsumerSeq, DeliverPolicy, StreamSeq};

impl Consumer {
    /// Delivers nothing until then; `None` goes on at once.
    pub(crate) fn pause(&mut self, until: Option<Timestamp>, at: Timestamp) {
        self.config.pause_until = until;
        self.config.note_required_level();
        self.watch_pause(at);
    }

    /// Forgets its deliveries and begins again at `seq`, or behind the ack floor. Returns where.
    ///
    /// It is another incarnation from now on: records of its past that are still on their way are not
    /// for it.
    ///
    /// # Errors
    /// 10204 when its deliver policy has no say in where it begins, or begins later.
    pub(crate) fn reset(
        &mut self,
        seq: Option<StreamSeq>,
        incarnation: u64,
        index: &Index,
    ) -> Result<StreamSeq, ApiError> {
        let from = match seq {
            None => self.known().ack_floor.stream_seq.next(),
            Some(seq) => self.check_reset(seq, index)?,
        };
        let before = Place {
            stream_seq: from.previous(),
            consumer_seq: ConsumerSeq(0),
        };
        if !self.is_volatile() {
            self.incarnation = incarnation;
        }
        self.progress = Progress {
            delivered: before,
            ack_floor: before,
            live_from: from,
            ..Progress::default()
        };
        if let Some(keys) = &mut self.keys {
            keys.rebuild(&self.progress, index);
        }
        self.round = Round::default();
        self.deadlines = Deadlines::default();
        self.settling = Settling::default();
        self.unrecorded = Unrecorded::default();
        self.searched = StreamSeq::default();
        self.progress.count_undelivered(&self.selection, index);
        self.recorded = self.progress.clone();
        Ok(from)
    }

    fn check_reset(&self, seq: StreamSeq, index: &Index) -> Result<StreamSeq, ApiError> {
        let first = match self.config.deliver_policy {
            DeliverPolicy::All => StreamSeq(0),
            DeliverPolicy::ByStartSequence => StreamSeq(self.config.opt_start_seq.unwrap_or(0)),
            DeliverPolicy::ByStartTime => {
                let start = self.config.opt_start_time;
                start.map_or(StreamSeq(0), |at| index.at_time(at))
            }
            DeliverPolicy::Last | DeliverPolicy::New | DeliverPolicy::LastPerSubject => {
                return Err(ApiError::consumer_invalid_reset("not allowed"));
            }
        };
        if seq < first {
            return Err(ApiError::consumer_invalid_reset("below start seq"));
        }
        Ok(seq)
    }
}
