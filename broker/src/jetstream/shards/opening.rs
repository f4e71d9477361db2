//! Opening a stream: from then on its name is known, and messages are taken in for it.

use std::fmt;
use std::sync::Arc;

use hitherto_jetstream::api::ApiError;
use hitherto_jetstream::{GroupId, LogIndex, Stream};
use hitherto_storage::StreamStore;

use super::parts::ShardParts;
use crate::jetstream::orders::{Opening, ShardQueue};
use crate::jetstream::replicas::{Hands, Keeping, Replica};
use crate::jetstream::taking::{Captured, StreamEntry};
use crate::services::{StreamAction, changes, tell_stream};

/// Opens the stream and answers. When the disk does not let us, who waits is told, and the opening comes back
/// to be tried again: the stream is created, and its name and subjects are taken.
pub(super) fn open_created(
    mut opening: Opening,
    parts: &ShardParts,
    queue: &Arc<ShardQueue>,
    hands: &mut Hands<'_>,
) -> Result<Replica, Opening> {
    let store = match parts.stores.create(opening.group) {
        Ok(store) => store,
        Err(error) => {
            if let Some(receipt) = opening.receipt.take() {
                let stream = &opening.config.name;
                tracing::error!(%stream, %error, "cannot make the files of a new stream yet");
                let error = not_yet(&error);
                changes::refuse(&receipt, error, hands.outlet);
            }
            return Err(opening);
        }
    };
    let keeping = match parts.open_group(opening.group, LogIndex(0), &opening.peers) {
        Ok(keeping) => keeping,
        Err(error) => {
            let stream = &opening.config.name;
            tracing::error!(%stream, %error, "cannot open the log of a new stream yet");
            return Err(opening);
        }
    };
    let stream = Stream::new(*opening.config, opening.created);
    let mut replica = open_stream(opening.group, stream, store, (parts, keeping), queue);
    replica.follow_durability(hands);
    if let Some(receipt) = &opening.receipt {
        let mut info = changes::stream_info(&replica, hands.now);
        info.did_create = true;
        changes::accept(receipt, Ok(info), hands.outlet);
    }
    if keeping == Keeping::Alone {
        // In a cluster whoever leads it tells.
        let stream = &replica.entry.name;
        tell_stream(stream, StreamAction::Create, hands.now, hands.outlet);
    }
    Ok(replica)
}

fn not_yet(cause: &dyn fmt::Display) -> ApiError {
    let text = format!(
        "the stream is created but its files cannot be made yet, which is tried again: {cause}"
    );
    ApiError::stream_create_failed(&text)
}

/// What is said to those who ask for the stream meanwhile.
pub(super) fn why_missing() -> ApiError {
    not_yet(&"see the log of the broker")
}

/// Makes the stream known and begins to take messages in for it. Its group must be open in the log.
pub(in crate::jetstream) fn open_stream(
    group: GroupId,
    stream: Stream,
    store: StreamStore,
    (parts, keeping): (&ShardParts, Keeping),
    queue: &Arc<ShardQueue>,
) -> Replica {
    let name = stream.config().name.clone();
    let storage = stream.config().storage;
    let entry = Arc::new(StreamEntry::new(name, group, storage, Arc::clone(queue)));
    let last_at = stream.state().last_ts;
    let since = (last_at, keeping != Keeping::Alone);
    let captured = Captured::new(Arc::clone(&parts.intake), Arc::clone(&entry), since);
    let report = parts.damage.clone();
    let kept = (report, keeping, parts.replication.clone());
    let mut replica = Replica::new(Arc::clone(&entry), stream, store, captured, kept);
    replica.publish_usage();
    // First the name, then the subjects: whoever gets a PubAck finds the stream.
    parts.directory.insert(entry);
    replica.follow_config();
    replica
}
