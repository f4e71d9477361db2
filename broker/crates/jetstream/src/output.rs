//! What comes out of a stream: the outcome of a command, and the effects its owner carries out.

use std::borrow::Cow;

use bytes::Bytes;
use hitherto_protocol::Subject;

use crate::api::{ApiError, ConsumerInfo, ConsumerPaused};
use crate::command::Command;
use crate::{SeqRanges, StoredMessage, StreamSeq};

/// What a command led to; the answer for whoever proposed it.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Of an append or an atomic batch.
    Published(Result<Stored, ApiError>),
    /// Of putting a consumer. The flag says whether it was created.
    Consumer(Result<(Box<ConsumerInfo>, bool), ApiError>),
    /// Of removing a consumer or a message.
    Deleted(Result<(), ApiError>),
    /// Of a purge: how many messages went.
    Purged(Result<u64, ApiError>),
    /// Of a pause: until when the consumer pauses, and how long that is.
    Paused(Result<ConsumerPaused, ApiError>),
    /// Of a reset: the consumer, and the sequence it starts from now.
    Reset(Result<(Box<ConsumerInfo>, StreamSeq), ApiError>),
    /// Of a configuration, an expiry, a delivery or a settlement.
    Recorded,
    /// Of a settlement that settles nothing: no record tells the delivery, since that one was lost and is
    /// proposed again, or the consumer was reset or deleted meanwhile. Who waits for it is not answered.
    Premature,
    /// The command was applied before; nothing changed.
    AlreadyApplied,
}

/// Where a publish is stored: what a PubAck says beside the name of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The sequence of the message; of the last one of a batch.
    pub seq: StreamSeq,
    /// It was stored before, and `seq` is what it got then.
    pub duplicate: bool,
    /// The id of the batch this commits; `None` for a message on its own.
    pub batch: Option<String>,
    /// How many messages the batch has.
    pub count: Option<u64>,
}

impl Stored {
    /// A message on its own.
    pub fn single(seq: StreamSeq, duplicate: bool) -> Self {
        Self {
            seq,
            duplicate,
            batch: None,
            count: None,
        }
    }
}

/// An effect for the owner to carry out, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Keep this body. Comes before anything that refers to it.
    Store(StoredMessage),
    /// The bodies are needed no longer. However many go at once, they are one output.
    Remove(SeqRanges),
    /// The body is needed no longer, and its bytes are to be overwritten.
    Erase(StreamSeq),
    /// Publish a message again that was just stored.
    Republish(Box<Republished>),
    /// Send the message to a waiting pull request.
    Deliver(Delivery),
    /// Send a status without a body to a waiting pull request.
    Status(Status),
    /// Answer with this payload.
    Reply {
        /// Where to.
        to: Subject,
        /// What; empty for an acknowledged acknowledgement.
        payload: Bytes,
    },
    /// Put this command into the log; once it is committed, `replies` get an empty message each.
    Propose {
        /// The command.
        command: Command,
        /// Who waits for it.
        replies: Vec<Subject>,
    },
    /// Tell [`Stream::handle_interest`](crate::Stream::handle_interest) from now on whether anybody
    /// listens on the deliver subject of this consumer, and instead of on the one before.
    Watch(Watch),
    /// Nobody need tell any more; nothing when nobody did.
    Unwatch {
        /// The consumer's name.
        consumer: String,
    },
    /// Publish this advisory.
    Advisory {
        /// Where.
        subject: String,
        /// Its JSON.
        payload: Bytes,
    },
}

/// A stored message on its way to those who follow the stream without a consumer (ADR-28).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Republished {
    /// Where to.
    pub to: Subject,
    /// The message.
    pub message: StoredMessage,
    /// The sequence of the message before it on its subject; 0 when it is the first.
    pub last_seq: StreamSeq,
    /// Without payload, whose size a header tells.
    pub headers_only: bool,
}

/// Interest to be watched for a push consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The consumer's name.
    pub consumer: String,
    /// Where its messages go.
    pub subject: Subject,
    /// The queue group whose members count; `None` for subscriptions without a group.
    pub group: Option<String>,
}

/// A message on its way to a client. The owner reads the body and sends it under its own subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which consumer, for [`Stream::hold_back`](crate::Stream::hold_back).
    pub consumer: ConsumerKey,
    /// The inbox of the pull request, or the deliver subject.
    pub to: Subject,
    /// Which message.
    pub stream_seq: StreamSeq,
    /// The reply subject, which acknowledges the message.
    pub ack_subject: Subject,
    /// Send the headers only, and the size of the body as `Nats-Msg-Size`.
    pub headers_only: bool,
}

/// A consumer of a stream by number, as long as it lives. Says nothing outside the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ConsumerKey(pub(crate) usize);

/// A status message: a header line, headers, no body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The inbox of the pull request, or the deliver subject.
    pub to: Subject,
    /// Where the client answers it; `None` when it need not.
    pub reply: Option<Subject>,
    /// The code, as in HTTP.
    pub code: u16,
    /// The text clients compare with.
    pub description: Cow<'static, str>,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Status {
    /// A status for `to` that says nothing yet.
    pub(crate) fn to(to: Subject) -> Self {
        Self {
            to,
            reply: None,
            code: 0,
            description: Cow::Borrowed(""),
            headers: Vec::new(),
        }
    }
}
