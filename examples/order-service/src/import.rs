//! Importing a command file: orders side by side, each order's commands in the order of the file.
//!
//! Lines are dealt to lanes by order id. A lane decides one command after the other; its queue is
//! short, so reading waits for deciding and memory does not grow with the file.

mod lines;
mod tally;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncBufRead;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::command::{Command, Malformed};
use crate::desk::{Decision, Desk, DeskError};
use crate::digest::slot_of;
use crate::refusal::Unreadable;

use self::lines::{Line, Lines};

pub use self::tally::{Flaw, Flaws, Tally};

/// The command file this package ships.
pub const SHIPPED: &str = include_str!("../commands.jsonl");

/// Orders worked on at the same time.
const LANES: usize = 128;
/// Commands that wait in front of one lane.
const LANE_QUEUE: usize = 16;
/// Waits before a command is tried again when the broker does not answer; then the import fails.
const RETRY_AFTER: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// Bytes of an unreadable line that are kept.
const TEXT_KEPT_BYTES: usize = 512;

/// What goes to a lane.
struct Job {
    line: u64,
    bytes: u64,
    work: Work,
}

enum Work {
    Decide(Command),
    RecordUnreadable { text: String, problem: Malformed },
}

// ANCHOR: import
/// Decides every command of `source`. `progress` is told the bytes of every line that is done; once
/// `stop` is ready no further line is read.
///
/// # Errors
/// [`ImportError`]; what was decided stays decided, and importing again goes on from there.
pub async fn import(
    desk: &Arc<Desk>,
    source: impl AsyncBufRead + Unpin,
    progress: impl Fn(u64) + Clone + Send + 'static,
    stop: impl Future<Output = ()>,
) -> Result<Tally, ImportError> {
    let mut lanes = JoinSet::new();
    let mut queues = Vec::with_capacity(LANES);
    for _ in 0..LANES {
        let (queue, jobs) = mpsc::channel(LANE_QUEUE);
        queues.push(queue);
        lanes.spawn(run_lane(Arc::clone(desk), jobs, progress.clone()));
    }
    let dealt = deal(source, &queues, stop).await;
    drop(queues);
    let mut tally = Tally::default();
    while let Some(lane) = lanes.join_next().await {
        tally.add(lane??);
    }
    tally.stopped = dealt? == Dealt::Stopped;
    Ok(tally.sorted())
}
// ANCHOR_END: import

#[derive(PartialEq)]
enum Dealt {
    All,
    Stopped,
}

/// Reads line by line and hands each to the lane of its order.
async fn deal(
    source: impl AsyncBufRead + Unpin,
    queues: &[mpsc::Sender<Job>],
    stop: impl Future<Output = ()>,
) -> io::Result<Dealt> {
    let mut stop = std::pin::pin!(stop);
    let mut lines = Lines::new(source);
    loop {
        // Both may be cancelled: on stop the half-read line is dropped together with the file.
        let line = tokio::select! {
            biased;
            () = &mut stop => return Ok(Dealt::Stopped),
            line = lines.next() => line?,
        };
        let Some(line) = line else {
            return Ok(Dealt::All);
        };
        let Some(job) = Job::from_line(line) else {
            continue;
        };
        let queue = &queues[slot_of(job.lane(), queues.len())];
        // A lane that is gone has failed; its error is what the import ends with.
        if queue.send(job).await.is_err() {
            return Ok(Dealt::Stopped);
        }
    }
}

// ANCHOR: lane
/// Decides the commands of some orders, one after the other.
async fn run_lane(
    desk: Arc<Desk>,
    mut jobs: mpsc::Receiver<Job>,
    progress: impl Fn(u64),
) -> Result<Tally, ImportError> {
    let mut tally = Tally::default();
    while let Some(Job { line, bytes, work }) = jobs.recv().await {
        match work {
            Work::Decide(command) => decide(&desk, line, &command, &mut tally).await?,
            Work::RecordUnreadable { text, problem } => {
                let unreadable = Unreadable {
                    line,
                    text,
                    problem: problem.to_string(),
                };
                record(&desk, unreadable, &mut tally).await?;
            }
        }
        progress(bytes);
    }
    Ok(tally)
}
// ANCHOR_END: lane

async fn decide(
    desk: &Desk,
    line: u64,
    command: &Command,
    tally: &mut Tally,
) -> Result<(), ImportError> {
    match insist(|| desk.decide(command)).await {
        Ok(decided) => {
            match &decided.decision {
                Decision::Accepted { .. } => tally.accepted += 1,
                Decision::Refused { .. } => tally.refused += 1,
            }
            tally.count(decided.already);
            Ok(())
        }
        Err(error @ DeskError::IdTaken { .. }) => {
            tally.ids_taken.push(Flaw {
                line,
                problem: error.to_string(),
            });
            Ok(())
        }
        Err(source) => Err(ImportError::Line { line, source }),
    }
}

async fn record(desk: &Desk, unreadable: Unreadable, tally: &mut Tally) -> Result<(), ImportError> {
    let Unreadable { line, problem, .. } = unreadable.clone();
    let already = insist(|| desk.record_unreadable(unreadable.clone())).await;
    let already = already.map_err(|source| ImportError::Line { line, source })?;
    tally.unreadable.push(Flaw { line, problem });
    tally.count(already);
    Ok(())
}

/// Tries again while the broker does not answer: the same command id makes that safe.
async fn insist<T, F>(attempt: impl Fn() -> F) -> Result<T, DeskError>
where
    F: Future<Output = Result<T, DeskError>>,
{
    for pause in RETRY_AFTER {
        match attempt().await {
            Err(DeskError::Unavailable(_)) => tokio::time::sleep(pause).await,
            answer => return answer,
        }
    }
    attempt().await
}

impl Job {
    /// Makes the work for a line; `None` for a blank one.
    fn from_line(
        Line {
            number,
            bytes,
            text,
        }: Line,
    ) -> Option<Self> {
        let work = match text {
            Ok(text) if text.trim().is_empty() => return None,
            Ok(text) => match Command::parse(&text) {
                Ok(command) => Work::Decide(command),
                Err(problem) => Work::RecordUnreadable {
                    text: beginning(text),
                    problem,
                },
            },
            Err(flawed) => Work::RecordUnreadable {
                text: beginning(flawed.beginning),
                problem: Malformed(flawed.problem),
            },
        };
        Some(Self {
            line: number,
            bytes,
            work,
        })
    }

    fn lane(&self) -> &str {
        match &self.work {
            Work::Decide(command) => command.order.as_str(),
            Work::RecordUnreadable { text, .. } => text,
        }
    }
}

fn beginning(mut text: String) -> String {
    let mut end = TEXT_KEPT_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// An import ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be read on.
    #[error("cannot read the command file")]
    Read(#[from] io::Error),
    /// A command could not be decided.
    #[error("line {line}")]
    Line {
        /// Its number, counted from 1.
        line: u64,
        /// Why not.
        source: DeskError,
    },
    /// A lane died.
    #[error("a lane stopped unexpectedly")]
    Lane(#[from] tokio::task::JoinError),
}
