//! What a shard answers to the checkpointer and the keeper.

use std::collections::BTreeMap;
use std::sync::Arc;

use hitherto_jetstream::GroupId;
use hitherto_storage::Error;

use crate::jetstream::files::Reserve;
use crate::jetstream::orders::{Described, GroupCheckpoint, KeepOrder, ShardQueue};
use crate::jetstream::replicas::Replica;

/// Adds the streams to a description of the shard's groups.
pub(super) fn describe(
    replicas: &mut BTreeMap<GroupId, Replica>,
    described: &mut Described,
    reserve: &Reserve,
) {
    for (group, replica) in replicas {
        match replica.checkpoint() {
            Ok((applied, state, bodies)) => described.groups.push(GroupCheckpoint {
                group: *group,
                applied,
                state,
                bodies: Some(bodies),
            }),
            Err(error) => {
                let stream = &replica.entry.name;
                tracing::error!(%stream, %error, "cannot prepare a checkpoint");
                if matches!(error, Error::Full { .. }) {
                    reserve.give_up();
                }
                described.failed.push(*group);
            }
        }
    }
}

/// Names the work there is for the keeper.
pub(super) fn name_work(
    replicas: &mut BTreeMap<GroupId, Replica>,
    order: &KeepOrder,
    owner: &Arc<ShardQueue>,
) {
    match order {
        KeepOrder::Scrub(answer) => {
            let segments = replicas.iter().flat_map(|(group, replica)| {
                let sealed = replica.store.sealed_segments().into_iter();
                sealed.map(|segment| (*group, segment))
            });
            // The keeper may have ended.
            answer.send(segments.collect()).ok();
        }
        KeepOrder::Rewrite(answer) => {
            let work = replicas.values_mut();
            let work = work.map(|replica| replica.name_work(owner));
            // If the keeper has not waited, the work comes back.
            answer.send(work.collect()).ok();
        }
    }
}
