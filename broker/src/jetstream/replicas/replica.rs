//! One stream on the thread that owns it: the state machine, the bodies, and what it still has to say.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hitherto_cluster::{Committed, Durability, Encode, Log, LogError, Refusal, Refused};
use hitherto_jetstream::api::{ApiError, StreamInfo};
use hitherto_jetstream::command::{Control, decode_all};
use hitherto_jetstream::{
    Command, Compression, ConsumerBounds, Delivery, LogIndex, Outcome, Output, Republished,
    StoredMessage, Stream, StreamConfig, StreamSeq, Watch,
};
use hitherto_platform::Entropy;
use hitherto_protocol::{HeadersBuilder, Subject, Timestamp};
use hitherto_storage::{
    Error, Finding, Manifest, MergeTables, MergedFile, PendingCheckpoint, Rewrite, Rewritten,
    SegmentFile, StreamStore,
};

use super::damage::{Damage, DamageReport};
use super::fetcher;
use super::fetcher::Fetcher;
use super::relaxation::{Relaxation, Step};
use super::unreadable::Unreadable;
use crate::jetstream::files::{Reserve, StateSnapshot, Stores, freezing};
use crate::jetstream::orders::{Input, KeepWork, Kept, ShardQueue};
use crate::jetstream::taking::{Captured, StreamEntry};
use crate::jetstream::telling::{Outlet, PubAckForm, Receipt, failure_error, refusal_error};
use crate::pubsub::{HeldAnswer, InterestWatch, Message};
use crate::services::changes;

/// A stream with its bodies. Belongs to one shard.
pub(crate) struct Replica {
    pub(crate) entry: Arc<StreamEntry>,
    pub(crate) stream: Stream,
    pub(crate) store: StreamStore,
    /// Takes messages in for this stream.
    pub(crate) captured: Captured,
    pub_ack: PubAckForm,
    report: DamageReport,
    /// Found by whoever reads, also by those who only look.
    unreadable: RefCell<Unreadable>,
    /// Commands the log had no room for, in order. While there are some nothing is delivered, so that
    /// they stay few.
    unproposed: VecDeque<(Command, Receipt)>,
    /// What the command applied last has published again; empty between commands.
    copies: Vec<Republished>,
    /// Whether acks go before the sync.
    relaxation: Relaxation,
    /// Read for deliveries; empty between rounds.
    fetched: VecDeque<StoredMessage>,
    /// Interest in the deliver subjects of push consumers, by consumer.
    watches: BTreeMap<String, InterestWatch>,
    /// It is on the shard's list of those to look after.
    pub(crate) touched: bool,
    /// What the shard's alarm clock holds for it.
    pub(crate) due: Option<Timestamp>,
}

/// What a replica needs to do its work, lent by its shard.
pub(crate) struct Hands<'a> {
    pub(crate) now: Timestamp,
    pub(crate) log: &'a dyn Log<Receipt>,
    pub(crate) entropy: &'a dyn Entropy,
    /// What the node allows consumers.
    pub(crate) bounds: &'a ConsumerBounds,
    pub(crate) outlet: &'a mut Outlet,
}

impl Replica {
    pub(crate) fn new(
        entry: Arc<StreamEntry>,
        stream: Stream,
        store: StreamStore,
        captured: Captured,
        report: DamageReport,
    ) -> Self {
        let pub_ack = PubAckForm::new(&entry.name);
        let relaxation = Relaxation::new(stream.is_relaxed());
        Self {
            relaxation,
            entry,
            stream,
            store,
            captured,
            pub_ack,
            report,
            unreadable: RefCell::default(),
            unproposed: VecDeque::new(),
            copies: Vec::new(),
            fetched: VecDeque::new(),
            watches: BTreeMap::new(),
            touched: false,
            due: None,
        }
    }

    /// Applies a committed entry and answers those who wait for its records.
    ///
    /// # Panics
    /// When a record does not decode: it was checksummed on its way, so this node wrote what it cannot
    /// read, and must not go on.
    pub(crate) fn commit(&mut self, entry: Committed<Receipt>, hands: &mut Hands<'_>) {
        let mut receipts = entry.receipts.into_iter();
        let mut commands = decode_all(entry.body.clone());
        loop {
            let start = entry.body.len() - commands.bytes_left();
            let Some(command) = commands.next() else {
                return;
            };
            let command = command.expect("what this node put into its log is a command");
            let is_rare = matches!(&command, Command::Control(_));
            let receipt = receipts.next().unwrap_or(Receipt::None);
            let outcome = self.stream.apply(entry.index, command);
            if is_rare {
                self.follow_config();
                self.publish_usage();
                if matches!(receipt, Receipt::Durability) {
                    self.relaxation.applied();
                }
                // Before the answer: who has it may count on what the configuration says.
                self.follow_durability(hands);
            }
            if self.captured.is_limited() {
                self.captured.report_held(self.stream.state().bytes);
            }
            self.carry_out(hands);
            if let (Receipt::None | Receipt::Copy(_), Outcome::Published(Err(error))) =
                (&receipt, &outcome)
                && let Some(subject) = published_subject(entry.body.slice(start..))
            {
                let about = (self.entry.name.as_str(), &subject);
                let router = hands.outlet.router();
                self.entry.refusals.tell(router, hands.now, about, error);
            }
            if self.copies.is_empty() {
                self.answer(receipt, outcome, hands);
            } else {
                self.publish_again(receipt, outcome, hands);
            }
        }
    }

    /// Publishes the copies of a message, and answers when every stream that takes one has decided about
    /// it: whoever has the answer finds the copies.
    fn publish_again(&mut self, receipt: Receipt, outcome: Outcome, hands: &mut Hands<'_>) {
        let copies = std::mem::take(&mut self.copies);
        let held = match (&receipt, &outcome) {
            (Receipt::PubAck(reply), Outcome::Published(published)) => {
                let mut payload = BytesMut::new();
                self.pub_ack.write(&mut payload, published);
                Some(HeldAnswer::new(Message {
                    subject: reply.clone(),
                    reply: None,
                    headers: None,
                    payload: payload.freeze(),
                }))
            }
            (Receipt::Copy(held), _) => held.for_copies(),
            _ => None,
        };
        for again in &copies {
            hands
                .outlet
                .republish(&self.entry.name, again, held.as_ref());
        }
        let is_answered = matches!(receipt, Receipt::PubAck(_)) && held.is_some();
        if let Some(held) = held {
            hands.outlet.let_go(held);
        }
        if !is_answered {
            self.answer(receipt, outcome, hands);
        }
    }

    /// Tells those who wait that their records are not committed, or that nobody knows.
    pub(crate) fn fail(&mut self, receipts: Vec<Receipt>, error: &LogError, hands: &mut Hands<'_>) {
        if matches!(error, LogError::NotWritten { .. }) {
            self.stream.handle_lost_records(hands.now);
        }
        let error = failure_error(error);
        for receipt in receipts {
            if matches!(receipt, Receipt::Durability) {
                self.relaxation.failed(self.stream.is_relaxed());
            }
            self.refuse(receipt, &error, hands.outlet);
        }
    }

    /// Puts a command into the log of this stream.
    pub(crate) fn propose(&mut self, command: Command, receipt: Receipt, hands: &mut Hands<'_>) {
        if !self.unproposed.is_empty() {
            self.unproposed.push_back((command, receipt));
            return;
        }
        let record = Record::new(&command, &receipt);
        let refused = hands.log.propose(self.entry.group, &record, receipt);
        match refused {
            Ok(()) => {}
            Err(Refused {
                reason: Refusal::Full,
                receipt,
            }) => self.unproposed.push_back((command, receipt)),
            Err(Refused { reason, receipt }) => {
                self.refuse(receipt, &refusal_error(reason), hands.outlet);
            }
        }
    }

    /// Tries again what the log had no room for; `false` while it has none.
    pub(crate) fn propose_again(&mut self, hands: &mut Hands<'_>) -> bool {
        for (command, receipt) in std::mem::take(&mut self.unproposed) {
            // Goes back into the queue, behind what is there, once one finds no room.
            self.propose(command, receipt, hands);
        }
        self.unproposed.is_empty()
    }

    /// Serves the waiting pulls and does what is due.
    pub(crate) fn look_after(&mut self, hands: &mut Hands<'_>) {
        self.say_what_is_damaged(hands);
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
        let router = Arc::clone(hands.outlet.router());
        let mut fetcher = Fetcher::new(&self.store, &router, &mut self.fetched);
        self.stream.deliver(hands.now, &mut fetcher);
        for (seq, error) in fetcher.into_failed() {
            self.note_unreadable(seq, &error);
        }
        self.carry_out(hands);
        self.fetched.clear();
        self.publish_usage();
    }

    /// When it wants to be looked after again; `None` when nothing is due ever.
    pub(crate) fn next_timeout(&self) -> Option<Timestamp> {
        self.stream.next_timeout()
    }

    /// Has commands for which the log had no room.
    pub(crate) fn waits_for_room(&self) -> bool {
        !self.unproposed.is_empty()
    }

    /// Carries out what the state machine wants done, in order.
    pub(crate) fn carry_out(&mut self, hands: &mut Hands<'_>) {
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
                Output::Unwatch { consumer } => drop(self.watches.remove(&consumer)),
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
        stored.inspect_err(|error| self.note_unreadable(seq, error))
    }

    fn note_unreadable(&self, seq: StreamSeq, error: &Error) {
        if let Error::Damaged { .. } = error {
            self.note_damage(self.store.unreadable_with(seq), &error.to_string());
        } else {
            let stream = &self.entry.name;
            tracing::error!(%stream, %seq, %error, "a stored message cannot be read");
        }
    }

    /// Notes that these sequences cannot be read, and reports it the first time.
    pub(crate) fn note_damage(&self, sequences: RangeInclusive<u64>, problem: &str) {
        let is_new = self.unreadable.borrow_mut().add(sequences.clone(), problem);
        if is_new {
            let stream = &self.entry.name;
            tracing::error!(%stream, ?sequences, problem, "messages are damaged");
            self.report.add(Damage {
                stream: stream.clone(),
                sequences: Some(sequences),
                problem: problem.to_owned(),
            });
        }
    }

    /// Takes in what a scrub has found, unless the segment has gone meanwhile.
    fn note_findings(&self, segment: &SegmentFile, findings: Vec<Finding>) {
        if !self.store.has_segment(segment) {
            return;
        }
        for finding in findings {
            let (file, offset) = (finding.file.display(), finding.offset);
            let problem = &finding.problem;
            match finding.sequences {
                Some(sequences) => {
                    let problem = format!("{file} is damaged at offset {offset}: {problem}");
                    self.note_damage(sequences, &problem);
                }
                None => {
                    let stream = &self.entry.name;
                    tracing::error!(%stream, problem, "a segment is not as it should be; no message is known to be lost");
                }
            }
        }
    }

    /// Takes in what became of a rewrite.
    fn finish_rewrite(&mut self, rewrite: &Rewrite, outcome: Result<Option<Rewritten>, Error>) {
        if let Err(error) = &outcome {
            let (stream, sequences) = (&self.entry.name, rewrite.sequences());
            tracing::warn!(%stream, ?sequences, %error, "cannot rewrite a segment");
        }
        self.store.finish_rewrite(rewrite, outcome);
    }

    /// The stream as the API shows it, with what is damaged.
    pub(crate) fn info(&self, now: Timestamp) -> StreamInfo {
        let mut info = self.stream.info(now);
        info.state.lost = self.stream.messages_in(self.unreadable.borrow().ranges());
        info
    }

    /// Writes complete blocks of the tail to the disk; `false` when that fails.
    pub(crate) fn write_behind(&mut self, reserve: &Reserve) -> bool {
        let flushed = self.store.flush();
        if let Err(error) = &flushed {
            if matches!(error, Error::Full { .. }) {
                reserve.give_up();
            }
            let stream = &self.entry.name;
            tracing::error!(%stream, %error, "cannot write messages behind; publishes are refused");
        }
        flushed.is_ok()
    }

    /// Says how much memory the index takes now.
    pub(crate) fn report_index(&self) {
        self.captured.report_index(self.stream.index_bytes());
    }

    /// Freezes a piece of the index, and tells whether it was worth it; `None` when the disk does not let us.
    pub(crate) fn freeze(&mut self, stores: &Stores, reserve: &Reserve) -> Option<bool> {
        let frozen = freezing::freeze(&mut self.stream, &mut self.store, &stores.tables);
        if let Err(error) = &frozen {
            if matches!(error, Error::Full { .. }) {
                reserve.give_up();
            }
            let stream = &self.entry.name;
            tracing::error!(%stream, %error, "cannot write a table of the index");
        }
        self.report_index();
        frozen.ok()
    }

    /// What there is to do for the files of the stream at rest.
    pub(crate) fn name_work(&mut self, owner: &Arc<ShardQueue>) -> KeepWork {
        let merge = self.stream.begin_merge();
        KeepWork {
            group: self.entry.group,
            rewrite: self.store.begin_rewrite(),
            shreds: self.store.take_shreds(),
            merge: merge.map(|merge| self.store.begin_merge(merge)),
            owner: Arc::<ShardQueue>::clone(owner),
        }
    }

    /// Takes in what became of a merge of tables.
    fn finish_merge(
        &mut self,
        merge: &MergeTables,
        outcome: Result<Option<MergedFile>, Error>,
        stores: &Stores,
    ) {
        if let Err(error) = &outcome {
            let stream = &self.entry.name;
            tracing::warn!(%stream, %error, "cannot merge tables of the index");
        }
        let merged = self.store.take_merged(outcome.ok().flatten());
        self.stream
            .finish_merge(merge.merge(), merged, &stores.tables);
        self.report_index();
    }

    /// Takes in what the keeper has done, or has not.
    pub(crate) fn keep(&mut self, kept: Kept, stores: &Stores) {
        match kept {
            Kept::Damaged(segment, findings) => self.note_findings(&segment, findings),
            Kept::Rewritten(rewrite, outcome) => self.finish_rewrite(&rewrite, outcome),
            Kept::LeftUndone(rewrite, shreds) => {
                if let Some(rewrite) = rewrite {
                    self.finish_rewrite(&rewrite, Ok(None));
                }
                self.store.return_shreds(shreds);
            }
            Kept::Merged(merge, outcome) => self.finish_merge(&merge, outcome, stores),
        }
    }

    /// The checkpoint that names these files is on disk.
    pub(crate) fn checkpoint_saved(&mut self, manifest: &Manifest) {
        if let Err(error) = self.store.checkpoint_saved(manifest) {
            let stream = &self.entry.name;
            tracing::warn!(%stream, %error, "cannot remove old segments yet");
        }
    }

    /// Describes the stream for a checkpoint.
    pub(crate) fn checkpoint(
        &mut self,
    ) -> Result<(LogIndex, StateSnapshot, PendingCheckpoint), Error> {
        let (tables, only_cold) = self.stream.tables();
        self.store.name_tables(&tables, only_cold);
        let bodies = self.store.prepare_checkpoint()?;
        let state = StateSnapshot::Stream(Box::new(self.stream.snapshot()));
        Ok((self.stream.applied(), state, bodies))
    }

    /// Refreshes what others see of the stream from outside.
    pub(crate) fn publish_usage(&self) {
        let state = self.stream.state();
        if self.unreadable.borrow_mut().forget_below(state.first_seq) {
            self.report.forget_below(&self.entry.name, state.first_seq);
        }
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

    /// Carries out what came of a command and answers who waits for it.
    pub(crate) fn settle(&mut self, receipt: Receipt, outcome: Outcome, hands: &mut Hands<'_>) {
        self.carry_out(hands);
        self.answer(receipt, outcome, hands);
    }

    fn answer(&mut self, receipt: Receipt, outcome: Outcome, hands: &mut Hands<'_>) {
        match (receipt, outcome) {
            // Whoever waits for a double ack learns by its time-out that it is not settled.
            (Receipt::None | Receipt::Durability, _)
            | (Receipt::Processed(_), Outcome::Premature) => {}
            (Receipt::Copy(held), _) => hands.outlet.let_go(held),
            (Receipt::PubAck(reply), Outcome::Published(published)) => {
                let form = &self.pub_ack;
                hands
                    .outlet
                    .reply_with(&reply, |buf| form.write(buf, &published));
            }
            (Receipt::Processed(replies), _) => {
                for reply in replies {
                    hands.outlet.reply(&reply, Bytes::new());
                }
            }
            (Receipt::Api(receipt), outcome) => {
                changes::answer(self, &receipt, outcome, hands.now, hands.outlet);
            }
            (Receipt::PubAck(_), outcome) => {
                unreachable!("a publish leads to a PubAck, not to {outcome:?}")
            }
        }
    }

    /// Lets acks go before the sync, or not, as the configuration now in force says.
    pub(crate) fn follow_durability(&mut self, hands: &mut Hands<'_>) {
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
        self.captured.follow(config);
        self.store
            .set_compression(config.compression == Compression::S2);
        self.entry
            .allow_direct
            .store(config.allow_direct, Ordering::Relaxed);
    }

    fn refuse(&self, receipt: Receipt, error: &ApiError, outlet: &mut Outlet) {
        match receipt {
            // A client that waits for a double ack learns by its time-out, as with nats-server.
            Receipt::None | Receipt::Durability | Receipt::Processed(_) => {}
            Receipt::Copy(held) => outlet.let_go(held),
            Receipt::PubAck(reply) => {
                outlet.reply_with(&reply, |buf| self.pub_ack.write_error(buf, error));
            }
            Receipt::Api(receipt) => changes::refuse(&receipt, error.clone(), outlet),
        }
    }

    fn say_what_is_damaged(&self, hands: &mut Hands<'_>) {
        if !self.unreadable.borrow().has_unsaid() {
            return;
        }
        let mut unreadable = self.unreadable.borrow_mut();
        for (subject, payload) in unreadable.take_advisories(&self.entry.name, hands.now) {
            if let Some(subject) = subject {
                hands.outlet.publish(&subject, payload);
            }
        }
    }

    fn deliver(&mut self, delivery: &Delivery, hands: &mut Hands<'_>) {
        let stored = fetcher::take(&mut self.fetched, delivery.stream_seq);
        let stored = stored.expect("what is delivered was fetched");
        let outlet = &mut *hands.outlet;
        let reply = Some(delivery.ack_subject.clone());
        let message = if delivery.headers_only {
            headers_only(stored, reply)
        } else {
            to_message(stored, reply)
        };
        if outlet.deliver(&delivery.to, &message) {
            let until = hands.now.saturating_add(HOLD_BACK);
            self.stream.hold_back(delivery.consumer, until);
        }
    }

    /// Watches interest in a deliver subject, and says what there is.
    fn watch(&mut self, watch: Watch, hands: &mut Hands<'_>) {
        let Watch {
            consumer,
            subject,
            group,
        } = watch;
        let (entry, name) = (Arc::clone(&self.entry), consumer.clone());
        let notify = move || {
            let input = Input::Interest(entry.group, name.clone());
            entry.shard.push(input);
        };
        let watch = hands
            .outlet
            .router()
            .watch_interest(&subject, group, notify);
        self.watches.insert(consumer.clone(), watch);
        self.look_for_interest(&consumer, hands.now);
    }

    /// Tells the consumer whether anybody listens on its deliver subject.
    pub(crate) fn look_for_interest(&mut self, consumer: &str, now: Timestamp) {
        if let Some(watch) = self.watches.get(consumer) {
            self.stream.handle_interest(now, consumer, watch.look());
        }
    }

    /// Consumers have more to deliver right away.
    pub(crate) fn has_ready(&self) -> bool {
        self.stream.has_ready()
    }
}

/// How long a consumer waits when a client that gets its messages is close to being a slow consumer.
const HOLD_BACK: Duration = Duration::from_millis(5);

/// What the first of these records was published to. Read again from its bytes, so that a publish that is
/// not refused costs nothing.
fn published_subject(records: Bytes) -> Option<Subject> {
    match decode_all(records).next()?.ok()? {
        Command::Append(append) => Some(append.subject),
        Command::AppendBatch(batch) => Some(batch.into_iter().next()?.subject),
        Command::Control(_) | Command::Delivered(_) | Command::Settled(_) => None,
    }
}

/// Stores or removes a body.
pub(crate) fn keep_body(store: &mut StreamStore, output: Output) {
    match output {
        Output::Store(message) => store.append(message),
        Output::Remove(ranges) => {
            for range in ranges.iter() {
                store.remove_range(range);
            }
        }
        Output::Erase(seq) => store.erase(seq),
        Output::Deliver(_)
        | Output::Status(_)
        | Output::Reply { .. }
        | Output::Propose { .. }
        | Output::Republish(_)
        | Output::Watch(_)
        | Output::Unwatch { .. }
        | Output::Advisory { .. } => {}
    }
}

/// A command of the state machine on its way into the log.
pub(crate) struct Record<'a> {
    command: &'a Command,
    needs_sync: bool,
}

impl<'a> Record<'a> {
    /// A rare change is never answered before it is synced, nor is an acknowledgement that asks for it.
    pub(crate) fn new(command: &'a Command, receipt: &Receipt) -> Self {
        let is_awaited = matches!(receipt, Receipt::Processed(_));
        Self {
            command,
            needs_sync: is_awaited || matches!(command, Command::Control(_)),
        }
    }
}

impl Encode for Record<'_> {
    fn encode(&self, buf: &mut BytesMut) {
        self.command.encode(buf);
    }

    fn needs_sync(&self) -> bool {
        self.needs_sync
    }
}

/// The command that puts a configuration in force.
pub(crate) fn configure(config: Box<StreamConfig>, at: Timestamp) -> Command {
    Command::Control(Control::Configure { config, at })
}

fn to_message(stored: StoredMessage, reply: Option<Subject>) -> Message {
    Message {
        subject: stored.subject,
        reply,
        headers: stored.headers.map(|headers| headers.as_bytes().clone()),
        payload: stored.payload,
    }
}

/// The message without its payload, whose size a header tells.
fn headers_only(stored: StoredMessage, reply: Option<Subject>) -> Message {
    let mut headers = HeadersBuilder::new();
    let size = stored.payload.len().to_string();
    let own = stored.headers.iter().flat_map(|headers| headers.iter());
    for (name, value) in own.chain([("Nats-Msg-Size", size.as_str())]) {
        headers
            .insert(name, value)
            .expect("stored headers were checked when they came in");
    }
    Message {
        subject: stored.subject,
        reply,
        headers: Some(headers.build().as_bytes().clone()),
        payload: Bytes::new(),
    }
}

fn advise(subject: String, payload: Bytes, outlet: &mut Outlet) {
    if let Ok(subject) = Subject::new(subject) {
        outlet.publish(&subject, payload);
    }
}
