//! The owner of group 0, on shard 0: which streams there are.
//!
//! A change is proposed here, decided when its entry is applied, and then carried out by the shard of the
//! stream, which also answers. A crash in between leaves a decided change to the next start, which
//! finishes it: see `recovery`.

use std::sync::Arc;

use hitherto_cluster::{Committed, Encode, LogError, Refused};
use hitherto_jetstream::api::ApiError;
use hitherto_jetstream::{
    ByStorage, ClusterView, GroupId, Limits, Meta, MetaCommand, MetaOutcome, StreamConfig,
    StreamEntry,
};
use hitherto_protocol::SubjectFilter;

use super::parts::ShardParts;
use crate::jetstream::files::StateSnapshot;
use crate::jetstream::orders::{GroupCheckpoint, Input, Opening, Question, StreamOrder};
use crate::jetstream::replicas::Hands;
use crate::jetstream::telling::{ApiChange, ApiReceipt, Receipt, failure_error, refusal_error};
use crate::services::{Asker, Listing, changes};

/// The meta group's state machine and the way to the shards.
pub(crate) struct MetaOwner {
    meta: Meta,
    parts: ShardParts,
}

/// A command of the meta group on its way into the log.
struct MetaRecord<'a>(&'a MetaCommand);

impl Encode for MetaRecord<'_> {
    fn encode(&self, buf: &mut bytes::BytesMut) {
        self.0.encode(buf);
    }
}

impl MetaOwner {
    pub(crate) fn new(meta: Meta, parts: ShardParts) -> Self {
        Self { meta, parts }
    }

    pub(crate) fn parts(&self) -> &ShardParts {
        &self.parts
    }

    /// The streams whose subjects overlap the filter, or all, sorted by name.
    pub(crate) fn streams<'a>(
        &'a self,
        filter: Option<&'a SubjectFilter>,
    ) -> Vec<(&'a str, GroupId)> {
        let group = |(name, stream): (_, &StreamEntry)| (name, stream.group);
        match filter {
            Some(filter) => self.meta.by_subject(filter).map(group).collect(),
            None => self.meta.iter().map(group).collect(),
        }
    }

    /// What the account may use.
    pub(crate) fn limits(&self) -> &Limits {
        self.meta.limits()
    }

    /// The bytes its streams promise to hold at most.
    pub(crate) fn reserved_bytes(&self) -> ByStorage<u64> {
        self.meta.reserved_bytes()
    }

    /// Proposes a stream. When it is there already the one that is there answers.
    pub(crate) fn create(
        &self,
        config: StreamConfig,
        asker: &Asker,
        hands: &mut Hands<'_>,
    ) -> Result<(), ApiError> {
        let (config, at, peers) = (Box::new(config), hands.now, Vec::new());
        let command = MetaCommand::CreateStream { config, at, peers };
        self.propose(command, ApiChange::StreamCreate, asker, hands)
    }

    /// Proposes another configuration for a stream.
    pub(crate) fn update(
        &self,
        config: StreamConfig,
        asker: &Asker,
        hands: &mut Hands<'_>,
    ) -> Result<(), ApiError> {
        let (config, at, peers) = (Box::new(config), hands.now, Vec::new());
        let command = MetaCommand::UpdateStream { config, at, peers };
        self.propose(command, ApiChange::StreamUpdate, asker, hands)
    }

    /// Proposes to delete a stream.
    pub(crate) fn delete(
        &self,
        name: String,
        asker: &Asker,
        hands: &mut Hands<'_>,
    ) -> Result<(), ApiError> {
        let at = hands.now;
        let command = MetaCommand::DeleteStream { name, at };
        self.propose(command, ApiChange::StreamDelete, asker, hands)
    }

    /// Has the owner of a stream fill in its place of a list.
    pub(crate) fn ask_for_listing(&self, group: GroupId, listing: &Arc<Listing>, place: usize) {
        let question = Question::Listed(Arc::clone(listing), place);
        self.order(group, StreamOrder::Describe(group, question));
    }

    /// Applies a committed entry and has the shards carry out what it decided.
    ///
    /// # Panics
    /// When a record does not decode, see [`Replica::commit`](crate::jetstream::Replica::commit).
    pub(crate) fn commit(&mut self, entry: Committed<Receipt>, hands: &mut Hands<'_>) {
        let mut receipts = entry.receipts.into_iter();
        for command in MetaCommand::decode_all(entry.body) {
            let command = command.expect("what this node put into its log is a command");
            let outcome = self.meta.apply(entry.index, command);
            let receipt = match receipts.next() {
                Some(Receipt::Api(receipt)) => Some(receipt),
                _ => None,
            };
            self.carry_out(outcome, receipt, hands);
        }
    }

    /// Tells those who wait that their records are not committed, or that nobody knows.
    pub(crate) fn fail(&self, receipts: Vec<Receipt>, error: &LogError, hands: &mut Hands<'_>) {
        let error = failure_error(error);
        for receipt in receipts {
            if let Receipt::Api(receipt) = receipt {
                changes::refuse(&receipt, error.clone(), hands.outlet);
            }
        }
    }

    /// Describes the meta group for a checkpoint.
    pub(crate) fn checkpoint(&self) -> GroupCheckpoint {
        GroupCheckpoint {
            group: GroupId::META,
            applied: self.meta.applied(),
            state: StateSnapshot::Meta(self.meta.snapshot()),
            bodies: None,
        }
    }

    fn propose(
        &self,
        command: MetaCommand,
        change: ApiChange,
        asker: &Asker,
        hands: &mut Hands<'_>,
    ) -> Result<(), ApiError> {
        // A node on its own: nobody else keeps its streams.
        let command = self.meta.check(command, &ClusterView::default())?;
        let receipt = Receipt::api(asker, change);
        let record = MetaRecord(&command);
        let proposed = hands.log.propose(GroupId::META, &record, receipt);
        proposed.map_err(|Refused { reason, .. }| refusal_error(reason))
    }

    fn carry_out(
        &self,
        outcome: MetaOutcome,
        receipt: Option<Box<ApiReceipt>>,
        hands: &mut Hands<'_>,
    ) {
        match outcome {
            MetaOutcome::Created {
                group,
                existed: true,
                ..
            } => {
                if let Some(receipt) = receipt {
                    let question = Question::Created(receipt);
                    self.order(group, StreamOrder::Describe(group, question));
                }
            }
            MetaOutcome::Created {
                group,
                config,
                created,
                existed: false,
                peers: _,
            } => {
                let opening = Opening {
                    group,
                    config,
                    created,
                    receipt,
                    update: None,
                };
                self.order(group, StreamOrder::Open(opening));
            }
            MetaOutcome::Updated { group, config, .. } => {
                let receipt = receipt.map_or(Receipt::None, Receipt::Api);
                self.order(group, StreamOrder::Configure(group, config, receipt));
            }
            MetaOutcome::Deleted { group } => {
                self.order(group, StreamOrder::Delete(group, receipt));
            }
            MetaOutcome::Refused(error) => {
                if let Some(receipt) = receipt {
                    changes::refuse(&receipt, error, hands.outlet);
                }
            }
            // Only clusters have nodes and move streams, and streams are each node's own for now.
            MetaOutcome::Moved(_)
            | MetaOutcome::NodeChanged { .. }
            | MetaOutcome::AlreadyApplied => {}
        }
    }

    fn order(&self, group: GroupId, order: StreamOrder) {
        self.parts
            .queues
            .of(group)
            .push(Input::Order(Box::new(order)));
    }
}
