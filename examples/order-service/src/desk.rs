//! The desk: where every command, from a file or over HTTP, is decided once and for ever.
//!
//! An accepted command stands in its order's history under its id; a refused one in a history of
//! its own ([`Refusal`]). Both are looked up before anything is decided, and a refusal is stored
//! before the order's next command is looked at. So a command that was refused stays refused,
//! whatever has become of the order since, also when the process was killed in between.
//!
//! Limits. This holds for one process per set of orders: two processes that decide commands of
//! the same orders at the same time could accept and refuse the same command id. That an id was
//! used for *another order* is seen in the read model, which may be some milliseconds behind.

use std::error::Error;

use hitherto::{ExecuteError, Executed, LoadError, Position, ProjectionError, RunningApp};
use tokio::sync::Mutex;

use crate::command::{Action, Command, CommandToken, Malformed};
use crate::digest::{fnv1a_64, slot_of};
use crate::order::{Order, OrderEvent, OrderRejection};
use crate::read_model::AcceptedRow;
use crate::refusal::{Reason, Record, RecordUnreadable, Recorded, Refusal, Unreadable};

/// Locks for orders, by hash; two orders that share one wait for each other, no more.
const LOCKS: usize = 256;

/// Decides commands.
#[derive(Debug)]
pub struct Desk {
    app: RunningApp,
    locks: Vec<Mutex<()>>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The answer.
    pub decision: Decision,
    /// It had been decided before; nothing was done now.
    pub already: bool,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Its event is stored.
    Accepted {
        /// Where.
        position: Position,
    },
    /// The refusal is stored.
    Refused {
        /// Why.
        reason: Reason,
        /// The same in words.
        detail: String,
    },
}

// ANCHOR: decide
impl Desk {
    /// Decides a command, or finds out how it was decided before.
    ///
    /// # Errors
    /// [`DeskError::IdTaken`] when another command was decided under its id; otherwise what kept
    /// the desk from deciding. Sending the command again is always safe.
    pub async fn decide(&self, command: &Command) -> Result<Decided, DeskError> {
        let _turn = self.lock(command).lock().await;
        if let Some(decided) = self.find_accepted(command).await? {
            return Ok(decided);
        }
        if let Some(decided) = self.find_refused(command).await? {
            return Ok(decided);
        }
        match self.execute(command).await? {
            Ok(executed) => accepted(command, &executed),
            Err(rejected) => self.refuse(command, rejected).await,
        }
    }
}
// ANCHOR_END: decide

impl Desk {
    /// Makes a desk for an application that knows [`Order`], [`Refusal`] and [`AcceptedRow`].
    #[must_use]
    pub fn new(app: RunningApp) -> Self {
        let locks = (0..LOCKS).map(|_| Mutex::new(())).collect();
        Self { app, locks }
    }

    /// Records that a line of a file is no command; tells whether it was on record already.
    ///
    /// # Errors
    /// What kept the desk from recording it.
    pub async fn record_unreadable(&self, line: Unreadable) -> Result<bool, DeskError> {
        let name = format!("malformed-{:016x}", fnv1a_64(line.text.as_bytes()));
        let (filed_under, command_id) = names(&name)?;
        let record = RecordUnreadable(line);
        let executed = self
            .app
            .execute::<Refusal, _>(&filed_under, command_id, record)
            .await;
        executed
            .map(|executed| executed.duplicate)
            .map_err(DeskError::from_execute)
    }

    fn lock(&self, command: &Command) -> &Mutex<()> {
        &self.locks[slot_of(command.order.as_str(), LOCKS)]
    }

    /// The read model is a shortcut here: what it has not seen yet, `execute` finds in the history.
    async fn find_accepted(&self, command: &Command) -> Result<Option<Decided>, DeskError> {
        let Some(row) = self.app.rows::<AcceptedRow>()?.get(&command.id).await? else {
            return Ok(None);
        };
        if row.order != command.order || row.action != command.action {
            return Err(DeskError::id_taken(command));
        }
        let decision = Decision::Accepted {
            position: row.position,
        };
        Ok(Some(Decided {
            decision,
            already: true,
        }))
    }

    /// Asks the log itself, not a read model: one that lags would let the command be decided twice.
    async fn find_refused(&self, command: &Command) -> Result<Option<Decided>, DeskError> {
        let refusal = self.app.load::<Refusal>(&command.id).await?;
        let Some(recorded) = refusal.state.recorded else {
            return Ok(None);
        };
        if recorded.order != command.order || recorded.action != command.action {
            return Err(DeskError::id_taken(command));
        }
        let Recorded { reason, detail, .. } = recorded;
        Ok(Some(Decided {
            decision: Decision::Refused { reason, detail },
            already: true,
        }))
    }

    // ANCHOR: execute
    /// Executes the command on its order; tells a refusal from a failure.
    async fn execute(
        &self,
        command: &Command,
    ) -> Result<Result<Executed<OrderEvent>, Rejected>, DeskError> {
        let Command { order, action, .. } = command;
        let (app, id) = (&self.app, command.command_id()?);
        let executed = match action.clone() {
            Action::Place(place) => app.execute::<Order, _>(order, id, place).await,
            Action::AddItem(item) => app.execute::<Order, _>(order, id, item).await,
            Action::Pay(pay) => app.execute::<Order, _>(order, id, pay).await,
            Action::Ship(ship) => app.execute::<Order, _>(order, id, ship).await,
            Action::Cancel(cancel) => app.execute::<Order, _>(order, id, cancel).await,
        };
        match executed {
            Ok(executed) => Ok(Ok(executed)),
            Err(error) => Rejected::try_from(error).map(Err),
        }
    }
    // ANCHOR_END: execute

    async fn refuse(&self, command: &Command, rejected: Rejected) -> Result<Decided, DeskError> {
        let Rejected { reason, detail } = rejected;
        let record = Record(Recorded {
            order: command.order.clone(),
            action: command.action.clone(),
            reason,
            detail: detail.clone(),
        });
        let recorded = self
            .app
            .execute::<Refusal, _>(&command.id, command.command_id()?, record);
        recorded.await.map_err(DeskError::from_execute)?;
        Ok(Decided {
            decision: Decision::Refused { reason, detail },
            already: false,
        })
    }
}

fn accepted(command: &Command, executed: &Executed<OrderEvent>) -> Result<Decided, DeskError> {
    let same = executed
        .events
        .iter()
        .all(|event| Action::from(event) == command.action);
    if !same {
        return Err(DeskError::id_taken(command));
    }
    let decision = Decision::Accepted {
        position: executed.version,
    };
    Ok(Decided {
        decision,
        already: executed.duplicate,
    })
}

fn names(text: &str) -> Result<(CommandToken, hitherto::CommandId), Malformed> {
    let token = CommandToken::new(text).map_err(|error| Malformed(error.to_string()))?;
    let command_id =
        hitherto::CommandId::new(text).map_err(|error| Malformed(error.to_string()))?;
    Ok((token, command_id))
}

/// The domain's no, in code and in words.
struct Rejected {
    reason: Reason,
    detail: String,
}

impl TryFrom<ExecuteError<OrderRejection>> for Rejected {
    type Error = DeskError;

    fn try_from(error: ExecuteError<OrderRejection>) -> Result<Self, DeskError> {
        let reason = match &error {
            ExecuteError::Rejected(rejection) => Reason::from(rejection),
            ExecuteError::NotFound { .. } => Reason::UnknownOrder,
            ExecuteError::AlreadyExists { .. } => Reason::AlreadyPlaced,
            _ => return Err(DeskError::from_execute(error)),
        };
        Ok(Self {
            reason,
            detail: error.to_string(),
        })
    }
}

/// A command was not decided.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Another command was decided under this id.
    #[error("command id {id} was used for another command; a new command needs a new id")]
    IdTaken {
        /// The id.
        id: CommandToken,
    },
    /// The command's id cannot be used.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The broker does not answer for now.
    #[error("the command is not decided yet; send it again with the same id")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Stored events or rows cannot be read.
    #[error("the command cannot be decided")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

impl DeskError {
    fn id_taken(command: &Command) -> Self {
        Self::IdTaken {
            id: command.id.clone(),
        }
    }

    fn from_execute<R: Error + Send + Sync + 'static>(error: ExecuteError<R>) -> Self {
        if error.is_retryable() {
            Self::Unavailable(error.into())
        } else {
            Self::Broken(error.into())
        }
    }
}

impl From<LoadError> for DeskError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Unavailable { .. } => Self::Unavailable(error.into()),
            _ => Self::Broken(error.into()),
        }
    }
}

impl From<ProjectionError> for DeskError {
    fn from(error: ProjectionError) -> Self {
        match error {
            ProjectionError::Unavailable { .. } => Self::Unavailable(error.into()),
            _ => Self::Broken(error.into()),
        }
    }
}
