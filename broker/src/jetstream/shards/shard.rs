//! A shard: the thread that owns the streams of some groups. No lock is around their state; what they are
//! told comes through one queue.
//!
//! A round takes everything that waits, applies it, then serves pulls and timers of the streams that were
//! touched, then wakes the connections that got something.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hitherto_cluster::{Committed, LogError};
use hitherto_jetstream::api::{ApiError, Success};
use hitherto_jetstream::{Freeze, GroupId, StreamConfig, Unreadable, catch_unreadable};
use hitherto_protocol::Timestamp;
use hitherto_storage::{Error, Manifest};

use super::answers::{answer_question, answer_watch};
use super::meta_owner::MetaOwner;
use super::opening;
use super::parts::ShardParts;
use crate::jetstream::files::LOG_START;
use crate::jetstream::orders::{
    CheckpointOrder, Described, GroupCheckpoint, Input, KeepOrder, Kept, Opening, ShardQueue,
    StreamOrder, Watch,
};
use crate::jetstream::replicas::{Hands, Replica, configure};
use crate::jetstream::taking::OfflineStream;
use crate::jetstream::telling::{Outlet, Receipt, receipt};
use crate::services::{self, MetaCall, StreamAck, StreamCall, changes};

/// Bytes of one stream in memory at which they are written to its segments: 8 MiB.
pub(crate) const TAIL_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Bytes of all streams of a shard in memory at which they are written to their segments: 16 MiB, with
/// four shards 64 MiB for the node.
pub(crate) const TAILS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How soon a shard tries again to propose what the log had no room for.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// How often a shard looks for abandoned batches while some are open, and tries to write behind while
/// the disk does not take it.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes committed after which a shard looks how much it holds in memory: 1 MiB.
const TAIL_CHECK_BYTES: usize = 1024 * 1024;

/// The thread's state.
pub(crate) struct Shard {
    pub(crate) queue: Arc<ShardQueue>,
    pub(crate) replicas: BTreeMap<GroupId, Replica>,
    /// The meta group, on shard 0.
    pub(crate) meta: Option<MetaOwner>,
    pub(crate) parts: ShardParts,
    pub(crate) outlet: Outlet,
    /// Streams to look after in this round.
    pub(crate) touched: Vec<GroupId>,
    /// Some of them have more to deliver right away.
    pub(crate) has_ready: bool,
    /// When streams want to be looked after.
    pub(crate) alarms: BTreeSet<(Timestamp, GroupId)>,
    /// Streams with open batches.
    pub(crate) batches: BTreeSet<GroupId>,
    /// Streams that are created and whose files could not be made yet. At most as many as there may be streams.
    pub(crate) openings: BTreeMap<GroupId, Opening>,
    /// Before then they are not tried again by themselves.
    pub(crate) openings_due: Timestamp,
    /// Bytes committed since the tails were last looked at.
    pub(crate) unchecked_bytes: usize,
    /// Bodies cannot be written; counted in [`Intake::stuck_shards`].
    pub(crate) is_stuck: bool,
    /// Streams that went offline since the start.
    pub(crate) offline: BTreeSet<GroupId>,
    /// No table is written before, because that failed.
    pub(crate) freeze_from: Timestamp,
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
            touched: Vec::new(),
            has_ready: false,
            alarms: BTreeSet::new(),
            batches: BTreeSet::new(),
            openings: BTreeMap::new(),
            openings_due: Timestamp::from_unix_nanos(0),
            unchecked_bytes: 0,
            is_stuck: false,
            offline: BTreeSet::new(),
            freeze_from: Timestamp::ZERO,
        }
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
        for group in self.replicas.keys().copied().collect::<Vec<_>>() {
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
            self.relieve_indexes(..);
            self.outlet.flush();
            self.parts.waiting_room.notify();
            self.write_behind();
            self.watch_batches();
            self.try_openings();
        }
    }

    /// Does one thing; `true` when it was the last.
    fn handle(&mut self, input: Input) -> bool {
        match input {
            Input::Committed(entry) => self.commit(entry),
            Input::Failed(group, receipts, error) => self.fail(group, receipts, &error),
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
            Input::CheckpointSaved(group, manifest) => self.checkpoint_saved(group, &manifest),
            Input::Keep(order) => self.name_work(&order),
            Input::Kept(group, kept) => self.keep(group, *kept),
            Input::Settle(answer) => self.settle(&answer),
            Input::Stop => return true,
            #[cfg(test)]
            Input::Panic => panic!("a test wants it"),
        }
        false
    }

    fn commit(&mut self, entry: Committed<Receipt>) {
        let group = entry.group;
        self.unchecked_bytes += entry.body.len();
        if self.parts.intake.reserve.is_given_up() {
            // What is removed now gives its room back with a checkpoint, and somebody waits for it.
            self.parts.activity.hasten();
        }
        if group == GroupId::META {
            self.with_meta(|meta, hands| meta.commit(entry, hands));
            return;
        }
        if self.offline.contains(&group) {
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
        self.relieve_indexes(group..=group);
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

    fn follow(&mut self, order: StreamOrder) {
        match order {
            StreamOrder::Open(opening) => self.open(opening),
            StreamOrder::Configure(group, config, receipt) => {
                self.try_opening(group);
                if !self.replicas.contains_key(&group) {
                    return self.configure_later(group, config, receipt);
                }
                self.with_replica(group, |replica, hands| {
                    let command = configure(config, hands.now);
                    replica.propose(command, receipt, hands);
                });
            }
            StreamOrder::Describe(group, question) => {
                self.try_opening(group);
                let now = self.now();
                let replica = self.replicas.get(&group);
                let replica = replica.ok_or_else(|| self.why_missing(group));
                let outlet = &mut self.outlet;
                let answered =
                    catch_unreadable(|| answer_question(&question, replica, now, outlet));
                if let Err(error) = answered {
                    self.take_offline(group, &error);
                    let error = self.why_missing(group);
                    answer_question(&question, Err(error), now, &mut self.outlet);
                }
            }
            StreamOrder::Delete(group, receipt) => {
                if let Some(replica) = self.replicas.remove(&group) {
                    self.forget_alarm(&replica);
                    self.parts.directory.remove(&replica.entry);
                    self.parts.damage.forget(&replica.entry.name);
                    let hands = &mut self.parts.hands(&mut self.outlet);
                    // What cannot be read of it does not matter any more.
                    if let Err(error) = catch_unreadable(|| services::delete(replica, hands)) {
                        tracing::warn!(%group, %error, "a stream with a damaged index was deleted");
                    }
                }
                self.offline.remove(&group);
                if let Some(name) = self.parts.directory.remove_offline(group) {
                    self.parts.damage.forget(&name);
                }
                self.openings.remove(&group);
                self.parts.activity.add_deleted(group);
                if let Some(receipt) = receipt {
                    changes::accept(&receipt, Ok(Success::DONE), &mut self.outlet);
                }
            }
        }
    }

    /// Opens a stream; one that cannot be opened yet is tried again every [`WATCH_INTERVAL`], and whenever
    /// somebody asks for it.
    fn open(&mut self, opening: Opening) {
        let (group, update) = (opening.group, opening.update.clone());
        let hands = &mut self.parts.hands(&mut self.outlet);
        match opening::open_created(opening, &self.parts, &self.queue, hands) {
            Ok(replica) => {
                self.replicas.insert(group, replica);
                self.touch(group);
                if let Some(config) = update {
                    self.follow(StreamOrder::Configure(group, config, Receipt::None));
                }
            }
            Err(opening) => {
                self.openings.insert(group, opening);
            }
        }
    }

    fn try_opening(&mut self, group: GroupId) {
        if let Some(opening) = self.openings.remove(&group) {
            self.open(opening);
        }
    }

    fn try_openings(&mut self) {
        if self.openings.is_empty() {
            return;
        }
        let now = self.now();
        if now < self.openings_due {
            return;
        }
        for opening in mem::take(&mut self.openings).into_values() {
            self.open(opening);
        }
        self.openings_due = now.saturating_add(WATCH_INTERVAL);
    }

    /// The meta group has the configuration; the stream gets it when it opens.
    fn configure_later(&mut self, group: GroupId, config: Box<StreamConfig>, receipt: Receipt) {
        if let Receipt::Api(receipt) = receipt {
            let error = self.why_missing(group);
            changes::refuse(&receipt, error, &mut self.outlet);
        }
        if let Some(opening) = self.openings.get_mut(&group) {
            opening.update = Some(config);
        }
    }

    /// Why a stream that the meta group knows does not serve.
    fn why_missing(&self, group: GroupId) -> ApiError {
        match self.openings.contains_key(&group) {
            true => opening::why_missing(),
            false => self.parts.directory.why_missing(group),
        }
    }

    /// Serves and times the streams something has happened to.
    fn look_after_touched(&mut self) {
        self.has_ready = false;
        for group in mem::take(&mut self.touched) {
            let Some(replica) = self.replicas.get_mut(&group) else {
                continue;
            };
            replica.touched = false;
            let hands = &mut self.parts.hands(&mut self.outlet);
            if let Err(error) = catch_unreadable(|| replica.look_after(hands)) {
                self.take_offline(group, &error);
                continue;
            }
            let due = replica.next_timeout();
            if due != replica.due {
                if let Some(old) = replica.due {
                    self.alarms.remove(&(old, group));
                }
                self.alarms.extend(due.map(|due| (due, group)));
                replica.due = due;
            }
            let waits = replica.waits_for_room();
            let has_ready = replica.has_ready() && !waits;
            self.has_ready |= has_ready;
            if waits || has_ready {
                self.touch(group);
            }
        }
    }

    fn ring_alarms(&mut self) {
        let now = self.now();
        while let Some((due, group)) = self.alarms.first().copied() {
            if due > now {
                return;
            }
            self.alarms.pop_first();
            if let Some(replica) = self.replicas.get_mut(&group) {
                replica.due = None;
            }
            self.touch(group);
        }
    }

    /// How long there is nothing to do unless somebody says so; `None` for ever.
    fn wait_max(&self) -> Option<Duration> {
        if self.has_ready {
            return Some(Duration::ZERO);
        }
        let now = self.now();
        let alarm = self.alarms.first();
        let alarm = alarm.map(|(due, _)| due.saturating_duration_since(now));
        let retry = (!self.touched.is_empty()).then_some(RETRY_AFTER);
        let watches = !self.batches.is_empty() || self.is_stuck || !self.openings.is_empty();
        let watch = watches.then_some(WATCH_INTERVAL);
        [alarm, retry, watch].into_iter().flatten().min()
    }

    /// Writes bodies to the disk when enough are in memory. While that fails publishers are refused, so
    /// that memory stays bounded.
    fn write_behind(&mut self) {
        if self.unchecked_bytes < TAIL_CHECK_BYTES && !self.is_stuck {
            return;
        }
        self.unchecked_bytes = 0;
        let tails = self
            .replicas
            .values()
            .map(|replica| replica.store.tail_bytes());
        let bytes_max = if tails.sum::<u64>() >= TAILS_BYTES_MAX || self.is_stuck {
            1
        } else {
            TAIL_BYTES_MAX
        };
        let mut is_stuck = false;
        for replica in self.replicas.values_mut() {
            if replica.store.tail_bytes() >= bytes_max {
                is_stuck |= !replica.write_behind(&self.parts.intake.reserve);
            }
        }
        if is_stuck != mem::replace(&mut self.is_stuck, is_stuck) {
            let stuck_shards = &self.parts.intake.stuck_shards;
            if is_stuck {
                stuck_shards.fetch_add(1, Ordering::Relaxed);
            } else {
                stuck_shards.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Moves parts of these indexes into tables while all of the node's take most of what they may. Asked of a stream
    /// after each of its entries, so that publishers are refused for the index only when no part of it is worth
    /// moving, or the disk refuses; and of all after a round, since others may have to make room.
    fn relieve_indexes(&mut self, groups: impl RangeBounds<GroupId>) {
        let used = self.parts.intake.index_bytes.load(Ordering::Relaxed);
        let budget = self.parts.stores.index_budget;
        let streams = || self.parts.directory.len() as u64;
        let Some(share) = budget.share(used, streams) else {
            return;
        };
        let now = self.now();
        if now < self.freeze_from {
            return;
        }
        let mut is_frozen = false;
        for (_, replica) in self.replicas.range_mut(groups) {
            if replica.stream.hot_index_bytes() < share {
                continue;
            }
            match replica.freeze(&self.parts.stores, &self.parts.intake.reserve) {
                Some(frozen) => is_frozen |= frozen,
                None => {
                    self.freeze_from = now.saturating_add(WATCH_INTERVAL);
                    break;
                }
            }
        }
        if is_frozen {
            self.parts.keeper_bell.ring();
        }
    }

    /// The index of a stream cannot be read. What is in memory of the stream is half changed, so that it must not
    /// be used or saved; the log and the last checkpoint have it as it should be, for the next start.
    fn take_offline(&mut self, group: GroupId, error: &Unreadable) {
        let Some(mut replica) = self.replicas.remove(&group) else {
            return;
        };
        let stream = &replica.entry.name;
        tracing::error!(%stream, %group, %error, "a stream is offline until the next start");
        self.forget_alarm(&replica);
        self.parts.directory.remove(&replica.entry);
        replica.store.remove_tables();
        let offline = OfflineStream {
            group,
            config: replica.stream.config().clone(),
            reason: format!("{error}; start the node again, which builds the index anew"),
            needs: LOG_START,
        };
        let (stream, reason) = (stream.clone(), offline.reason.clone());
        // Its subscriptions end before others refuse in their place, and who hears of the damage is refused.
        drop(replica);
        let intake = &self.parts.intake;
        self.parts.directory.insert_offline(offline, intake);
        self.offline.insert(group);
        self.parts.damage.add_offline(&stream, &reason);
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
            offline: self.offline.iter().copied().collect(),
        };
        for (group, replica) in &mut self.replicas {
            match replica.checkpoint() {
                Ok((applied, state, bodies)) => described.groups.push(GroupCheckpoint {
                    group: *group,
                    applied,
                    state,
                    bodies: Some(bodies),
                }),
                Err(error) => {
                    let stream = &replica.entry.name;
                    tracing::error!(%stream, %error, "cannot prepare a checkpoint");
                    if matches!(error, Error::Full { .. }) {
                        self.parts.intake.reserve.give_up();
                    }
                    described.failed.push(*group);
                }
            }
        }
        // The checkpointer may have given up.
        order.answer.send(described).ok();
    }

    fn checkpoint_saved(&mut self, group: GroupId, manifest: &Manifest) {
        let Some(replica) = self.replicas.get_mut(&group) else {
            return;
        };
        if let Err(error) = replica.store.checkpoint_saved(manifest) {
            let stream = &replica.entry.name;
            tracing::warn!(%stream, %error, "cannot remove old segments yet");
        }
    }

    fn name_work(&mut self, order: &KeepOrder) {
        match order {
            KeepOrder::Scrub(answer) => {
                let segments = self.replicas.iter().flat_map(|(group, replica)| {
                    let sealed = replica.store.sealed_segments().into_iter();
                    sealed.map(|segment| (*group, segment))
                });
                // The keeper may have ended.
                answer.send(segments.collect()).ok();
            }
            KeepOrder::Rewrite(answer) => {
                let owner = &self.queue;
                let work = self.replicas.values_mut();
                let work = work.map(|replica| replica.name_work(owner));
                // If the keeper has not waited, the work comes back.
                answer.send(work.collect()).ok();
            }
        }
    }

    fn keep(&mut self, group: GroupId, kept: Kept) {
        let stores = Arc::clone(&self.parts.stores);
        self.with_replica(group, |replica, _| match kept {
            Kept::Damaged(segment, findings) => replica.note_findings(&segment, findings),
            Kept::Rewritten(rewrite, outcome) => replica.finish_rewrite(&rewrite, outcome),
            Kept::LeftUndone(rewrite, shreds) => {
                if let Some(rewrite) = rewrite {
                    replica.finish_rewrite(&rewrite, Ok(None));
                }
                replica.store.return_shreds(shreds);
            }
            Kept::Merged(merge, outcome) => replica.finish_merge(&merge, outcome, &stores),
        });
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
                self.touch(group);
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

    fn touch(&mut self, group: GroupId) {
        if let Some(replica) = self.replicas.get_mut(&group)
            && !mem::replace(&mut replica.touched, true)
        {
            self.touched.push(group);
        }
    }

    fn forget_alarm(&mut self, replica: &Replica) {
        if let Some(due) = replica.due {
            self.alarms.remove(&(due, replica.entry.group));
        }
    }

    fn now(&self) -> Timestamp {
        self.parts.now()
    }
}

/// Lets go of those who wait for a shard when it panics, which is a bug: the process may be somebody else's, who
/// goes on and wants to shut the node down.
struct PanicGuard {
    queue: Arc<ShardQueue>,
    parts: ShardParts,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(
                "a shard has panicked; the node takes no messages any more, restart it"
            );
            self.parts.intake.log.end();
            self.queue.close();
            self.parts.waiting_room.notify();
        }
    }
}
