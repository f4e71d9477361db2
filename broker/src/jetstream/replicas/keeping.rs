//! Whether a stream is kept by this node alone or by several, and what changes when this one begins or ceases to
//! lead them.

use std::sync::atomic::Ordering;

use hitherto_cluster::Leadership;
use hitherto_jetstream::Output;

use super::bodies::keep_body;
use super::hands::Hands;
use super::replica::{Replica, advise};
use crate::jetstream::orders::PeerQuestion;
use crate::jetstream::telling::{ApiChange, ApiReceipt, refusal_error};
use crate::services::{Asker, StreamAction, changes, tell_stream};

/// Who keeps a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// This node alone; it serves the stream always.
    Alone,
    /// A replicated group, in which this node leads or follows.
    Group(Leadership),
}

impl Keeping {
    /// Tells whether this node serves the stream.
    pub(super) fn leads(&self) -> bool {
        match self {
            Self::Alone => true,
            Self::Group(leadership) => leadership.is_here,
        }
    }
}

/// Clients that wait until a configuration is in force, of one stream. More are not answered, and find out by
/// asking.
const CONFIGURED_MAX: usize = 64;

impl Replica {
    /// Answers a client that the leader of the meta group could not answer.
    pub(crate) fn answer_peer(
        &mut self,
        question: PeerQuestion,
        asker: Asker,
        hands: &mut Hands<'_>,
    ) {
        if !self.leads() {
            return;
        }
        let change = match question {
            PeerQuestion::Created | PeerQuestion::Found => ApiChange::StreamCreate,
            PeerQuestion::Configured(config) => {
                if self.configured.len() < CONFIGURED_MAX {
                    self.configured.push((config, asker));
                }
                return self.answer_configured(hands);
            }
        };
        if question == PeerQuestion::Created {
            let stream = &self.entry.name;
            tell_stream(stream, StreamAction::Create, hands.now, hands.outlet);
        }
        let mut info = changes::stream_info(self, hands.now);
        info.did_create = question == PeerQuestion::Created;
        changes::accept(&ApiReceipt { asker, change }, Ok(info), hands.outlet);
    }

    /// Answers those who wait for the configuration that is in force now.
    pub(super) fn answer_configured(&mut self, hands: &mut Hands<'_>) {
        let in_force = self.stream.config();
        let answered = self
            .configured
            .extract_if(.., |(config, _)| **config == *in_force);
        let change = ApiChange::StreamUpdate;
        for (_, asker) in answered.collect::<Vec<_>>() {
            let info = changes::stream_info(self, hands.now);
            changes::accept(&ApiReceipt { asker, change }, Ok(info), hands.outlet);
        }
    }

    /// Tells whether this node serves the stream: takes messages in, answers, and delivers.
    pub(crate) fn leads(&self) -> bool {
        self.keeping.leads()
    }

    /// Another node leads the group now, or this one does.
    pub(crate) fn handle_leadership(&mut self, leadership: Leadership, hands: &mut Hands<'_>) {
        let led = self.leads();
        self.keeping = Keeping::Group(leadership);
        match (led, leadership.is_here) {
            (false, true) => self.lead(hands),
            (true, false) => self.stand_down(hands),
            (true, true) | (false, false) => {}
        }
    }

    /// Everything that was committed before has been applied.
    fn lead(&mut self, hands: &mut Hands<'_>) {
        let stream = &self.entry.name;
        tracing::info!(%stream, "this node leads the stream");
        self.captured.note_last(self.stream.state().last_ts);
        self.stream.resume(hands.now);
        self.entry.leads.store(true, Ordering::Release);
        self.carry_out(hands);
        // Last: what is published now is taken in.
        self.follow_config();
    }

    fn stand_down(&mut self, hands: &mut Hands<'_>) {
        let stream = &self.entry.name;
        tracing::info!(%stream, "this node does not lead the stream any more");
        self.entry.leads.store(false, Ordering::Release);
        self.captured.stop();
        for (_, receipt) in self.proposals.take_waiting() {
            let error = refusal_error(hitherto_cluster::Refusal::NotLeader { leader: None });
            receipt.refuse(&self.pub_ack, &error, hands.outlet);
        }
        self.interest.clear();
        self.configured.clear();
        self.stream.stand_down();
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Status(status) => hands.outlet.say(&status),
                Output::Advisory { subject, payload } => advise(subject, payload, hands.outlet),
                // Those of commands that were applied before are through.
                output => keep_body(&mut self.store, output),
            }
        }
    }
}
