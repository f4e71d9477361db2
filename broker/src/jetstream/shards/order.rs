//! What the meta group has decided about a stream, for the shard that owns it.

use std::fmt;
use std::sync::Arc;

use hitherto_jetstream::api::{ApiError, Success};
use hitherto_jetstream::{GroupId, LogIndex, Stream, StreamConfig};
use hitherto_protocol::Timestamp;
use hitherto_storage::StreamStore;

use super::shard::ShardParts;
use crate::jetstream::orders::ShardQueue;
use crate::jetstream::replicas::{Hands, Replica};
use crate::jetstream::taking::{Captured, StreamEntry};
use crate::jetstream::telling::{ApiReceipt, Outlet, Receipt};
use crate::services::{Listing, StreamAction, changes, tell_stream};

/// An order of the meta group's owner.
pub(crate) enum StreamOrder {
    /// Open a stream that was created.
    Open(Opening),
    /// Put a configuration into the stream's own log.
    Configure(GroupId, Box<StreamConfig>, Receipt),
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

impl Opening {
    /// Opens the stream and answers. When the disk does not let us, who waits is told, and the opening comes back
    /// to be tried again: the stream is created, and its name and subjects are taken.
    pub(crate) fn carry_out(
        mut self,
        parts: &ShardParts,
        queue: &Arc<ShardQueue>,
        hands: &mut Hands<'_>,
    ) -> Result<Replica, Self> {
        let store = match parts.stores.create(self.group) {
            Ok(store) => store,
            Err(error) => {
                if let Some(receipt) = self.receipt.take() {
                    let stream = &self.config.name;
                    tracing::error!(%stream, %error, "cannot make the files of a new stream yet");
                    let error = Self::error(&error);
                    changes::refuse(&receipt, error, hands.outlet);
                }
                return Err(self);
            }
        };
        let stream = Stream::new(*self.config, self.created);
        hands.log.open_group(self.group, LogIndex(0));
        let mut replica = open(self.group, stream, store, parts, queue);
        replica.follow_durability(hands);
        if let Some(receipt) = &self.receipt {
            let mut info = changes::stream_info(&replica, hands.now);
            info.did_create = true;
            changes::accept(receipt, Ok(info), hands.outlet);
        }
        let stream = &replica.entry.name;
        tell_stream(stream, StreamAction::Create, hands.now, hands.outlet);
        Ok(replica)
    }

    fn error(cause: &dyn fmt::Display) -> ApiError {
        let text = format!(
            "the stream is created but its files cannot be made yet, which is tried again: {cause}"
        );
        ApiError::stream_create_failed(&text)
    }

    /// What is said to those who ask for the stream meanwhile.
    pub(crate) fn why_missing() -> ApiError {
        Self::error(&"see the log of the broker")
    }
}

impl Question {
    /// Answers it; an error when the stream is offline or has gone since it was asked.
    pub(crate) fn answer(
        &self,
        replica: Result<&Replica, ApiError>,
        now: Timestamp,
        outlet: &mut Outlet,
    ) {
        match self {
            Self::Created(receipt) => {
                let info = replica.map(|replica| changes::stream_info(replica, now));
                changes::accept(receipt, info, outlet);
            }
            Self::Listed(listing, place) => {
                let info = replica.ok().map(|replica| replica.info(now));
                listing.fill(*place, info, outlet);
            }
        }
    }
}

/// Tells who asked that the stream is deleted.
pub(crate) fn tell_deleted(receipt: Option<&ApiReceipt>, outlet: &mut Outlet) {
    if let Some(receipt) = receipt {
        changes::accept(receipt, Ok(Success::DONE), outlet);
    }
}

/// Makes the stream known and begins to take messages in for it. Its group must be open in the log.
pub(crate) fn open(
    group: GroupId,
    stream: Stream,
    store: StreamStore,
    parts: &ShardParts,
    queue: &Arc<ShardQueue>,
) -> Replica {
    let name = stream.config().name.clone();
    let storage = stream.config().storage;
    let entry = Arc::new(StreamEntry::new(name, group, storage, Arc::clone(queue)));
    let last_at = stream.state().last_ts;
    let captured = Captured::new(Arc::clone(&parts.intake), Arc::clone(&entry), last_at);
    let report = parts.damage.clone();
    let mut replica = Replica::new(Arc::clone(&entry), stream, store, captured, report);
    replica.publish_usage();
    // First the name, then the subjects: whoever gets a PubAck finds the stream.
    parts.directory.insert(entry);
    replica.follow_config();
    replica
}
