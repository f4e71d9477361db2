//! One stream on the thread that owns it: the state machine, the bodies, and what it still has to say.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use hitherto_cluster::{Durability, Refused};
use hitherto_jetstream::api::{ClusterInfo, ConsumerInfo, StreamInfo};
use hitherto_jetstream::command::Control;
use hitherto_jetstream::{
    Command, Compression, Delivery, Output, Republished, StoredMessage, Stream, StreamConfig,
    StreamSeq, Watch,
};
use hitherto_protocol::{Subject, Timestamp};
use hitherto_storage::{Error, StreamStore};

use super::bodies::keep_body;
use super::damage::DamageReport;
use super::deliveries::Deliveries;
use super::hands::Hands;
use super::interest::DeliverInterest;
use super::keeping::Keeping;
use super::proposals::Proposals;
use super::relaxation::{Relaxation, Step};
use super::stream_damage::StreamDamage;
use crate::jetstream::replication::Replication;
use crate::jetstream::taking::{Captured, StreamEntry};
use crate::jetstream::telling::{Outlet, PubAckForm, Receipt, refusal_error};
use crate::services::Asker;

/// A stream with its bodies. Belongs to one shard.
pub(crate) struct Replica {
    pub(crate) entry: Arc<StreamEntry>,
    pub(crate) stream: Stream,
    pub(crate) store: StreamStore,
    /// Takes messages in for this stream.
    pub(crate) captured: Captured,
    pub(super) pub_ack: PubAckForm,
    pub(super) damage: StreamDamage,
    pub(super) proposals: Proposals,
    /// What the command applied last has published again; empty between commands.
    pub(super) copies: Vec<Republished>,
    /// Whether acks go before the sync.
    pub(super) relaxation: Relaxation,
    /// This node alone keeps the stream, or it is one of several.
    pub(super) keeping: Keeping,
    /// `None` on a node on its own.
    replication: Option<Arc<Replication>>,
    /// Clients of other nodes that wait until these configurations are in force.
    pub(super) configured: Vec<(Box<StreamConfig>, Asker)>,
    deliveries: Deliveries,
    pub(super) interest: DeliverInterest,
    /// It is on the shard's list of those to look after.
    pub(crate) touched: bool,
    /// What the shard's alarm clock holds for it.
    pub(crate) due: Option<Timestamp>,
}

impl Replica {
    pub(crate) fn new(
        entry: Arc<StreamEntry>,
        stream: Stream,
        store: StreamStore,
        captured: Captured,
        (report, keeping, replication): (DamageReport, Keeping, Option<Arc<Replication>>),
    ) -> Self {
        let pub_ack = PubAckForm::new(&entry.name);
        let relaxation = Relaxation::new(stream.is_relaxed());
        entry
            .leads
            .store(keeping == Keeping::Alone, Ordering::Release);
        Self {
            relaxation,
            damage: StreamDamage::new(Arc::clone(&entry), report),
            proposals: Proposals::new(entry.group),
            entry,
            stream,
            store,
            captured,
            pub_ack,
            copies: Vec::new(),
            keeping,
            replication,
            configured: Vec::new(),
            deliveries: Deliveries::default(),
            interest: DeliverInterest::default(),
            touched: false,
            due: None,
        }
    }

    /// Puts a command into the log of this stream.
    pub(crate) fn propose(&mut self, command: Command, receipt: Receipt, hands: &mut Hands<'_>) {
        let proposed = self.proposals.propose(command, receipt, hands.log);
        if let Err(Refused { reason, receipt }) = proposed {
            receipt.refuse(&self.pub_ack, &refusal_error(reason), hands.outlet);
        }
    }

    /// Tries again what the log had no room for; `false` while it has none.
    pub(crate) fn propose_again(&mut self, hands: &mut Hands<'_>) -> bool {
        for (command, receipt) in self.proposals.take_waiting() {
            // Goes back into the queue, behind what is there, once one finds no room.
            self.propose(command, receipt, hands);
        }
        !self.proposals.wait_for_room()
    }

    /// Serves the waiting pulls and does what is due.
    pub(crate) fn look_after(&mut self, hands: &mut Hands<'_>) {
        self.damage.tell(hands);
        if !self.leads() {
            return self.publish_usage();
        }
        if !self.propose_again(hands) {
            return;
        }
        if self
            .stream
            .next_timeout()
            .is_some_and(|due| due <= hands.now)
        {
            self.stream.handle_timeout(hands.now);
        }
        let (stream, store) = (&mut self.stream, &self.store);
        let failed = self
            .deliveries
            .begin(stream, store, hands.outlet.router(), hands.now);
        for (seq, error) in failed {
            self.damage.note_unreadable(&self.store, seq, &error);
        }
        self.carry_out(hands);
        self.deliveries.end();
        self.publish_usage();
    }

    /// When it wants to be looked after again; `None` when nothing is due ever.
    pub(crate) fn next_timeout(&self) -> Option<Timestamp> {
        self.stream.next_timeout().filter(|_| self.leads())
    }

    /// Has commands for which the log had no room.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.proposals.wait_for_room()
    }

    /// Carries out what the state machine wants done, in order; where another node leads only what concerns
    /// bodies.
    pub(crate) fn carry_out(&mut self, hands: &mut Hands<'_>) {
        if !self.leads() {
            while let Some(output) = self.stream.poll_output() {
                keep_body(&mut self.store, output);
            }
            return;
        }
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Deliver(delivery) => self.deliver(&delivery, hands),
                Output::Status(status) => hands.outlet.say(&status),
                Output::Reply { to, payload } => hands.outlet.reply(&to, payload),
                Output::Propose { command, replies } => {
                    let receipt = if replies.is_empty() {
                        Receipt::None
                    } else {
                        Receipt::Processed(replies)
                    };
                    self.propose(command, receipt, hands);
                }
                Output::Watch(watch) => self.watch(watch, hands),
                Output::Unwatch { consumer } => self.interest.unwatch(&consumer),
                Output::Advisory { subject, payload } => advise(subject, payload, hands.outlet),
                Output::Republish(again) => self.copies.push(*again),
                body @ (Output::Store(_) | Output::Remove(_) | Output::Erase(_)) => {
                    keep_body(&mut self.store, body);
                }
            }
        }
    }

    /// Reads a message. Damage is noted and reported here.
    pub(crate) fn read(&self, seq: StreamSeq) -> Result<Option<StoredMessage>, Error> {
        let stored = match self.store.get(seq) {
            Ok(None) if self.stream.contains(seq) => Err(self.store.missing(seq)),
            stored => stored,
        };
        stored.inspect_err(|error| self.damage.note_unreadable(&self.store, seq, error))
    }

    /// The stream as the API shows it, with what is damaged.
    pub(crate) fn info(&self, now: Timestamp) -> StreamInfo {
        let mut info = self.stream.info(now);
        info.state.lost = self.damage.lost_of(&self.stream);
        info.cluster = self.cluster_info();
        info
    }

    /// A consumer of the stream as the API shows it; `None` when there is none of this name.
    pub(crate) fn consumer_info(&self, name: &str, now: Timestamp) -> Option<ConsumerInfo> {
        let mut info = self.stream.consumer_info(name, now)?;
        info.cluster = self.cluster_info();
        Some(info)
    }

    /// Where the stream lives, and its consumers with it; `None` on a node on its own.
    pub(crate) fn cluster_info(&self) -> Option<ClusterInfo> {
        let replication = self.replication.as_ref()?;
        replication.cluster_info(&self.entry.name, self.entry.group)
    }

    /// Refreshes what others see of the stream from outside.
    pub(crate) fn publish_usage(&self) {
        let state = self.stream.state();
        self.damage.forget_below(state.first_seq);
        let usage = &self.entry.usage;
        usage.messages.store(state.messages, Ordering::Relaxed);
        let reserved = u64::try_from(self.stream.config().max_bytes).unwrap_or(0);
        usage.reserved_bytes.store(reserved, Ordering::Relaxed);
        let consumers = self.stream.consumers().len() as u64;
        usage.consumers.store(consumers, Ordering::Relaxed);
        self.report_index();
        self.captured.report_held(state.bytes);
    }

    /// The stream goes: its consumers' waiting pulls are told.
    pub(crate) fn end_consumers(&mut self, hands: &mut Hands<'_>) {
        let consumers: Vec<_> = self
            .stream
            .consumers()
            .map(|c| c.name().to_owned())
            .collect();
        for name in consumers {
            let command = Command::Control(Control::DeleteConsumer {
                name,
                incarnation: None,
                at: hands.now,
            });
            // Nothing of this stream is read again, so its state need not be right in any log.
            self.stream.apply(self.stream.applied().next(), command);
        }
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Status(status) => hands.outlet.say(&status),
                Output::Advisory { subject, payload } => advise(subject, payload, hands.outlet),
                Output::Store(_)
                | Output::Remove(_)
                | Output::Erase(_)
                | Output::Republish(_)
                | Output::Deliver(_)
                | Output::Reply { .. }
                | Output::Propose { .. }
                | Output::Watch(_)
                | Output::Unwatch { .. } => {}
            }
        }
    }

    /// Lets acks go before the sync, or not, as the configuration now in force says.
    pub(crate) fn follow_durability(&mut self, hands: &mut Hands<'_>) {
        if self.keeping != Keeping::Alone {
            // A majority has it on disk before it is acknowledged.
            return;
        }
        let is_wanted = self.stream.config().is_relaxed();
        let group = self.entry.group;
        match self.relaxation.next(is_wanted, self.stream.is_relaxed()) {
            Step::Nothing => {}
            Step::Ask(relaxed) => {
                if !relaxed {
                    hands.log.set_durability(group, Durability::Synced);
                }
                self.relaxation.asked(relaxed);
                let control = Control::Durability {
                    relaxed,
                    skip_to: None,
                };
                self.propose(Command::Control(control), Receipt::Durability, hands);
            }
            Step::Relax => hands.log.set_durability(group, Durability::Relaxed),
        }
    }

    /// A record about durability was proposed before the stream takes anything in.
    pub(crate) fn note_resumed(&mut self) {
        self.relaxation.asked(self.stream.config().is_relaxed());
    }

    /// The node ends in order: nothing may be lost any more, and the stream says so.
    pub(crate) fn end_relaxation(&mut self, hands: &mut Hands<'_>) {
        self.relaxation.end();
        self.follow_durability(hands);
    }

    /// Takes in what the configuration now in force says.
    pub(crate) fn follow_config(&mut self) {
        let config = self.stream.config();
        if self.keeping.leads() {
            self.captured.follow(config);
        }
        self.store
            .set_compression(config.compression == Compression::S2);
        self.entry
            .allow_direct
            .store(config.allow_direct, Ordering::Relaxed);
    }

    fn deliver(&mut self, delivery: &Delivery, hands: &mut Hands<'_>) {
        if self.deliveries.send(delivery, hands.outlet) {
            let until = hands.now.saturating_add(HOLD_BACK);
            self.stream.hold_back(delivery.consumer, until);
        }
    }

    /// Watches interest in a deliver subject, and says what there is.
    fn watch(&mut self, watch: Watch, hands: &mut Hands<'_>) {
        let consumer = watch.consumer.clone();
        self.interest
            .watch(watch, &self.entry, hands.outlet.router());
        self.look_for_interest(&consumer, hands.now);
    }

    /// Tells the consumer whether anybody listens on its deliver subject.
    pub(crate) fn look_for_interest(&mut self, consumer: &str, now: Timestamp) {
        if let Some(is_there) = self.interest.look(consumer) {
            self.stream.handle_interest(now, consumer, is_there);
        }
    }

    /// Consumers have more to deliver right away.
    pub(crate) fn has_ready(&self) -> bool {
        self.leads() && self.stream.has_ready()
    }
}

/// How long a consumer waits when a client that gets its messages is close to being a slow consumer.
const HOLD_BACK: Duration = Duration::from_millis(5);

pub(super) fn advise(subject: String, payload: Bytes, outlet: &mut Outlet) {
    if let Ok(subject) = Subject::new(subject) {
        outlet.publish(&subject, payload);
    }
}
