//! What those who watch the node ask a shard, and what they get.

use hitherto_jetstream::GroupId;
use hitherto_jetstream::api::{ConsumerInfo, StreamInfo};
use tokio::sync::oneshot;

/// A question to a shard.
pub(crate) enum Watch {
    /// What a stream is and holds; a stream that is gone is not answered for.
    Stream {
        group: GroupId,
        with_consumers: bool,
        answer: oneshot::Sender<StreamReport>,
    },
    /// Whether the shard works.
    Life(oneshot::Sender<()>),
}

/// A stream at one moment.
#[derive(Debug, Clone)]
pub(crate) struct StreamReport {
    pub(crate) info: StreamInfo,
    /// Empty when they were not asked for.
    pub(crate) consumers: Vec<ConsumerInfo>,
}

impl Watch {
    /// The stream it is about.
    pub(crate) fn group(&self) -> Option<GroupId> {
        match self {
            Self::Stream { group, .. } => Some(*group),
            Self::Life(_) => None,
        }
    }
}
