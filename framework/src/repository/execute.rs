//! Executing one command.

use std::any::type_name;
use std::time::Duration;

use super::known::Known;
use super::{ATTEMPTS_MAX, BACKOFF_MAX, EVENTS_MAX, ExecuteError, Executed, IdOf, Repository};
use crate::aggregate::{Aggregate, Decide, Mode};
use crate::cause::Cause;
use crate::envelope;
use crate::id::Position;
use crate::jetstream::AppendError;

type Result<A> = std::result::Result<
    Executed<<A as Aggregate>::Event>,
    ExecuteError<<A as Aggregate>::Rejection>,
>;

impl<A: Aggregate> Repository<A> {
    /// Loads, decides, appends; again after a conflict.
    pub(crate) async fn execute<C>(&self, id: &IdOf<A>, cause: &Cause, command: &C) -> Result<A>
    where
        A: Decide<C>,
    {
        let slot = self.cache.slot(id);
        let mut slot = slot.lock().await;
        // Taken out: if this future is dropped or panics, the next one loads afresh.
        let mut session = match slot.take() {
            Some(known) => Session {
                repository: self,
                id,
                cause,
                known,
                fresh: false,
            },
            None => {
                let known = Known::default();
                let mut session = Session {
                    repository: self,
                    id,
                    cause,
                    known,
                    fresh: false,
                };
                session.refresh().await?;
                session
            }
        };
        let result = session.execute(command).await;
        if !matches!(
            result,
            Err(ExecuteError::Unknown { .. } | ExecuteError::Incompatible(_))
        ) {
            *slot = Some(session.known);
        }
        result
    }
}

/// One command at work on one aggregate, whose slot it holds.
struct Session<'a, A: Aggregate> {
    repository: &'a Repository<A>,
    id: &'a IdOf<A>,
    cause: &'a Cause,
    known: Known<A>,
    /// `known` has been compared with the log by this session.
    fresh: bool,
}

impl<A: Aggregate> Session<'_, A> {
    async fn execute<C>(&mut self, command: &C) -> Result<A>
    where
        A: Decide<C>,
    {
        let mut attempts = 0;
        loop {
            if let Some(earlier) = self.find_earlier().await? {
                return Ok(Executed {
                    duplicate: true,
                    ..earlier
                });
            }
            let events = match self.decide(command) {
                Ok(events) if !events.is_empty() => events,
                answer if !self.fresh => {
                    drop(answer);
                    self.refresh().await?;
                    continue;
                }
                Ok(events) => {
                    return Ok(Executed {
                        version: self.known.version,
                        events,
                        duplicate: false,
                    });
                }
                Err(error) => return Err(error),
            };
            match self.append(&events).await? {
                Appended::Stored(version) => {
                    self.known
                        .appended(&events, version, &self.cause.command_id);
                    return Ok(Executed {
                        version,
                        events,
                        duplicate: false,
                    });
                }
                Appended::Conflict => attempts += 1,
                Appended::Unknown => return self.resolve_unknown().await,
            }
            if attempts == ATTEMPTS_MAX {
                return Err(ExecuteError::Conflict {
                    attempts,
                    actual: self.known.version,
                });
            }
            self.recover_from_conflict().await?;
        }
    }

    fn decide<C>(
        &self,
        command: &C,
    ) -> std::result::Result<Vec<A::Event>, ExecuteError<A::Rejection>>
    where
        A: Decide<C>,
    {
        let aggregate = short_name::<A>();
        match (A::MODE, self.known.exists()) {
            (Mode::Create, true) => Err(ExecuteError::AlreadyExists {
                aggregate,
                id: self.id.to_string(),
            }),
            (Mode::Update, false) => Err(ExecuteError::NotFound {
                aggregate,
                id: self.id.to_string(),
            }),
            _ => self
                .known
                .state
                .decide(command)
                .map_err(ExecuteError::Rejected),
        }
    }

    async fn append(
        &self,
        events: &[A::Event],
    ) -> std::result::Result<Appended, ExecuteError<A::Rejection>> {
        if events.len() > EVENTS_MAX {
            let reason = format!(
                "{} events, at most {EVENTS_MAX} fit one command",
                events.len()
            );
            return Err(ExecuteError::Invalid { reason });
        }
        let messages = events
            .iter()
            .map(|event| envelope::encode(self.id, event, self.cause))
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| ExecuteError::Invalid {
                reason: error.to_string(),
            })?;
        let filter = envelope::aggregate_filter::<A::Event>(self.id);
        let Repository {
            jetstream, stream, ..
        } = self.repository;
        match jetstream
            .append(stream, messages, &filter, self.known.version.0)
            .await
        {
            Ok(ack) => Ok(Appended::Stored(Position(ack.seq))),
            Err(AppendError::Conflict) => Ok(Appended::Conflict),
            Err(AppendError::Unknown(error)) => {
                tracing::warn!(%filter, %error, "the fate of an append is unknown, reading the log");
                Ok(Appended::Unknown)
            }
            Err(AppendError::Refused(error)) => Err(ExecuteError::Unavailable {
                reason: error.to_string(),
            }),
        }
    }

    /// Reads what is new; tells whether there was anything.
    async fn refresh(&mut self) -> std::result::Result<bool, ExecuteError<A::Rejection>> {
        let changed = self.repository.catch_up(self.id, &mut self.known).await?;
        self.fresh = true;
        Ok(changed)
    }

    async fn recover_from_conflict(
        &mut self,
    ) -> std::result::Result<(), ExecuteError<A::Rejection>> {
        let backoff = fastrand::u64(1..=u64::try_from(BACKOFF_MAX.as_millis()).unwrap_or(1));
        tokio::time::sleep(Duration::from_millis(backoff)).await;
        if !self.refresh().await? {
            // Nothing newer and yet not what we know: the history was purged or restored.
            self.known = Known::default();
            self.refresh().await?;
        }
        Ok(())
    }

    /// Looks for our command in the log; absence proves nothing, the append may still arrive.
    async fn resolve_unknown(&mut self) -> Result<A> {
        let unknown = || ExecuteError::Unknown {
            command_id: self.cause.command_id.clone(),
        };
        match self.find_in_log().await {
            Ok(Some(found)) => {
                self.known = Known::default();
                self.refresh().await?;
                Ok(found)
            }
            Ok(None) | Err(_) => Err(unknown()),
        }
    }

    async fn find_earlier(
        &self,
    ) -> std::result::Result<Option<Executed<A::Event>>, ExecuteError<A::Rejection>> {
        if !self.known.may_have_seen(&self.cause.command_id) {
            return Ok(None);
        }
        self.find_in_log().await
    }

    async fn find_in_log(
        &self,
    ) -> std::result::Result<Option<Executed<A::Event>>, ExecuteError<A::Rejection>> {
        let history = self.repository.history(self.id).await?;
        let ours = Some(&self.cause.command_id);
        let events: Vec<_> = history
            .into_iter()
            .filter(|recorded| recorded.envelope.command_id.as_ref() == ours)
            .collect();
        Ok(events
            .last()
            .map(|last| last.position())
            .map(|version| Executed {
                version,
                events: events.into_iter().map(|recorded| recorded.event).collect(),
                duplicate: false,
            }))
    }
}

enum Appended {
    Stored(Position),
    Conflict,
    Unknown,
}

fn short_name<T>() -> &'static str {
    let name = type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}
