//! What becomes of the records of a stream once the log has decided about them, and what is answered.

use std::mem;

use bytes::{Bytes, BytesMut};
use hitherto_cluster::{Committed, LogError};
use hitherto_jetstream::command::decode_all;
use hitherto_jetstream::{Command, Outcome};
use hitherto_protocol::Subject;

use super::hands::Hands;
use super::replica::Replica;
use crate::jetstream::telling::{Receipt, failure_error};
use crate::pubsub::{HeldAnswer, Message};
use crate::services::changes;

impl Replica {
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
                self.answer_configured(hands);
            }
            if self.captured.is_limited() {
                self.captured.report_held(self.stream.state().bytes);
            }
            self.carry_out(hands);
            if let (Receipt::None | Receipt::Copy(_), Outcome::Published(Err(error))) =
                (&receipt, &outcome)
                && self.leads()
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
        let copies = mem::take(&mut self.copies);
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
        let is_unknown = matches!(error, LogError::Undecided | LogError::NotLeader { .. });
        let error = failure_error(error);
        for receipt in receipts {
            if is_unknown && matches!(receipt, Receipt::PubAck(_)) {
                // The leader now in office may have the message, from here or from its publisher: no answer, as
                // when the node had ended.
                continue;
            }
            if matches!(receipt, Receipt::Durability) {
                self.relaxation.failed(self.stream.is_relaxed());
            }
            receipt.refuse(&self.pub_ack, &error, hands.outlet);
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
}

/// What the first of these records was published to. Read again from its bytes, so that a publish that is
/// not refused costs nothing.
fn published_subject(records: Bytes) -> Option<Subject> {
    match decode_all(records).next()?.ok()? {
        Command::Append(append) => Some(append.subject),
        Command::AppendBatch(batch) => Some(batch.into_iter().next()?.subject),
        Command::Control(_) | Command::Delivered(_) | Command::Settled(_) => None,
    }
}
