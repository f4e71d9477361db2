//! A shard: the thread that owns the streams of some groups. No lock is around their state; what they are
//! told comes through one queue.
//!
//! A round takes everything that waits, applies it, then serves pulls and timers of the streams that were
//! touched, then wakes the connections that got something.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hitherto_cluster::{Committed, Leadership, LogError};
use hitherto_jetstream::api::{ApiError, Success};
use hitherto_jetstream::{GroupId, StreamConfig, Unreadable, catch_unreadable};
use hitherto_protocol::Timestamp;
use hitherto_storage::Error;

use super::agenda::{Agenda, WATCH_INTERVAL};
use super::answers::{answer_question, answer_watch};
use super::index_relief::IndexRelief;
use super::meta_owner::MetaOwner;
use super::openings::Openings;
use super::panic_guard::PanicGuard;
use super::parts::ShardParts;
use super::went_offline::WentOffline;
use super::write_behind::WriteBehind;
use super::{opening, upkeep};
use crate::jetstream::orders::{
    CheckpointOrder, Described, Input, Opening, Question, ShardQueue, StreamOrder, Watch,
};
use crate::jetstream::replicas::{Hands, Replica, configure};
use crate::jetstream::telling::{Outlet, Receipt, receipt};
use crate::pubsub::SubscriptionKey;
use crate::services::{self, MetaCall, StreamAck, StreamCall, changes};

/// The thread's state.
pub(crate) struct Shard {
    queue: Arc<ShardQueue>,
    replicas: BTreeMap<GroupId, Replica>,
    /// The meta group, on shard 0.
    meta: Option<MetaOwner>,
    parts: ShardParts,
    outlet: Outlet,
    agenda: Agenda,
    /// Streams with open batches.
    batches: BTreeSet<GroupId>,
    /// What the streams this node leads listen on for clients of other nodes.
    leading: BTreeMap<GroupId, Vec<SubscriptionKey>>,
    openings: Openings,
    write_behind: WriteBehind,
    index_relief: IndexRelief,
    offline: WentOffline,
}

impl Shard {
    pub(crate) fn new(queue: Arc<ShardQueue>, parts: ShardParts) -> Self {
        let outlet = Outlet::new(&parts.intake.router, Arc::clone(&parts.figures));
        Self {
            queue,
            replicas: BTreeMap::new(),
            meta: None,
            parts,
            outlet,
            agenda: Agenda::default(),
            batches: BTreeSet::new(),
            leading: BTreeMap::new(),
            openings: Openings::new(),
            write_behind: WriteBehind::default(),
            index_relief: IndexRelief::new(),
            offline: WentOffline::default(),
        }
    }

    /// Gives it a stream that was recovered.
    pub(crate) fn add(&mut self, replica: Replica) {
        self.replicas.insert(replica.entry.group, replica);
    }

    /// Makes it the shard of the meta group.
    pub(crate) fn add_meta(&mut self, meta: MetaOwner) {
        self.meta = Some(meta);
    }

    /// Starts the thread.
    pub(crate) fn spawn(self, number: usize) -> io::Result<JoinHandle<()>> {
        thread::Builder::new()
            .name(format!("hitherto-shard-{number}"))
            .spawn(move || self.run())
    }

    fn run(mut self) {
        let _guard = PanicGuard {
            queue: Arc::clone(&self.queue),
            parts: self.parts.clone(),
        };
        let led = self.replicas.iter().filter(|(_, replica)| replica.leads());
        for group in led.map(|(group, _)| *group).collect::<Vec<_>>() {
            self.with_replica(group, |replica, hands| {
                replica.stream.resume(hands.now);
                replica.carry_out(hands);
                replica.follow_durability(hands);
            });
        }
        let mut inputs = Vec::new();
        let mut stops = false;
        while !stops {
            let wait_max = self.wait_max();
            self.queue.take(&mut inputs, wait_max);
            for input in inputs.drain(..) {
                stops |= self.handle(input);
            }
            self.ring_alarms();
            self.look_after_touched();
            self.index_relief
                .relieve(&mut self.replicas, .., &self.parts);
            self.outlet.flush();
            self.parts.waiting_room.notify();
            self.write_behind
                .write(&mut self.replicas, &self.parts.intake);
            self.watch_batches();
            self.try_openings();
        }
    }

    /// Does one thing; `true` when it was the last.
    fn handle(&mut self, input: Input) -> bool {
        match input {
            Input::Committed(entry) => self.commit(entry),
            Input::Failed(group, receipts, error) => self.fail(group, receipts, &error),
            Input::Leadership(group, leadership) => self.change_leader(group, leadership),
            Input::Ask(group, asked) => {
                let (question, asker) = *asked;
                self.with_replica(group, |replica, hands| {
                    replica.answer_peer(question, asker, hands);
                });
            }
            Input::LeaderKnown(group) => {
                self.with_meta(|meta, hands| meta.ask_leader_of(group, hands));
            }
            Input::Admit(node) => self.with_meta(|meta, hands| meta.admit(*node, hands)),
            Input::Call(group, call) => self.call(group, &call),
            Input::Ack(group, ack) => self.ack(group, ack),
            Input::Flow(group, flow) => {
                self.with_replica(group, |replica, _| services::handle_flow(replica, &flow));
            }
            Input::Interest(group, consumer) => {
                self.with_replica(group, |replica, hands| {
                    replica.look_for_interest(&consumer, hands.now);
                });
            }
            Input::Meta(call) => {
                self.with_meta(|meta, hands| services::handle_meta(meta, *call, hands))
            }
            Input::Update(group, call) => self.hand_on(group, call),
            Input::Order(order) => self.follow(*order),
            Input::BatchOpened(group) => {
                self.batches.insert(group);
            }
            Input::Watch(watch) => self.watch(watch),
            Input::Checkpoint(order) => self.describe(&order),
            Input::CheckpointSaved(group, manifest) => {
                if let Some(replica) = self.replicas.get_mut(&group) {
                    replica.checkpoint_saved(&manifest);
                }
            }
            Input::Keep(order) => upkeep::name_work(&mut self.replicas, &order, &self.queue),
            Input::Kept(group, kept) => {
                let stores = Arc::clone(&self.parts.stores);
                self.with_replica(group, |replica, _| replica.keep(*kept, &stores));
            }
            Input::Settle(answer) => self.settle(&answer),
            Input::Stop => return true,
            #[cfg(test)]
            Input::Panic => panic!("a test wants it"),
        }
        false
    }

    fn commit(&mut self, entry: Committed<Receipt>) {
        let group = entry.group;
        self.write_behind.add(entry.body.len());
        if self.parts.intake.reserve.is_given_up() {
            // What is removed now gives its room back with a checkpoint, and somebody waits for it.
            self.parts.activity.hasten();
        }
        if group == GroupId::META {
            self.with_meta(|meta, hands| meta.commit(entry, hands));
            return;
        }
        if self.offline.holds(group) {
            // It is in the log, and the next start applies it: nobody is told anything else.
            return;
        }
        if !self.replicas.contains_key(&group) {
            // Was under way when its stream was deleted.
            receipt::tell_gone(entry.receipts, &mut self.outlet);
            return;
        }
        self.with_replica(group, |replica, hands| {
            replica.commit(entry, hands);
            replica.report_index();
        });
        self.index_relief
            .relieve(&mut self.replicas, group..=group, &self.parts);
    }

    fn change_leader(&mut self, group: GroupId, leadership: Leadership) {
        if group == GroupId::META {
            self.with_meta(|meta, hands| meta.handle_leadership(leadership, hands));
            return;
        }
        let parts = &self.parts;
        let leading = &mut self.leading;
        let Some(replica) = self.replicas.get(&group) else {
            return;
        };
        // Gone before it stands down, and there when it leads.
        if !leadership.is_here {
            services::detach(parts, leading.remove(&group));
        } else {
            let attach = || services::attach_leader(parts, &replica.entry);
            leading.entry(group).or_insert_with(attach);
        }
        self.with_replica(group, |replica, hands| {
            replica.handle_leadership(leadership, hands);
        });
        if leadership.is_here {
            let input = Input::LeaderKnown(group);
            self.parts.queues.of(GroupId::META).push(input);
        }
    }

    fn fail(&mut self, group: GroupId, receipts: Vec<Receipt>, error: &LogError) {
        if let LogError::NotWritten { source } = error
            && matches!(**source, Error::Full { .. })
        {
            self.parts.intake.reserve.give_up();
        }
        if group == GroupId::META {
            self.with_meta(|meta, hands| meta.fail(receipts, error, hands));
            return;
        }
        if !self.replicas.contains_key(&group) {
            receipt::tell_gone(receipts, &mut self.outlet);
            return;
        }
        if matches!(error, LogError::NotWritten { .. }) {
            // A checkpoint lets the log give room back.
            self.parts.activity.hasten();
        }
        self.with_replica(group, |replica, hands| {
            replica.fail(receipts, error, hands);
        });
    }

    fn call(&mut self, group: GroupId, call: &StreamCall) {
        if !self.replicas.contains_key(&group) {
            let error = self.parts.directory.why_missing(group);
            services::stream_is_gone(call, error, &mut self.outlet);
            return;
        }
        let serves = self.with_replica(group, |replica, hands| {
            services::handle(replica, call, hands);
        });
        if !serves {
            let error = self.parts.directory.why_missing(group);
            services::stream_is_gone(call, error, &mut self.outlet);
        }
    }

    /// Whether a stream exists is for the meta group to say; what its consumers need is known here.
    fn hand_on(&mut self, group: GroupId, call: Box<MetaCall>) {
        let replica = self.replicas.get(&group);
        match replica.map_or(Ok(()), |replica| services::check_update(replica, &call)) {
            // The call was counted when it came in, and has left the queue it was counted in.
            Ok(()) => self.parts.queues.of(GroupId::META).push(Input::Meta(call)),
            Err(error) => services::refuse_update(&call, error, &mut self.outlet),
        }
    }

    fn ack(&mut self, group: GroupId, ack: StreamAck) {
        self.with_replica(group, |replica, hands| {
            services::handle_ack(replica, ack, hands)
        });
    }

    /// Carries out what the meta group has decided.
    fn follow(&mut self, order: StreamOrder) {
        match order {
            StreamOrder::Open(opening) => self.open(opening),
            StreamOrder::Configure(group, config, receipt) => {
                self.try_opening(group);
                if !self.replicas.contains_key(&group) {
                    return self.configure_later(group, config, receipt);
                }
                self.with_replica(group, |replica, hands| {
                    if replica.leads() {
                        let command = configure(config, hands.now);
                        replica.propose(command, receipt, hands);
                    }
                });
            }
            StreamOrder::CatchUp(group, config) => {
                self.with_replica(group, |replica, hands| {
                    if replica.leads() && replica.stream.config() != &*config {
                        let command = configure(config, hands.now);
                        replica.propose(command, Receipt::None, hands);
                    }
                });
            }
            StreamOrder::Describe(group, question) => self.answer(group, &question),
            StreamOrder::Delete(group, receipt) => {
                self.delete(group);
                if let Some(receipt) = receipt {
                    changes::accept(&receipt, Ok(Success::DONE), &mut self.outlet);
                }
            }
        }
    }

    fn answer(&mut self, group: GroupId, question: &Question) {
        self.try_opening(group);
        let now = self.now();
        let replica = self.replicas.get(&group);
        let replica = replica.ok_or_else(|| self.why_missing(group));
        let outlet = &mut self.outlet;
        let answered = catch_unreadable(|| answer_question(question, replica, now, outlet));
        if let Err(error) = answered {
            self.take_offline(group, &error);
            let error = self.why_missing(group);
            answer_question(question, Err(error), now, &mut self.outlet);
        }
    }

    fn delete(&mut self, group: GroupId) {
        services::detach(&self.parts, self.leading.remove(&group));
        if let Some(replica) = self.replicas.remove(&group) {
            self.agenda.forget(&replica);
            self.parts.directory.remove(&replica.entry);
            self.parts.damage.forget(&replica.entry.name);
            let hands = &mut self.parts.hands(&mut self.outlet);
            // What cannot be read of it does not matter any more.
            if let Err(error) = catch_unreadable(|| services::delete(replica, hands)) {
                tracing::warn!(%group, %error, "a stream with a damaged index was deleted");
            }
        }
        self.offline.forget(group, &self.parts);
        self.openings.take(group);
        self.parts.activity.add_deleted(group);
        if let Some(replication) = &self.parts.replication {
            replication.remove(group);
        }
    }

    /// Opens a stream; one that cannot be opened yet is tried again, see [`Openings`].
    fn open(&mut self, opening: Opening) {
        let (group, update) = (opening.group, opening.update.clone());
        let hands = &mut self.parts.hands(&mut self.outlet);
        match opening::open_created(opening, &self.parts, &self.queue, hands) {
            Ok(mut replica) => {
                self.agenda.touch(&mut replica);
                self.replicas.insert(group, replica);
                if let Some(config) = update {
                    self.follow(StreamOrder::Configure(group, config, Receipt::None));
                }
            }
            Err(opening) => self.openings.add(opening),
        }
    }

    fn try_opening(&mut self, group: GroupId) {
        if let Some(opening) = self.openings.take(group) {
            self.open(opening);
        }
    }

    fn try_openings(&mut self) {
        if self.openings.is_empty() {
            return;
        }
        let now = self.now();
        for opening in self.openings.take_due(now) {
            self.open(opening);
        }
    }

    /// The meta group has the configuration; the stream gets it when it opens.
    fn configure_later(&mut self, group: GroupId, config: Box<StreamConfig>, receipt: Receipt) {
        if let Receipt::Api(receipt) = receipt {
            let error = self.why_missing(group);
            changes::refuse(&receipt, error, &mut self.outlet);
        }
        self.openings.configure(group, config);
    }

    /// Why a stream that the meta group knows does not serve.
    fn why_missing(&self, group: GroupId) -> ApiError {
        match self.openings.holds(group) {
            true => opening::why_missing(),
            false => self.parts.directory.why_missing(group),
        }
    }

    /// Serves and times the streams something has happened to.
    fn look_after_touched(&mut self) {
        for group in self.agenda.take_touched() {
            let Some(replica) = self.replicas.get_mut(&group) else {
                continue;
            };
            replica.touched = false;
            let hands = &mut self.parts.hands(&mut self.outlet);
            match catch_unreadable(|| replica.look_after(hands)) {
                Ok(()) => self.agenda.note(replica),
                Err(error) => self.take_offline(group, &error),
            }
        }
    }

    fn ring_alarms(&mut self) {
        let now = self.now();
        while let Some(group) = self.agenda.take_due(now) {
            if let Some(replica) = self.replicas.get_mut(&group) {
                replica.due = None;
                self.agenda.touch(replica);
            }
        }
    }

    /// How long there is nothing to do unless somebody says so; `None` for ever.
    fn wait_max(&self) -> Option<Duration> {
        if self.agenda.has_ready() {
            return Some(Duration::ZERO);
        }
        let stream = self.agenda.wait_max(self.now());
        let watches =
            !self.batches.is_empty() || self.write_behind.is_stuck() || !self.openings.is_empty();
        let watch = watches.then_some(WATCH_INTERVAL);
        stream.into_iter().chain(watch).min()
    }

    /// Takes a stream out whose index cannot be read.
    fn take_offline(&mut self, group: GroupId, error: &Unreadable) {
        if let Some(replica) = self.replicas.remove(&group) {
            self.agenda.forget(&replica);
            self.offline.take(replica, error, &self.parts);
        }
    }

    fn watch(&mut self, watch: Watch) {
        let group = watch.group();
        let (replicas, now) = (&self.replicas, self.now());
        let answered = catch_unreadable(|| answer_watch(watch, replicas, now));
        if let (Err(error), Some(group)) = (answered, group) {
            self.take_offline(group, &error);
        }
    }

    fn watch_batches(&mut self) {
        if self.batches.is_empty() {
            return;
        }
        let (replicas, outlet) = (&self.replicas, &mut self.outlet);
        self.batches.retain(|group| {
            let replica = replicas.get(group);
            replica.is_some_and(|replica| replica.captured.abandon_idle_batches(outlet))
        });
        self.outlet.flush();
    }

    fn describe(&mut self, order: &CheckpointOrder) {
        let meta = self.meta.as_ref().map(MetaOwner::checkpoint);
        let mut described = Described {
            groups: meta.into_iter().collect(),
            failed: Vec::new(),
            offline: self.offline.groups(),
        };
        let reserve = &self.parts.intake.reserve;
        upkeep::describe(&mut self.replicas, &mut described, reserve);
        // The checkpointer may have given up.
        order.answer.send(described).ok();
    }

    fn settle(&mut self, answer: &SyncSender<()>) {
        for replica in self.replicas.values_mut() {
            replica.end_relaxation(&mut self.parts.hands(&mut self.outlet));
        }
        // Who asked may have given up.
        answer.send(()).ok();
    }

    /// Does something with a stream; `false` when there is none, or none any more because its index cannot be read.
    fn with_replica(
        &mut self,
        group: GroupId,
        act: impl FnOnce(&mut Replica, &mut Hands<'_>),
    ) -> bool {
        let Some(replica) = self.replicas.get_mut(&group) else {
            return false;
        };
        let hands = &mut self.parts.hands(&mut self.outlet);
        match catch_unreadable(|| act(replica, hands)) {
            Ok(()) => {
                self.agenda.touch(replica);
                true
            }
            Err(error) => {
                self.take_offline(group, &error);
                false
            }
        }
    }

    fn with_meta(&mut self, act: impl FnOnce(&mut MetaOwner, &mut Hands<'_>)) {
        if let Some(meta) = &mut self.meta {
            act(meta, &mut self.parts.hands(&mut self.outlet));
        }
    }

    fn now(&self) -> Timestamp {
        self.parts.now()
    }
}
