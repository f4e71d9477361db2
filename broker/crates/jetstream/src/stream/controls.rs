//! Creating, changing, pausing, resetting and removing a consumer.
//!
//! Most of it comes out of the log. A consumer of which no record tells
//! ([`ConsumerConfig::is_volatile`](crate::ConsumerConfig::is_volatile)) is the owner's alone, and so
//! is what changes it: [`Stream::handle_control`].

use hitherto_protocol::Timestamp;

use super::Stream;
use crate::api::{ApiError, ConsumerInfo, ConsumerPaused};
use crate::command::{Control, PutAction, PutConsumer};
use crate::consumer::Consumer;
use crate::output::{Outcome, Output};
use crate::{Retention, StreamSeq};

impl Stream {
    /// Carries out a change of a consumer that lives in memory alone, at once; gives the command back when
    /// it has to go through the log.
    ///
    /// # Errors
    /// The command, untouched.
    pub fn handle_control(&mut self, control: Control) -> Result<Outcome, Control> {
        let of_volatile = |name: &str| {
            let consumer = self.consumers.get(name);
            consumer.is_some_and(Consumer::is_volatile)
        };
        match control {
            Control::PutConsumer(put) if self.is_put_here(&put) => {
                Ok(Outcome::Consumer(self.put_volatile(put)))
            }
            Control::DeleteConsumer { name, at, .. } if of_volatile(&name) => {
                Ok(Outcome::Deleted(self.delete_consumer(&name, None, at)))
            }
            Control::PauseConsumer { name, until, at } if of_volatile(&name) => {
                Ok(Outcome::Paused(self.pause_consumer(&name, until, at)))
            }
            Control::ResetConsumer { name, seq, at } if of_volatile(&name) => {
                Ok(Outcome::Reset(self.reset_consumer(&name, seq, at)))
            }
            control => Err(control),
        }
    }

    fn is_put_here(&self, put: &PutConsumer) -> bool {
        match self.consumers.get(&put.name) {
            Some(consumer) => consumer.is_volatile(),
            // What consumers without acknowledgements have been given decides what goes from the
            // stream there, so it has to be recorded.
            None => put.config.is_volatile() && self.config.retention == Retention::Limits,
        }
    }

    fn put_volatile(&mut self, put: PutConsumer) -> Result<(Box<ConsumerInfo>, bool), ApiError> {
        if self.consumers.get(&put.name).is_some() {
            return self.change_consumer(put);
        }
        self.check_consumers(&put, self.consumers.len())?;
        self.create_consumer(put, 0)
    }

    /// From the log.
    pub(super) fn put_consumer(
        &mut self,
        put: PutConsumer,
    ) -> Result<(Box<ConsumerInfo>, bool), ApiError> {
        match self.consumers.get(&put.name) {
            Some(consumer) if !consumer.is_volatile() => return self.change_consumer(put),
            // It took the name while this was under way; the log counts.
            Some(_) => self.delete_consumer(&put.name, None, put.at)?,
            None => {}
        }
        self.check_consumers(&put, self.consumers.recorded().count())?;
        self.check_queue_consumer(&put)?;
        let (info, created) = self.create_consumer(put, self.consumers_created + 1)?;
        self.consumers_created += 1;
        Ok((info, created))
    }

    fn check_consumers(&self, put: &PutConsumer, others: usize) -> Result<(), ApiError> {
        if put.action == PutAction::Update {
            return Err(ApiError::consumer_does_not_exist());
        }
        if others >= self.consumers_max() {
            return Err(ApiError::maximum_consumers());
        }
        Ok(())
    }

    fn create_consumer(
        &mut self,
        put: PutConsumer,
        incarnation: u64,
    ) -> Result<(Box<ConsumerInfo>, bool), ApiError> {
        let at = put.at;
        let consumer = Consumer::new(&self.config.name, incarnation, put, &self.index)?;
        self.outputs.push_back(consumer.created_advisory());
        if consumer.is_paused(at) {
            self.outputs.push_back(consumer.pause_advisory(at));
        }
        self.outputs.extend(consumer.watch().map(Output::Watch));
        let info = Box::new(consumer.info(at));
        self.consumers.insert(consumer);
        Ok((info, true))
    }

    fn change_consumer(
        &mut self,
        mut put: PutConsumer,
    ) -> Result<(Box<ConsumerInfo>, bool), ApiError> {
        let at = put.at;
        let name = put.name.clone();
        let consumer = self.consumers.get(&name);
        let consumer = consumer.ok_or_else(ApiError::consumer_not_found)?;
        // Only a request of its own changes it, as on nats-server.
        put.config.pause_until = consumer.config().pause_until;
        put.config.note_required_level();
        if !consumer.has_config(&put.config) {
            if put.action == PutAction::Create {
                return Err(ApiError::consumer_already_exists());
            }
            consumer.config().can_update_to(&put.config)?;
            self.check_queue_consumer(&put)?;
            let before = consumer.selection().clone();
            let pushed_to = consumer.watch();
            let is_recorded = !consumer.is_volatile();
            self.consumers.change(&name, |consumer| {
                consumer.reconfigure(*put.config, &self.index, at);
            });
            let consumer = self.consumers.get(&name);
            let pushes_to = consumer.and_then(Consumer::watch);
            if pushes_to != pushed_to {
                self.outputs.extend(pushes_to.map(Output::Watch));
            }
            if is_recorded {
                self.release_selected(&before);
            }
        }
        let consumer = self.consumers.get(&name);
        let info = consumer.map(|consumer| consumer.info(at));
        let info = info.ok_or_else(ApiError::consumer_not_found)?;
        Ok((Box::new(info), false))
    }

    pub(super) fn delete_consumer(
        &mut self,
        name: &str,
        incarnation: Option<u64>,
        at: Timestamp,
    ) -> Result<(), ApiError> {
        let found = self.consumers.get(name);
        if found.is_none_or(|one| incarnation.is_some_and(|wanted| wanted != one.incarnation())) {
            return Err(ApiError::consumer_not_found());
        }
        let consumer = self.consumers.remove(name);
        let mut consumer = consumer.ok_or_else(ApiError::consumer_not_found)?;
        consumer.end_requests("Consumer Deleted", &mut self.outputs);
        if consumer.watch().is_some() {
            let consumer = name.to_owned();
            self.outputs.push_back(Output::Unwatch { consumer });
        }
        self.outputs.push_back(consumer.deleted_advisory(at));
        // Nothing was kept for one that lives in memory alone, and no record tells of its end.
        if !consumer.is_volatile() {
            self.release_selected(consumer.selection());
        }
        Ok(())
    }

    /// Removes consumers in memory that have been unused for too long.
    pub(super) fn remove_unused(&mut self, now: Timestamp) {
        let unused = self.consumers.take_unused();
        for name in unused {
            self.delete_consumer(&name, None, now).ok();
        }
    }

    pub(super) fn pause_consumer(
        &mut self,
        name: &str,
        until: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<ConsumerPaused, ApiError> {
        let consumer = self.consumers.get_mut(name);
        let consumer = consumer.ok_or_else(ApiError::consumer_not_found)?;
        consumer.pause(until, at);
        self.outputs.push_back(consumer.pause_advisory(at));
        let pause = until.filter(|until| *until > at);
        Ok(ConsumerPaused {
            paused: pause.is_some(),
            pause_until: until.unwrap_or_default(),
            pause_remaining: pause.map(|until| until.saturating_duration_since(at)),
        })
    }

    pub(super) fn reset_consumer(
        &mut self,
        name: &str,
        seq: Option<StreamSeq>,
        at: Timestamp,
    ) -> Result<(Box<ConsumerInfo>, StreamSeq), ApiError> {
        let consumer = self.consumers.get_mut(name);
        let consumer = consumer.ok_or_else(ApiError::consumer_not_found)?;
        let seq = consumer.reset(seq, self.consumers_created + 1, &self.index)?;
        self.consumers_created += u64::from(!consumer.is_volatile());
        Ok((Box::new(consumer.info(at)), seq))
    }

    fn consumers_max(&self) -> usize {
        match usize::try_from(self.config.max_consumers) {
            Ok(max) if max > 0 => max,
            _ => Self::CONSUMERS_MAX,
        }
    }
}
