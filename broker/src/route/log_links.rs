//! The links between nodes as the replicated log sees them: its frames to one node, and from one.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use hitherto_cluster::{Channel, Inbox, LinkDown, NodeId as LogNodeId};
use hitherto_protocol::link;

use super::links::{Links, PeerSink};
use super::node_id::NodeId;

/// Sends the frames of the log over the links of a node.
///
/// The log starts before there are links, as who is let in finds everything recovered: until
/// [`LogLinks::connect`] no node can be reached, and nothing is received.
#[derive(Default)]
pub(crate) struct LogLinks {
    links: OnceLock<Weak<Links>>,
    inbox: RwLock<Option<Weak<dyn Inbox>>>,
}

impl LogLinks {
    /// Says who takes the frames of other nodes. It is not kept alive by that.
    pub(crate) fn set_inbox(&self, inbox: Weak<dyn Inbox>) {
        let mut current = self.inbox.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(inbox);
    }

    /// Goes over these links from now on. A second call does nothing.
    pub(crate) fn connect(self: &Arc<Self>, links: &Arc<Links>) {
        if self.links.set(Arc::downgrade(links)).is_ok() {
            links.set_sink(Arc::<Self>::clone(self));
        }
    }

    /// The cluster that `founder` has founded has admitted this node.
    pub(crate) fn set_cluster_id(&self, founder: LogNodeId) {
        if let Some(links) = self.links() {
            links.set_cluster_id(founder.into());
        }
    }

    /// Tells whether a node can be reached now.
    pub(crate) fn is_linked(&self, node: LogNodeId) -> bool {
        self.links()
            .is_some_and(|links| links.is_linked(node.into()))
    }

    /// The nodes there are links to that have streams, with their names.
    pub(crate) fn jetstream_peers(&self) -> Vec<(LogNodeId, String)> {
        self.links()
            .map_or_else(Vec::new, |links| links.jetstream_peers())
    }

    fn links(&self) -> Option<Arc<Links>> {
        self.links.get()?.upgrade()
    }

    fn inbox(&self) -> Option<Arc<dyn Inbox>> {
        let inbox = self.inbox.read().unwrap_or_else(PoisonError::into_inner);
        inbox.as_ref()?.upgrade()
    }
}

#[async_trait]
impl hitherto_cluster::Links for LogLinks {
    async fn send(&self, to: LogNodeId, channel: Channel, frame: Bytes) -> Result<(), LinkDown> {
        let links = self.links().ok_or(LinkDown(to))?;
        let sent = links.send_when_room(NodeId::from(to), wire_channel(channel), &frame);
        sent.await.map_err(|error| {
            tracing::debug!(%to, %error, "a frame of the log is not sent");
            LinkDown(to)
        })
    }
}

impl PeerSink for LogLinks {
    fn receive(&self, peer: NodeId, _: link::Channel, bytes: Bytes) {
        if let Some(inbox) = self.inbox() {
            inbox.receive(peer.into(), bytes);
        }
    }

    fn linked(&self, peer: NodeId, is_linked: bool) {
        if !is_linked && let Some(inbox) = self.inbox() {
            inbox.unlinked(peer.into());
        }
    }
}

fn wire_channel(channel: Channel) -> link::Channel {
    match channel {
        Channel::Control => link::Channel::Control,
        Channel::Append => link::Channel::Append,
        Channel::Bulk => link::Channel::Bulk,
    }
}

impl fmt::Debug for LogLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLinks")
            .field("is_connected", &self.links.get().is_some())
            .finish_non_exhaustive()
    }
}
