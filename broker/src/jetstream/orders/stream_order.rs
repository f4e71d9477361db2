//! What the meta group has decided about a stream, for the shard that owns it.

use std::sync::Arc;

use hitherto_jetstream::{GroupId, NodeId, StreamConfig};
use hitherto_protocol::Timestamp;

use crate::jetstream::telling::{ApiReceipt, Receipt};
use crate::services::Listing;

/// An order of the meta group's owner.
pub(crate) enum StreamOrder {
    /// Open a stream that was created.
    Open(Opening),
    /// Put a configuration into the stream's own log.
    Configure(GroupId, Box<StreamConfig>, Receipt),
    /// The meta group has this configuration: whoever leads the stream puts it into its log, if it is not
    /// there.
    CatchUp(GroupId, Box<StreamConfig>),
    /// Say what the stream holds.
    Describe(GroupId, Question),
    /// Let go of a stream that was deleted, then tell who asked for it.
    Delete(GroupId, Option<Box<ApiReceipt>>),
}

/// A stream to open.
pub(crate) struct Opening {
    pub(crate) group: GroupId,
    pub(crate) config: Box<StreamConfig>,
    pub(crate) created: Timestamp,
    /// Who created it; `None` when nobody waits.
    pub(crate) receipt: Option<Box<ApiReceipt>>,
    /// Who keeps it; empty on a node on its own.
    pub(crate) peers: Vec<NodeId>,
    /// What it was configured with since.
    pub(crate) update: Option<Box<StreamConfig>>,
}

/// Who wants to know what a stream holds.
pub(crate) enum Question {
    /// Who asked to create a stream that was there already.
    Created(Box<ApiReceipt>),
    /// A list of streams has a place for it.
    Listed(Arc<Listing>, usize),
}
