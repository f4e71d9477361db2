//! What a shard answers to those who ask about its streams.

use std::collections::BTreeMap;

use hitherto_jetstream::GroupId;
use hitherto_jetstream::api::ApiError;
use hitherto_protocol::Timestamp;

use crate::jetstream::orders::{Question, StreamReport, Watch};
use crate::jetstream::replicas::Replica;
use crate::jetstream::telling::Outlet;
use crate::services::changes;

/// Answers a question; an error when the stream is offline or has gone since it was asked.
pub(super) fn answer_question(
    question: &Question,
    replica: Result<&Replica, ApiError>,
    now: Timestamp,
    outlet: &mut Outlet,
) {
    match question {
        Question::Created(receipt) => {
            let info = replica.map(|replica| changes::stream_info(replica, now));
            changes::accept(receipt, info, outlet);
        }
        Question::Listed(listing, place) => {
            let info = replica.ok().map(|replica| replica.info(now));
            listing.fill(*place, info, outlet);
        }
    }
}

/// Answers those who watch the node; who asked may have given up.
pub(super) fn answer_watch(watch: Watch, replicas: &BTreeMap<GroupId, Replica>, now: Timestamp) {
    match watch {
        Watch::Stream {
            group,
            with_consumers,
            answer,
        } => {
            if let Some(replica) = replicas.get(&group) {
                answer.send(report(replica, with_consumers, now)).ok();
            }
        }
        Watch::Life(answer) => {
            answer.send(()).ok();
        }
    }
}

fn report(replica: &Replica, with_consumers: bool, now: Timestamp) -> StreamReport {
    let stream = &replica.stream;
    let consumers = stream.consumers().filter(|_| with_consumers);
    StreamReport {
        info: stream.info(now),
        consumers: consumers.map(|consumer| consumer.info(now)).collect(),
    }
}
