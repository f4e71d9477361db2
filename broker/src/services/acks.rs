//! The handlers of `$JS.ACK.>` and `$JS.FC.>`: what clients say about deliveries, and how far they have got.

use bytestring::ByteString;
use hitherto_jetstream::Ack;
use hitherto_jetstream::ack_subject::{AckKind, AckSubject};
use hitherto_protocol::Subject;

use crate::jetstream::{Hands, Input, Replica, ShardParts};
use crate::pubsub::{Handler, Message, Origin};

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
            let mut outlet = self.parts.intake.outlet();
            outlet.no_responders(reply, Some(&message.subject));
            outlet.flush();
        }
    }
}

impl Handler for Acks {
    fn handle(&self, _: Origin, message: &Message) {
        let Some(subject) = AckSubject::parse(message.subject.as_str()) else {
            return;
        };
        let Some(entry) = self.parts.directory.get(subject.stream) else {
            if self.parts.replication.is_some() {
                // Another node may have it, and hears the ack as well.
                return;
            }
            return self.no_responders(message);
        };
        if !entry.leads() {
            // Whoever does hears it as well.
            return;
        }
        let ack = Ack {
            consumer: name_in(message, subject.consumer),
            stream_seq: subject.stream_seq,
            consumer_seq: subject.consumer_seq,
            deliveries: subject.deliveries,
            kind: AckKind::parse(&message.payload),
            reply: message.reply.clone(),
        };
        if !entry.shard.push_ack(Input::Ack(entry.group, ack)) {
            tracing::warn!(stream = entry.name, "an ack was dropped: too many wait");
        }
    }
}

/// The name of a consumer out of the subject of a message, sharing its bytes.
fn name_in(message: &Message, name: &str) -> ByteString {
    let bytes = message.subject.as_bytes().slice_ref(name.as_bytes());
    ByteString::try_from(bytes).expect("a part of a text is a text")
}

/// An answer to a request of flow control on its way to the owner of its stream.
pub(crate) struct StreamFlow {
    consumer: ByteString,
    subject: Subject,
}

/// The handler of `$JS.FC.>`.
pub(super) struct Flows {
    parts: ShardParts,
}

impl Flows {
    pub(super) fn new(parts: ShardParts) -> Self {
        Self { parts }
    }
}

impl Handler for Flows {
    /// Takes `$JS.FC.<stream>.<consumer>.<number>`; what it says is nothing.
    fn handle(&self, _: Origin, message: &Message) {
        let mut tokens = message.subject.tokens().skip(2);
        let (Some(stream), Some(consumer)) = (tokens.next(), tokens.next()) else {
            return;
        };
        let Some(entry) = self.parts.directory.get(stream) else {
            return;
        };
        if !entry.leads() {
            return;
        }
        let flow = StreamFlow {
            consumer: name_in(message, consumer),
            subject: message.subject.clone(),
        };
        if !entry.shard.push_ack(Input::Flow(entry.group, flow)) {
            tracing::warn!(
                stream = entry.name,
                "an answer to flow control was dropped: too many wait"
            );
        }
    }
}

/// Gives the answer to the consumer.
pub(crate) fn handle_flow(replica: &mut Replica, flow: &StreamFlow) {
    replica.stream.handle_flow(&flow.consumer, &flow.subject);
}

/// Gives an ack to the consumer.
pub(crate) fn handle_ack(replica: &mut Replica, ack: StreamAck, hands: &mut Hands<'_>) {
    let reply = ack.reply.clone();
    let is_known = replica.stream.handle_ack(hands.now, ack);
    if let (false, Some(reply)) = (is_known, reply) {
        hands.outlet.no_responders(&reply, None);
    }
}
