//! What a stream needs to do its work.

use hitherto_cluster::Log;
use hitherto_jetstream::ConsumerBounds;
use hitherto_platform::Entropy;
use hitherto_protocol::Timestamp;

use crate::jetstream::replication::Replication;
use crate::jetstream::telling::{Outlet, Receipt};

/// What a replica needs to do its work, lent by its shard.
pub(crate) struct Hands<'a> {
    pub(crate) now: Timestamp,
    pub(crate) log: &'a dyn Log<Receipt>,
    pub(crate) entropy: &'a dyn Entropy,
    /// What the node allows consumers.
    pub(crate) bounds: &'a ConsumerBounds,
    /// `None` on a node on its own.
    pub(crate) replication: Option<&'a Replication>,
    pub(crate) outlet: &'a mut Outlet,
}
