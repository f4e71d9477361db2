//! Another node as a receiver of messages, in one account.

use std::fmt;
use std::sync::Arc;

use hitherto_protocol::Subject;
use hitherto_protocol::link::SpaceId;
use hitherto_protocol::link::encode::{self, RoutedParts};

use super::outbound::LinkOutbound;
use crate::connection::{Pushed, Traffic};
use crate::pubsub::{Addressees, Message};

/// Where the messages of one account for the clients of one node go. All interest of that node in the
/// account shares one.
pub(crate) struct RemoteNode {
    space: SpaceId,
    outbound: Arc<LinkOutbound>,
}

impl RemoteNode {
    pub(super) fn new(space: SpaceId, outbound: Arc<LinkOutbound>) -> Self {
        Self { space, outbound }
    }

    /// Its link's side of the socket.
    pub(crate) fn outbound(&self) -> &Arc<LinkOutbound> {
        &self.outbound
    }

    /// Sends a message to those who want the subject `to`.
    pub(crate) fn push<'a>(
        &self,
        to: &Subject,
        message: &Message,
        addressees: &Addressees<impl Iterator<Item = &'a str> + Clone>,
    ) -> Pushed {
        let parts = RoutedParts {
            space: self.space,
            plain: addressees.plain,
            subject: message.subject.as_str(),
            to: (*to != message.subject).then(|| to.as_str()),
            reply: message.reply.as_ref().map(Subject::as_str),
            headers: message.headers.as_deref(),
            payload: &message.payload,
        };
        let traffic = Traffic {
            messages: 1,
            bytes: message.body_bytes() as u64,
        };
        self.outbound.push_core(traffic, |buffer| {
            encode::message(buffer, &parts, &addressees.queues)
        })
    }
}

impl fmt::Debug for RemoteNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteNode")
            .field("space", &self.space)
            .finish_non_exhaustive()
    }
}
