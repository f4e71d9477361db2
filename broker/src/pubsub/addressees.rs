//! Which other nodes get a message, and for whom there.

use std::sync::Arc;

use bytestring::ByteString;
use hitherto_protocol::Subject;

use super::Message;
use crate::connection::Pushed;
use crate::route::RemoteNode;

/// For whom at a node a message is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addressees<Q> {
    /// Plain subscriptions.
    pub(crate) plain: bool,
    /// Queue groups, of which one member each gets it.
    pub(crate) queues: Q,
}

/// The nodes that get one message. Kept from message to message, so that it does not allocate once it has
/// grown.
#[derive(Debug, Default)]
pub(super) struct NodeRound {
    nodes: Vec<Entry>,
    /// With the place of its node.
    queues: Vec<(usize, ByteString)>,
}

#[derive(Debug)]
struct Entry {
    node: Arc<RemoteNode>,
    plain: bool,
}

impl NodeRound {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node gets the message for its plain subscriptions. Each node is added at most once.
    pub(super) fn add_plain(&mut self, node: &Arc<RemoteNode>) {
        self.nodes.push(Entry {
            node: Arc::clone(node),
            plain: true,
        });
    }

    /// A node gets it for a member of a queue group; `false` when there is no link to it any more.
    pub(super) fn add_queue(&mut self, node: &Arc<RemoteNode>, queue: &ByteString) -> bool {
        if node.outbound().has_ended() {
            return false;
        }
        let known = self.nodes.iter();
        let known = known.map(|entry| &entry.node);
        let place = known
            .enumerate()
            .find(|(_, known)| Arc::ptr_eq(known, node));
        let place = place.map_or(self.nodes.len(), |(place, _)| place);
        if place == self.nodes.len() {
            self.nodes.push(Entry {
                node: Arc::clone(node),
                plain: false,
            });
        }
        self.queues.push((place, queue.clone()));
        true
    }

    /// Sends the message to each node, and forgets them. `note` hears whether it was for plain
    /// subscriptions, and what became of it.
    pub(super) fn send(
        &mut self,
        to: &Subject,
        message: &Message,
        mut note: impl FnMut(&RemoteNode, bool, Pushed),
    ) {
        for (place, Entry { node, plain }) in self.nodes.iter().enumerate() {
            let queues = self.queues.iter();
            let queues = queues
                .filter(|(of, _)| *of == place)
                .map(|(_, queue)| &**queue);
            let addressees = Addressees {
                plain: *plain,
                queues,
            };
            let pushed = node.push(to, message, &addressees);
            note(node, *plain, pushed);
        }
        self.nodes.clear();
        self.queues.clear();
    }
}
