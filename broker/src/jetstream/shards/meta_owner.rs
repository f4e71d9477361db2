//! The owner of group 0, on shard 0: which streams there are.
//!
//! A change is proposed here, decided when its entry is applied, and then carried out by the shard of the
//! stream, which also answers. A crash in between leaves a decided change to the next start, which
//! finishes it: see `recovery`.

use std::collections::BTreeMap;
use std::sync::Arc;

use hitherto_cluster::{Committed, Encode, Leadership, LogError, Refused};
use hitherto_jetstream::api::ApiError;
use hitherto_jetstream::{
    ByStorage, ClusterView, GroupId, Limits, Meta, MetaCommand, MetaOutcome, Node, NodeId,
    StreamConfig, StreamEntry,
};
use hitherto_protocol::SubjectFilter;

use super::parts::ShardParts;
use crate::jetstream::files::StateSnapshot;
use crate::jetstream::orders::{
    GroupCheckpoint, Input, Opening, PeerQuestion, Question, StreamOrder,
};
use crate::jetstream::replicas::Hands;
use crate::jetstream::telling::{ApiChange, ApiReceipt, Receipt, failure_error, refusal_error};
use crate::pubsub::{InterestWatch, SubscriptionKey};
use crate::services::{self, Asker, Listing, changes};

/// The meta group's state machine and the way to the shards.
pub(crate) struct MetaOwner {
    meta: Meta,
    parts: ShardParts,
    /// What it listens on for clients of other nodes while it leads.
    leading: Vec<SubscriptionKey>,
    /// Clients whose streams have no leader yet. At most [`AWAITED_MAX`]; more are not answered.
    awaited: BTreeMap<GroupId, Vec<Awaited>>,
}

/// Clients that wait for the leader of one stream at most.
const AWAITED_MAX: usize = 64;

/// A client that waits for the leader of a stream.
struct Awaited {
    question: PeerQuestion,
    asker: Asker,
    /// Tells when there is a leader.
    watch: InterestWatch,
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
        let owner = Self {
            meta,
            parts,
            leading: Vec::new(),
            awaited: BTreeMap::new(),
        };
        owner.note_meta();
        owner
    }

    /// Another node leads the meta group now, or this one does.
    pub(crate) fn handle_leadership(&mut self, leadership: Leadership, hands: &mut Hands<'_>) {
        if !leadership.is_here {
            services::detach(&self.parts, Some(std::mem::take(&mut self.leading)));
            self.awaited.clear();
            return;
        }
        if self.leading.is_empty() {
            tracing::info!("this node leads the meta group");
            self.leading = services::attach_meta_leader(&self.parts);
        }
        let Some(replication) = hands.replication else {
            return;
        };
        if self.meta.node(replication.seat.here).is_none() {
            let node = replication.describe(replication.seat.here, replication.seat.name.clone());
            self.admit(node, hands);
        }
    }

    /// Lets a node take streams.
    pub(crate) fn admit(&self, node: Node, hands: &mut Hands<'_>) {
        if self
            .meta
            .node(node.id)
            .is_some_and(|known| known.node == node)
        {
            return;
        }
        let name = node.name.clone();
        let at = hands.now;
        let view = ClusterView::default();
        let checked = self.meta.check(MetaCommand::AdmitNode { node, at }, &view);
        match checked {
            Ok(command) => {
                let record = MetaRecord(&command);
                // If it is not taken, whoever leads asks again.
                let taken = hands.log.propose(GroupId::META, &record, Receipt::None);
                if let Err(Refused { reason, .. }) = taken {
                    tracing::debug!(node = name, %reason, "a node is not admitted yet");
                }
            }
            Err(error) => tracing::error!(node = name, %error, "a node cannot be admitted"),
        }
    }

    /// Tells whether there is a stream of this name, wherever it is kept.
    pub(crate) fn has_stream(&self, name: &str) -> bool {
        self.meta.find(name).is_some()
    }

    /// Somebody leads a stream: those who wait for that are answered there, and it gets the configuration the
    /// meta group has.
    pub(crate) fn ask_leader_of(&mut self, group: GroupId, hands: &mut Hands<'_>) {
        if let Some((_, known)) = self.meta.find_group(group) {
            let config = Box::new(known.config.clone());
            self.order(group, StreamOrder::CatchUp(group, config));
        }
        let Some(awaited) = self.awaited.get_mut(&group) else {
            return;
        };
        for awaited in awaited.extract_if(.., |awaited| awaited.watch.look()) {
            let payload = serde_json::to_vec(&awaited.question);
            hands.outlet.publish_for(
                &PeerQuestion::subject(group),
                &awaited.asker.reply,
                payload.expect("a question has string keys only").into(),
            );
        }
        if awaited.is_empty() {
            self.awaited.remove(&group);
        }
    }

    /// Has the leader of a stream answer, once there is one.
    fn ask(
        &mut self,
        group: GroupId,
        question: PeerQuestion,
        receipt: ApiReceipt,
        hands: &mut Hands<'_>,
    ) {
        let meta = Arc::clone(self.parts.queues.of(GroupId::META));
        let notify = move || meta.push(Input::LeaderKnown(group));
        let router = &self.parts.intake.router;
        let watch = router.watch_interest(&PeerQuestion::subject(group), None, notify);
        let awaited = self.awaited.entry(group).or_default();
        if awaited.len() < AWAITED_MAX {
            awaited.push(Awaited {
                question,
                asker: receipt.asker,
                watch,
            });
        }
        self.ask_leader_of(group, hands);
    }

    fn note_meta(&self) {
        if let Some(replication) = &self.parts.replication {
            replication.note_meta(&self.meta);
        }
    }

    /// This node has a part in it: it stands alone, or is one of these.
    fn keeps(&self, peers: &[NodeId]) -> bool {
        let replication = self.parts.replication.as_ref();
        replication.is_none_or(|replication| peers.contains(&replication.seat.here))
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
            let was_alone = self.meta.is_alone();
            let outcome = self.meta.apply(entry.index, command);
            if let (true, MetaOutcome::NodeChanged { node, .. }, Some(replication)) =
                (was_alone, &outcome, hands.replication)
            {
                replication.note_founder(*node);
            }
            self.note_meta();
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
        let view = hands.replication.map(|replication| replication.view(None));
        // A node on its own has the default: nobody else keeps its streams.
        let command = self.meta.check(command, &view.unwrap_or_default())?;
        self.check_stays(&command)?;
        let receipt = Receipt::api(asker, change);
        let record = MetaRecord(&command);
        let proposed = hands.log.propose(GroupId::META, &record, receipt);
        proposed.map_err(|Refused { reason, .. }| refusal_error(reason))
    }

    /// Streams are not moved yet.
    fn check_stays(&self, command: &MetaCommand) -> Result<(), ApiError> {
        let MetaCommand::UpdateStream { config, peers, .. } = command else {
            return Ok(());
        };
        let known = self.meta.find(&config.name);
        match known.is_none_or(|known| peers.is_empty() || *peers == known.peers) {
            true => Ok(()),
            false => Err(ApiError::stream_update_failed(
                "num_replicas and placement of a stream cannot be changed yet",
            )),
        }
    }

    fn carry_out(
        &mut self,
        outcome: MetaOutcome,
        receipt: Option<Box<ApiReceipt>>,
        hands: &mut Hands<'_>,
    ) {
        match outcome {
            MetaOutcome::Created {
                group,
                existed: true,
                ..
            } => match receipt {
                Some(receipt) if self.parts.replication.is_some() => {
                    self.ask(group, PeerQuestion::Found, *receipt, hands);
                }
                Some(receipt) => {
                    let question = Question::Created(receipt);
                    self.order(group, StreamOrder::Describe(group, question));
                }
                None => {}
            },
            MetaOutcome::Created {
                group,
                config,
                created,
                existed: false,
                peers,
            } => {
                let (here, elsewhere) = self.split(receipt);
                if self.keeps(&peers) {
                    let opening = Opening {
                        group,
                        config,
                        created,
                        receipt: here,
                        peers,
                        update: None,
                    };
                    self.order(group, StreamOrder::Open(opening));
                }
                if let Some(receipt) = elsewhere {
                    self.ask(group, PeerQuestion::Created, *receipt, hands);
                }
            }
            MetaOutcome::Updated {
                group,
                config,
                peers,
                ..
            } => {
                let (here, elsewhere) = self.split(receipt);
                if let Some(receipt) = elsewhere {
                    let question = PeerQuestion::Configured(config.clone());
                    self.ask(group, question, *receipt, hands);
                }
                if self.keeps(&peers) {
                    let receipt = here.map_or(Receipt::None, Receipt::Api);
                    self.order(group, StreamOrder::Configure(group, config, receipt));
                }
            }
            MetaOutcome::Deleted { group } => {
                self.awaited.remove(&group);
                self.order(group, StreamOrder::Delete(group, receipt));
            }
            MetaOutcome::Refused(error) => {
                if let Some(receipt) = receipt {
                    changes::refuse(&receipt, error, hands.outlet);
                }
            }
            MetaOutcome::NodeChanged { node, .. } => {
                tracing::info!(%node, nodes = self.meta.nodes().count(), "the nodes of the cluster");
            }
            // Nobody proposes to move a stream.
            MetaOutcome::Moved(_) | MetaOutcome::AlreadyApplied => {}
        }
    }

    /// Who answers a client: the owner of the stream here, or in a cluster whoever leads it.
    fn split(
        &self,
        receipt: Option<Box<ApiReceipt>>,
    ) -> (Option<Box<ApiReceipt>>, Option<Box<ApiReceipt>>) {
        match self.parts.replication {
            None => (receipt, None),
            Some(_) => (None, receipt),
        }
    }

    fn order(&self, group: GroupId, order: StreamOrder) {
        self.parts
            .queues
            .of(group)
            .push(Input::Order(Box::new(order)));
    }
}
