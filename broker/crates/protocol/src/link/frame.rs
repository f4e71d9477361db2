//! Everything a node says to another.

use bytes::Bytes;
use bytestring::ByteString;

use super::{Hello, NodeNews, PeerAddress, Refusal};
use crate::{Subject, SubjectFilter};

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Who speaks; the first frame of each side.
    Hello(Box<Hello>),
    /// The side that connected takes the other one: from now on the link carries everything.
    Accept,
    /// There will be no link, or no longer; the last frame.
    Refuse(Refusal),
    /// Is anybody there? The number comes back.
    Ping(u64),
    /// The answer.
    Pong(u64),
    /// Something has changed about who speaks.
    News(NodeNews),
    /// The nodes who speaks has links to.
    Peers(Vec<PeerAddress>),
    /// Interest of the clients of who speaks.
    Interest(Interest),
    /// A message for clients of who hears it.
    Message(Box<Routed>),
    /// Bytes of the replicated log.
    Bytes {
        /// What they are.
        channel: Channel,
        /// Opaque here.
        bytes: Bytes,
    },
}

/// Which account a subject is in: its place in [`Hello::accounts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId(pub u8);

/// What the bytes of the replicated log travel under. Order is kept within a channel and not between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Votes and heartbeats: small, and before everything else.
    Control,
    /// Entries of the log.
    Append,
    /// Files, and what else can wait.
    Bulk,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Control, Self::Append, Self::Bulk];
}

/// How much interest the clients of a node have in some subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// The account.
    pub space: SpaceId,
    /// The subjects.
    pub filter: SubjectFilter,
    /// The queue group; `None` for plain subscriptions.
    pub queue: Option<ByteString>,
    /// How many members the queue group has there; 1 for plain subscriptions. 0 ends the interest.
    pub members: u32,
}

/// A message on its way to the clients of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// The account.
    pub space: SpaceId,
    /// It is for plain subscriptions.
    pub plain: bool,
    /// The queue groups of which a member there gets it.
    pub queues: Vec<ByteString>,
    /// The subject it was published to.
    pub subject: Subject,
    /// The subject whose subscriptions get it; `None` when that is `subject`.
    pub to: Option<Subject>,
    /// Where an answer goes.
    pub reply: Option<Subject>,
    /// The raw header block.
    pub headers: Option<Bytes>,
    /// What follows the headers.
    pub payload: Bytes,
}
