//! The answers to requests that change something, once their record is committed or refused.

use hitherto_jetstream::api::{
    ApiError, ConsumerInfo, ConsumerReset, Purged, ResponseKind, StreamInfo, Success,
};
use hitherto_jetstream::{Consumer, Outcome};
use hitherto_protocol::Timestamp;
use serde::Serialize;

use super::Asker;
use super::advisories::{StreamAction, tell_stream};
use crate::jetstream::{ApiChange, ApiReceipt, Outlet, Replica};

impl ApiChange {
    /// The type of the answer.
    pub(crate) fn response(self) -> ResponseKind {
        match self {
            Self::StreamCreate => ResponseKind::StreamCreate,
            Self::StreamUpdate => ResponseKind::StreamUpdate,
            Self::StreamDelete => ResponseKind::StreamDelete,
            Self::Purge => ResponseKind::StreamPurge,
            Self::MessageDelete => ResponseKind::MsgDelete,
            Self::ConsumerCreate => ResponseKind::ConsumerCreate,
            Self::ConsumerDelete => ResponseKind::ConsumerDelete,
            Self::ConsumerPause => ResponseKind::ConsumerPause,
            Self::ConsumerReset => ResponseKind::ConsumerReset,
        }
    }
}

/// Answers a request whose command was applied to a stream.
pub(crate) fn answer(
    replica: &Replica,
    receipt: &ApiReceipt,
    outcome: Outcome,
    now: Timestamp,
    outlet: &mut Outlet,
) {
    match outcome {
        Outcome::Consumer(result) => {
            let shown = result.map(|(info, _)| {
                let consumer = replica.stream.consumer(&info.name);
                let mut shown = consumer_info(*info);
                // Known since the owner has begun to watch.
                shown.cluster = replica.cluster_info();
                shown.push_bound = consumer.is_some_and(Consumer::is_bound);
                shown
            });
            accept(receipt, shown, outlet);
        }
        Outcome::Paused(result) => accept(receipt, result, outlet),
        Outcome::Reset(result) => {
            let shown = result.map(|(info, seq)| ConsumerReset {
                info: consumer_info(*info),
                reset_seq: seq.0,
            });
            accept(receipt, shown, outlet);
        }
        Outcome::Deleted(result) => accept(receipt, result.map(|()| Success::DONE), outlet),
        Outcome::Purged(result) => accept(receipt, result.map(Purged::new), outlet),
        Outcome::Recorded => {
            accept(receipt, Ok(stream_info(replica, now)), outlet);
            tell_stream(&replica.entry.name, StreamAction::Modify, now, outlet);
        }
        Outcome::Published(_) | Outcome::Premature | Outcome::AlreadyApplied => {
            unreachable!("{:?} leads to no such outcome", receipt.change)
        }
    }
}

/// Answers a request with what became of it.
pub(crate) fn accept<T: Serialize>(
    receipt: &ApiReceipt,
    result: Result<T, ApiError>,
    outlet: &mut Outlet,
) {
    outlet.answer(receipt.change.response(), &receipt.asker, result);
}

/// Answers a request whose record is not committed.
pub(crate) fn refuse(receipt: &ApiReceipt, error: ApiError, outlet: &mut Outlet) {
    refuse_as(receipt.change.response(), &receipt.asker, error, outlet);
}

/// Answers with an error in the form of this answer.
pub(crate) fn refuse_as(kind: ResponseKind, asker: &Asker, error: ApiError, outlet: &mut Outlet) {
    outlet.answer::<()>(kind, asker, Err(error));
}

/// A consumer as answers about it alone show it.
pub(crate) fn consumer_info(mut info: ConsumerInfo) -> ConsumerInfo {
    info.config = info.config.for_reply();
    info
}

/// The stream as answers about it alone show it.
pub(crate) fn stream_info(replica: &Replica, now: Timestamp) -> StreamInfo {
    let mut info = replica.info(now);
    info.config = info.config.for_reply();
    info
}
