//! The seam to other nodes: ordered frames of bytes, to a peer and from a peer.
//!
//! The replicated log needs no more of a network than this. A frame that was sent arrives whole, once and in
//! the order of its channel, or not at all, and then the ones after it may arrive. Who connects whom, and that a peer is
//! who it says, is the business of whoever implements it.

mod local;

use async_trait::async_trait;
use bytes::Bytes;

use crate::NodeId;

pub use self::local::{LocalLinks, LocalNetwork};

/// What a frame is for. Frames of one channel keep their order; those of different channels should not wait
/// for each other, or heartbeats come too late behind a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Votes and heartbeats: small and urgent.
    Control,
    /// Entries and what became of them.
    Append,
    /// Parts of snapshots.
    Bulk,
}

/// Sends frames to other nodes.
#[async_trait]
pub trait Links: Send + Sync + 'static {
    /// Sends a frame. Returns when the link has taken it, and waits while it has no room.
    ///
    /// # Errors
    /// [`LinkDown`]: the frame will not arrive, and the peer cannot be reached now.
    async fn send(&self, to: NodeId, channel: Channel, frame: Bytes) -> Result<(), LinkDown>;
}

/// Takes frames from other nodes.
pub trait Inbox: Send + Sync + 'static {
    /// Takes a frame that a peer sent, in the order of its channel. Does not block.
    fn receive(&self, from: NodeId, frame: Bytes);

    /// There is no link to a peer any more: what was sent to it and not answered is lost. Without this word
    /// calls end at their deadlines.
    fn unlinked(&self, peer: NodeId);
}

/// The peer cannot be reached now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("node {0} cannot be reached")]
pub struct LinkDown(
    /// The peer.
    pub NodeId,
);
