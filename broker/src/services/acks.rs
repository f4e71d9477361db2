//! The handler of `$JS.ACK.>`: what clients say about deliveries.

use std::sync::PoisonError;

use hitherto_jetstream::Ack;
use hitherto_jetstream::ack_subject::{AckKind, AckSubject};

use crate::jetstream::{Hands, Replica, ShardParts};
use crate::pubsub::{Handler, Message};

/// An ack on its way to the owner of its stream.
pub(crate) type StreamAck = Ack;

pub(super) struct Acks {
    parts: ShardParts,
}

impl Acks {
    pub(super) fn new(parts: ShardParts) -> Self {
        Self { parts }
    }

    /// Nobody takes the ack: its stream is gone.
    fn no_responders(&self, message: &Message) {
        if let Some(reply) = &message.reply {
            let outlet = self.parts.intake.outlet.lock();
            let mut outlet = outlet.unwrap_or_else(PoisonError::into_inner);
            outlet.no_responders(reply, Some(&message.subject));
            outlet.flush();
        }
    }
}

impl Handler for Acks {
    fn handle(&self, message: &Message) {
        let Some(subject) = AckSubject::parse(message.subject.as_str()) else {
            return;
        };
        // What is no acknowledgement is ignored, as by nats-server.
        let Some(kind) = AckKind::parse(&message.payload) else {
            return;
        };
        let Some(entry) = self.parts.directory.get(&subject.stream) else {
            return self.no_responders(message);
        };
        let ack = Ack {
            consumer: subject.consumer,
            stream_seq: subject.stream_seq,
            consumer_seq: subject.consumer_seq,
            deliveries: subject.deliveries,
            kind,
            reply: message.reply.clone(),
        };
        if !entry.shard.push_ack(entry.group, ack) {
            tracing::warn!(stream = entry.name, "an ack was dropped: too many wait");
        }
    }
}

/// Gives an ack to the consumer.
pub(crate) fn handle_ack(replica: &mut Replica, ack: StreamAck, hands: &mut Hands<'_>) {
    let reply = ack.reply.clone();
    let is_known = replica.stream.handle_ack(hands.now, ack);
    if let (false, Some(reply)) = (is_known, reply) {
        hands.outlet.no_responders(&reply, None);
    }
}
