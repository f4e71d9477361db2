//! What each command does to a stream.

use hitherto_protocol::{SubjectFilter, Timestamp};

use super::expectations::Expectations;
use super::rollup::Rollup;
use super::{Stream, republish_of};
use crate::api::ApiError;
use crate::command::{Append, Command, Control, Delivered, Purge, Settled};
use crate::index::Selection;
use crate::output::{Outcome, Output, Republished, Stored};
use crate::{LogIndex, SeqRanges, StoredMessage, StreamConfig, StreamSeq};

impl Stream {
    /// Applies one command of the entry at `index`: the only way replicated state changes.
    ///
    /// Entries come in order; the commands of one entry share its index. Entries that are part of
    /// the snapshot the stream was restored from change nothing.
    pub fn apply(&mut self, index: LogIndex, command: Command) -> Outcome {
        if index <= self.restored {
            return Outcome::AlreadyApplied;
        }
        self.applied = index;
        match command {
            Command::Append(append) => Outcome::Published(self.append(append)),
            Command::AppendBatch(batch) => Outcome::Published(self.append_batch(batch)),
            Command::Delivered(delivered) => self.record_delivered(&delivered),
            Command::Settled(settled) => self.record_settled(&settled),
            Command::Control(control) => self.control(control),
        }
    }

    fn control(&mut self, control: Control) -> Outcome {
        match control {
            Control::Configure { config, at } => {
                self.configure(*config, at);
                Outcome::Recorded
            }
            Control::Purge(purge) => Outcome::Purged(self.purge(&purge)),
            Control::DeleteMessage { seq, erase } => {
                Outcome::Deleted(self.delete_message(seq, erase))
            }
            Control::Expire { at } => {
                self.expire(at);
                Outcome::Recorded
            }
            Control::PutConsumer(put) => Outcome::Consumer(self.put_consumer(put)),
            Control::DeleteConsumer {
                name,
                incarnation,
                at,
            } => Outcome::Deleted(self.delete_consumer(&name, incarnation, at)),
            Control::PauseConsumer { name, until, at } => {
                Outcome::Paused(self.pause_consumer(&name, until, at))
            }
            Control::Durability { relaxed, skip_to } => {
                self.relaxed = relaxed;
                self.index.skip_to(skip_to.unwrap_or_default());
                Outcome::Recorded
            }
            Control::ResetConsumer { name, seq, at } => {
                Outcome::Reset(self.reset_consumer(&name, seq, at))
            }
        }
    }

    fn append(&mut self, append: Append) -> Result<Stored, ApiError> {
        self.check_open()?;
        self.expire(append.at);
        let expected = Expectations::read(append.headers.as_ref())?;
        if let Some(first) = expected
            .msg_id
            .and_then(|id| self.dedupe.get(id, append.at))
        {
            return Ok(Stored::single(first, true));
        }
        self.check_size(&append)?;
        self.check_expectations(&expected, &append.subject)?;
        let rollup = self.check_rollup(expected.rollup)?;
        // What is not kept needs no room, and no lifetime.
        if self.has_interest(append.subject.as_str()) {
            expected.check_lifetime()?;
            self.check_room(std::slice::from_ref(&append))?;
        }
        let msg_id = expected.msg_id.map(str::to_owned);
        let seq = self.store(append, msg_id, rollup);
        Ok(Stored::single(seq, false))
    }

    /// Refuses changes of a sealed stream.
    pub(super) fn check_open(&self) -> Result<(), ApiError> {
        if self.config.sealed {
            return Err(ApiError::stream_sealed());
        }
        Ok(())
    }

    /// Appends without asking; everything that may refuse comes before.
    pub(super) fn store(
        &mut self,
        append: Append,
        msg_id: Option<String>,
        rollup: Option<Rollup>,
    ) -> StreamSeq {
        let seq = self.index.last_seq().next();
        let message = StoredMessage {
            seq,
            at: append.at,
            subject: append.subject,
            headers: append.headers,
            payload: append.payload,
        };
        if !self.has_interest(message.subject.as_str()) {
            self.index.skip_to(seq);
            self.remember(seq, message.at, msg_id);
            return seq;
        }
        let republished = self.republished(&message);
        let meta = message.meta();
        self.index.append(&meta);
        if let Some(lifetime) = meta.lifetime {
            self.lifetimes.insert(seq, lifetime);
        }
        self.consumers.message_added(seq, message.subject.as_str());
        self.remember(seq, message.at, msg_id);
        let subject = message.subject.clone();
        self.outputs.push_back(Output::Store(message));
        self.outputs
            .extend(republished.map(|again| Output::Republish(Box::new(again))));
        self.enforce_limits(Some(subject.as_str()));
        if let Some(rollup) = rollup {
            self.roll_up(rollup, seq, subject.as_str());
        }
        seq
    }

    /// How a message that is about to be stored is published again; `None` when it is not.
    fn republished(&self, message: &StoredMessage) -> Option<Republished> {
        let transform = self.republish.as_ref()?;
        // Any number will do for `random`: nothing that is kept depends on it.
        let random = || u32::try_from(message.seq.0 & u64::from(u32::MAX)).unwrap_or(0);
        let to = transform.apply(&message.subject, random)?;
        let last = self.index.last_on(message.subject.as_str());
        Some(Republished {
            to,
            message: message.clone(),
            last_seq: last.unwrap_or_default(),
            headers_only: self.config.republish.as_ref()?.headers_only,
        })
    }

    fn remember(&mut self, seq: StreamSeq, at: Timestamp, msg_id: Option<String>) {
        if let Some(id) = &msg_id {
            let window = self.config.duplicate_window;
            self.dedupe.insert(id, seq, at, window);
        }
        self.last_at = at;
        self.last_msg_id = msg_id;
    }

    /// Removes one message that exists.
    pub(super) fn remove(&mut self, seq: StreamSeq) {
        if !self.forget(seq) {
            return;
        }
        match self.outputs.back_mut() {
            Some(Output::Remove(ranges)) => ranges.push(seq),
            _ => self.outputs.push_back(Output::Remove(SeqRanges::one(seq))),
        }
    }

    /// Forgets all about a message; `false` when it does not exist.
    fn forget(&mut self, seq: StreamSeq) -> bool {
        let Some(removed) = self.index.remove(seq) else {
            return false;
        };
        self.lifetimes.remove(seq);
        self.consumers
            .message_removed(seq, removed.subject.as_str());
        true
    }

    fn configure(&mut self, config: StreamConfig, at: Timestamp) {
        let per_subject_lowered = config.max_msgs_per_subject > 0
            && (self.config.max_msgs_per_subject <= 0
                || config.max_msgs_per_subject < self.config.max_msgs_per_subject);
        let retention = std::mem::replace(&mut self.config, config).retention;
        self.republish = republish_of(&self.config);
        self.consumers
            .limit_replicas(self.config.num_replicas.max(1));
        if retention != self.config.retention {
            self.release_all();
        }
        self.expire(at);
        self.enforce_limits(None);
        if per_subject_lowered {
            self.trim_subjects();
        }
    }

    fn purge(&mut self, purge: &Purge) -> Result<u64, ApiError> {
        self.check_open()?;
        if self.config.deny_purge {
            return Err(ApiError::purge_not_permitted());
        }
        let gone = match &purge.filter {
            None => self.purge_oldest(purge),
            Some(filter) => self.purge_subjects(filter, purge)?,
        };
        if let (None, Some(before)) = (&purge.filter, purge.before)
            && before <= Self::FIRST_SEQ_MAX
        {
            // The stream goes on from there, also from beyond its end, as on nats-server 2.15.
            self.index.skip_to(before.previous());
        }
        Ok(gone)
    }

    /// Removes from the old end; returns how many.
    fn purge_oldest(&mut self, purge: &Purge) -> u64 {
        let behind = |before| self.index.count(before, &Selection::all());
        let before = self.index.messages() - purge.before.map_or(0, behind);
        let gone = before.saturating_sub(purge.keep.unwrap_or(0));
        for _ in 0..gone {
            self.remove(self.index.first_seq());
        }
        gone
    }

    fn purge_subjects(&mut self, filter: &str, purge: &Purge) -> Result<u64, ApiError> {
        let filter = SubjectFilter::new(filter)
            .map_err(|error| ApiError::stream_invalid_config(&error.to_string()))?;
        let selection = Selection::new(vec![filter]);
        let mut doomed = self.index.selected(&selection, purge.before);
        if let Some(keep) = purge.keep {
            let keep = usize::try_from(keep).unwrap_or(usize::MAX);
            doomed.truncate(doomed.len().saturating_sub(keep));
        }
        for seq in &doomed {
            self.remove(*seq);
        }
        Ok(doomed.len() as u64)
    }

    fn delete_message(&mut self, seq: StreamSeq, erase: bool) -> Result<(), ApiError> {
        self.check_open()?;
        if self.config.deny_delete {
            return Err(ApiError::delete_not_permitted());
        }
        if seq > self.index.last_seq() {
            return Err(ApiError::delete_past_the_end());
        }
        if !self.index.contains(seq) {
            return Err(ApiError::no_message_to_delete());
        }
        if erase && self.forget(seq) {
            self.outputs.push_back(Output::Erase(seq));
        } else {
            self.remove(seq);
        }
        Ok(())
    }

    fn record_delivered(&mut self, delivered: &Delivered) -> Outcome {
        let consumer = self.consumers.get_mut(&delivered.consumer);
        let done = consumer.map(|one| one.apply_delivered(delivered, &self.index));
        self.release(done.into_iter().flatten());
        Outcome::Recorded
    }

    fn record_settled(&mut self, settled: &Settled) -> Outcome {
        let Some(consumer) = self.consumers.get_mut(&settled.consumer) else {
            // Nobody is told that it is settled: under a new consumer of that name the message comes again.
            return Outcome::Premature;
        };
        let applied = consumer.apply_settled(settled);
        self.release(applied.done);
        if applied.is_premature {
            return Outcome::Premature;
        }
        Outcome::Recorded
    }
}
