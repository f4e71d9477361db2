//! One subscription, and how one message reaches its target.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use bytestring::ByteString;
use hitherto_protocol::SubjectFilter;

use super::{Handler, HeldAnswer, Message, Origin, Reach, SubscriberId};
use crate::connection::{Outbound, Pushed};
use crate::local::LocalQueue;
use crate::route::RemoteNode;

/// One SUB, or its like inside the process.
pub(crate) struct Subscription {
    filter: SubjectFilter,
    queue: Option<ByteString>,
    target: Target,
    /// Messages handed over since SUB. May run past `max` by refused attempts.
    delivered: AtomicU64,
    /// Ends the subscription after so many messages since SUB; 0 means never.
    max: AtomicU64,
    /// Once set, nothing is handed over any more.
    ended: AtomicBool,
    /// How many members of the queue group it stands for: of another node there may be several.
    members: AtomicU32,
}

/// Where the messages of a subscription go.
#[derive(Clone)]
pub(crate) enum Target {
    /// A connection, under the client's name for the subscription.
    Client {
        /// The connection's side of the socket.
        outbound: Arc<Outbound>,
        /// The client's name for the subscription. Its own copy, not a slice of a read buffer.
        sid: Bytes,
    },
    /// A subscription inside the process.
    Local(Arc<LocalQueue>),
    /// A service of the broker.
    Handler(Arc<dyn Handler>),
    /// The clients of another node. It gets messages by [`NodeRound`](super::addressees::NodeRound), one for
    /// all its subscriptions.
    Node(Arc<RemoteNode>),
}

/// What became of one message at one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handover {
    /// It was taken.
    Taken {
        /// It was the last one the subscription asked for.
        is_last: bool,
        /// What the receiver said; neither [`Pushed::Closed`] nor [`Pushed::Denied`].
        pushed: Pushed,
    },
    /// It was not taken: the subscription has ended, or does not want its own messages.
    Refused,
}

impl Subscription {
    pub(super) fn new(
        filter: SubjectFilter,
        queue: Option<ByteString>,
        target: Target,
        members: u32,
    ) -> Self {
        Self {
            filter,
            queue,
            target,
            delivered: AtomicU64::new(0),
            max: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            members: AtomicU32::new(members),
        }
    }

    /// The subjects it asks for.
    pub(crate) fn filter(&self) -> &SubjectFilter {
        &self.filter
    }

    /// Its queue group; `None` for a plain subscription.
    pub(crate) fn queue(&self) -> Option<&ByteString> {
        self.queue.as_ref()
    }

    /// Its target.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// From where messages reach it.
    pub(super) fn reach(&self) -> Reach {
        match &self.target {
            Target::Client { .. } | Target::Local(_) => Reach::Cluster,
            Target::Handler(handler) => handler.reach(),
            // The other nodes hear of it from that node.
            Target::Node(_) => Reach::Node,
        }
    }

    /// The node it belongs to; `None` when that is this one.
    pub(super) fn node(&self) -> Option<&Arc<RemoteNode>> {
        match &self.target {
            Target::Node(node) => Some(node),
            Target::Client { .. } | Target::Local(_) | Target::Handler(_) => None,
        }
    }

    /// How many members of the queue group it stands for.
    pub(super) fn members(&self) -> u32 {
        self.members.load(Ordering::Relaxed)
    }

    pub(super) fn set_members(&self, members: u32) {
        self.members.store(members, Ordering::Relaxed);
    }

    /// Who subscribed; `None` for a service of the broker and for another node.
    pub(crate) fn subscriber(&self) -> Option<SubscriberId> {
        match &self.target {
            Target::Client { outbound, .. } => Some(outbound.subscriber()),
            Target::Local(queue) => Some(queue.subscriber()),
            Target::Handler(_) | Target::Node(_) => None,
        }
    }

    /// The client's name for it; `None` inside the process.
    pub(crate) fn sid(&self) -> Option<&Bytes> {
        match &self.target {
            Target::Client { sid, .. } => Some(sid),
            Target::Local(_) | Target::Handler(_) | Target::Node(_) => None,
        }
    }

    /// How many messages were handed over, at most [`max_messages`](Self::max_messages).
    pub(crate) fn messages(&self) -> u64 {
        let delivered = self.delivered.load(Ordering::Relaxed);
        self.max_messages()
            .map_or(delivered, |max| delivered.min(max))
    }

    /// After how many messages it ends; `None` for never.
    pub(crate) fn max_messages(&self) -> Option<u64> {
        match self.max.load(Ordering::Relaxed) {
            0 => None,
            max => Some(max),
        }
    }

    /// Tells whether nothing will be handed over any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// See [`SubscriptionKey::end_after`](super::SubscriptionKey::end_after).
    pub(super) fn end_after(&self, max: u64) -> bool {
        self.max.store(max, Ordering::SeqCst);
        self.delivered.load(Ordering::SeqCst) >= max
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(super) fn hand_over(
        &self,
        origin: Origin,
        message: &Message,
        held: Option<&HeldAnswer>,
    ) -> Handover {
        if self.has_ended() || self.is_unwanted(origin) {
            return Handover::Refused;
        }
        // Counted before it is handed over, so that of two publishers racing for the last place
        // exactly one gets it: UNSUB max is exact.
        let before = self.delivered.fetch_add(1, Ordering::SeqCst);
        let max = self.max.load(Ordering::SeqCst);
        if max != 0 && before >= max {
            return Handover::Refused;
        }
        let is_last = max != 0 && before + 1 == max;
        if is_last {
            // Before the client can see the message and use the sid again.
            self.end();
        }
        let pushed = match &self.target {
            Target::Client { outbound, sid } => outbound.push_message(sid, message),
            Target::Local(queue) => queue.push(message),
            Target::Handler(handler) => {
                match held {
                    None => handler.handle(origin, message),
                    Some(held) => handler.handle_held(message, held),
                }
                Pushed::Done
            }
            Target::Node(_) => Pushed::Denied,
        };
        if matches!(pushed, Pushed::Closed | Pushed::Denied) {
            return Handover::Refused;
        }
        Handover::Taken { is_last, pushed }
    }

    fn is_unwanted(&self, origin: Origin) -> bool {
        match origin {
            Origin::ClientWithoutEcho(publisher) => self.subscriber() == Some(publisher),
            Origin::Node => self.reach() == Reach::Node,
            Origin::Internal | Origin::Client(_) => false,
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("filter", &self.filter)
            .field("queue", &self.queue)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client { outbound, sid } => {
                write!(f, "Client({:?}, sid {sid:?})", outbound.subscriber())
            }
            Self::Local(queue) => write!(f, "Local({:?})", queue.subscriber()),
            Self::Handler(_) => f.write_str("Handler"),
            Self::Node(node) => write!(f, "{node:?}"),
        }
    }
}
