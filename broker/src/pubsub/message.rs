//! The message as it travels through the node, and the trait of what receives it inside the broker.

use bytes::Bytes;
use hitherto_protocol::{Headers, HeadersError, Subject};

use super::{HeldAnswer, Origin};

/// A message on its way. All parts are cheap to clone; those of a message that came over a socket share
/// the read buffer, so whoever keeps one for long copies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The subject it was published to.
    pub(crate) subject: Subject,
    /// Where an answer goes; `None` when none is expected.
    pub(crate) reply: Option<Subject>,
    /// The raw header block with its final blank line; `None` when the message has none.
    ///
    /// Not checked: nats-server hands on whatever a client calls its header block, and so does the
    /// router. Who reads headers calls [`Message::checked_headers`].
    pub(crate) headers: Option<Bytes>,
    /// What follows the headers; may be empty.
    pub(crate) payload: Bytes,
}

impl Message {
    /// Headers and payload together: what `max_payload` limits.
    pub(crate) fn body_bytes(&self) -> usize {
        self.headers.as_ref().map_or(0, Bytes::len) + self.payload.len()
    }

    /// The header block, checked; `None` when the message has none.
    ///
    /// # Errors
    /// When the publisher sent a block that is no NATS header block.
    pub(crate) fn checked_headers(&self) -> Result<Option<Headers>, HeadersError> {
        self.headers.clone().map(Headers::parse).transpose()
    }
}

/// From where messages reach a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From this node alone; the other nodes do not hear of it.
    Node,
    /// From all nodes of the cluster.
    Cluster,
}

/// A service inside the broker that takes part in publish and subscribe: the capture of a stream, an API.
///
/// `handle` runs on the thread of the publisher, between other deliveries: it must not block, and hands
/// real work to a thread of its own. No lock of the router is held, so it may publish. Messages of one
/// publisher arrive in order; messages of several publishers arrive concurrently.
pub(crate) trait Handler: Send + Sync {
    /// Takes one message, of `origin`, whose subject matches the handler's subscription.
    fn handle(&self, origin: Origin, message: &Message);

    /// Whether messages of the clients of other nodes reach it.
    fn reach(&self) -> Reach {
        Reach::Node
    }

    /// Takes one message of the broker itself, of which somebody waits until it is decided what becomes of
    /// it. Who decides that later keeps a share of the answer until then.
    fn handle_held(&self, message: &Message, _: &HeldAnswer) {
        self.handle(Origin::Internal, message);
    }
}
