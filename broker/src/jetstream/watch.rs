//! What JetStream tells those who watch the node.
//!
//! Sums are read where the owners of the streams leave them; what only an owner knows is asked through
//! its queue. No shard ever waits for who asks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hitherto_cluster::Refusal;
use hitherto_jetstream::Limits;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::engine::JetStream;
use super::orders::{Input, ShardQueue, StreamReport, Watch};
use super::taking::{StreamEntry, Usage};

/// A shard that has not answered for so long counts as silent: 2 s.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// Something that keeps JetStream from doing its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The log takes nothing any more.
    #[error("{0}")]
    Log(Refusal),
    /// A shard has ended while the node runs: it has panicked.
    #[error("the owner of some streams has failed; restart the node (shard {0})")]
    ShardEnded(usize),
    /// A shard does not answer.
    #[error("the owner of some streams did not answer within {ANSWER_WAIT:?} (shard {0})")]
    ShardSilent(usize),
    /// Messages cannot be moved to their segments.
    #[error("messages cannot be written to the disk; publishes are refused until they can")]
    CannotWrite,
    /// There is no more memory for the indexes.
    #[error("the indexes of the streams have reached max_index_bytes; publishes are refused")]
    IndexFull,
}

impl JetStream {
    /// What the streams hold together, as of a moment ago.
    pub(crate) fn usage(&self) -> Usage {
        self.parts.directory.usage()
    }

    /// What the node allows its streams.
    pub(crate) fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    /// Requests of the API since the start, and how many of them were refused.
    pub(crate) fn api_figures(&self) -> (u64, u64) {
        let figures = &self.parts.figures;
        let total = figures.total.load(Ordering::Relaxed);
        (total, figures.errors.load(Ordering::Relaxed))
    }

    /// The streams, sorted by name.
    pub(crate) fn streams(&self) -> Vec<Arc<StreamEntry>> {
        self.parts.directory.all()
    }

    /// The stream of this name.
    pub(crate) fn stream(&self, name: &str) -> Option<Arc<StreamEntry>> {
        self.parts.directory.get(name)
    }

    /// Asks the owners of some streams what they are and hold. A stream that has gone, or whose owner does
    /// not answer, is left out.
    pub(crate) async fn describe(
        &self,
        streams: &[Arc<StreamEntry>],
        with_consumers: bool,
    ) -> Vec<StreamReport> {
        let ask = |stream: &Arc<StreamEntry>| {
            let (answer, answered) = oneshot::channel();
            stream.shard.push(Input::Watch(Watch::Stream {
                group: stream.group,
                with_consumers,
                answer,
            }));
            answered
        };
        let asked: Vec<_> = streams.iter().map(ask).collect();
        let mut reports = Vec::with_capacity(asked.len());
        for answered in asked {
            if let Ok(Ok(report)) = timeout(ANSWER_WAIT, answered).await {
                reports.push(report);
            }
        }
        reports
    }

    /// What keeps JetStream from serving at all: its log, or one of its threads.
    pub(crate) async fn failures(&self) -> Vec<Fault> {
        let mut faults: Vec<_> = self.log.ended().map(Fault::Log).into_iter().collect();
        let ended = self.ended_shards();
        faults.extend(ended.iter().copied().map(Fault::ShardEnded));
        let ask = |(number, shard): (usize, &Arc<ShardQueue>)| {
            let (answer, answered) = oneshot::channel();
            shard.push(Input::Watch(Watch::Life(answer)));
            (number, answered)
        };
        let working = self.parts.queues.iter().enumerate();
        let working = working.filter(|(number, _)| !ended.contains(number));
        let asked: Vec<_> = working.map(ask).collect();
        for (number, answered) in asked {
            if !matches!(timeout(ANSWER_WAIT, answered).await, Ok(Ok(()))) {
                faults.push(Fault::ShardSilent(number));
            }
        }
        faults
    }

    /// What keeps it from taking messages although it works.
    pub(crate) fn refusals(&self) -> Vec<Fault> {
        let intake = &self.parts.intake;
        let stuck = intake.cannot_write().then_some(Fault::CannotWrite);
        let full = intake.is_index_full().then_some(Fault::IndexFull);
        stuck.into_iter().chain(full).collect()
    }
}
