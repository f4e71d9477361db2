//! A batch that was proposed and whose fate is not known yet.

use std::sync::Arc;

use hitherto_jetstream::{GroupId, LogIndex};
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use tokio::sync::OwnedSemaphorePermit;

use super::types::{TypeConfig, term_of};
use crate::budget::Budget;
use crate::commits::SharedCommits;
use crate::{Committed, InFlight, LogError, NodeId};

/// Holds the receipts of a batch. They come back exactly once: with the entry, or as failed, and as
/// undecided when this is dropped without a result, as when the Raft core has ended.
pub(crate) struct Pending<R: 'static> {
    pub(crate) group: GroupId,
    /// Empty once they were given back.
    receipts: Vec<R>,
    bytes: usize,
    commits: SharedCommits<R>,
    budget: Arc<Budget>,
    /// The place among the batches under way.
    _place: Option<OwnedSemaphorePermit>,
}

impl<R: 'static> Pending<R> {
    pub(crate) fn new(
        group: GroupId,
        (receipts, bytes): (Vec<R>, usize),
        (commits, budget): (SharedCommits<R>, Arc<Budget>),
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            group,
            receipts,
            bytes,
            commits,
            budget,
            _place: place,
        }
    }

    pub(crate) fn complete(mut self, result: ClientWriteResult<TypeConfig>) {
        let response = match result {
            Ok(response) => response,
            Err(ClientWriteError::ForwardToLeader(forward)) => {
                let leader = forward.leader_id.map(NodeId);
                return self.give_back(&LogError::NotLeader { leader });
            }
            // It was in the log of this node, and may be in those of others.
            Err(_) => return,
        };
        let entry = Committed {
            group: self.group,
            index: LogIndex(response.log_id.index),
            term: term_of(&response.log_id),
            body: response.data.body,
            position: response.data.position,
            receipts: std::mem::take(&mut self.receipts),
            in_flight: InFlight::of_taken(&self.budget, self.bytes),
        };
        self.commits.with(|commits| commits.committed(entry));
    }

    pub(crate) fn give_back(mut self, error: &LogError) {
        self.fail(error);
    }

    fn fail(&mut self, error: &LogError) {
        let receipts = std::mem::take(&mut self.receipts);
        drop(InFlight::of_taken(&self.budget, self.bytes));
        self.commits
            .with(|commits| commits.failed(self.group, receipts, error));
    }
}

impl<R: 'static> Drop for Pending<R> {
    fn drop(&mut self) {
        if !self.receipts.is_empty() {
            self.fail(&LogError::Undecided);
        }
    }
}
