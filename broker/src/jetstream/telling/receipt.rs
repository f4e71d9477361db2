//! What to do when the fate of a record is known.

use hitherto_cluster::{LogError, Refusal};
use hitherto_jetstream::api::ApiError;
use hitherto_protocol::Subject;
use hitherto_storage::Error;

use super::outlet::Outlet;
use super::pub_ack::PubAckForm;
use crate::pubsub::HeldAnswer;
use crate::services::{Asker, changes};

/// What the proposer of a record wants.
#[derive(Debug)]
pub(crate) enum Receipt {
    /// Nothing: nobody waits.
    None,
    /// A PubAck, or the error in its place.
    PubAck(Subject),
    /// Nothing for itself: it is a copy of a message, whose own answer waits for it.
    Copy(HeldAnswer),
    /// The stream itself wants to know that the log has its record about durability.
    Durability,
    /// An empty message to each when it is committed: double acks.
    Processed(Vec<Subject>),
    /// The answer to a request of the JetStream API.
    Api(Box<ApiReceipt>),
}

/// Who asked for a change through the API, and in which form the answer goes.
#[derive(Debug)]
pub(crate) struct ApiReceipt {
    pub(crate) asker: Asker,
    pub(crate) change: ApiChange,
}

/// The changes the API can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiChange {
    StreamCreate,
    StreamUpdate,
    StreamDelete,
    Purge,
    MessageDelete,
    ConsumerCreate,
    ConsumerDelete,
    ConsumerPause,
    ConsumerReset,
}

impl Receipt {
    pub(crate) fn api(asker: &Asker, change: ApiChange) -> Self {
        Self::Api(Box::new(ApiReceipt {
            asker: asker.clone(),
            change,
        }))
    }

    /// Tells who waits that the record is not committed, or that nobody knows. `form` is of the stream it was for.
    pub(crate) fn refuse(self, form: &PubAckForm, error: &ApiError, outlet: &mut Outlet) {
        match self {
            // A client that waits for a double ack learns by its time-out, as with nats-server.
            Self::None | Self::Durability | Self::Processed(_) => {}
            Self::Copy(held) => outlet.let_go(held),
            Self::PubAck(reply) => {
                outlet.reply_with(&reply, |buf| form.write_error(buf, error));
            }
            Self::Api(receipt) => changes::refuse(&receipt, error.clone(), outlet),
        }
    }
}

/// Tells those who wait for records of a stream that has been deleted since.
pub(crate) fn tell_gone(receipts: Vec<Receipt>, outlet: &mut Outlet) {
    // The stream has no name any more that the answers could tell.
    let (form, error) = (PubAckForm::new(""), ApiError::stream_not_found());
    for receipt in receipts {
        receipt.refuse(&form, &error, outlet);
    }
}

/// What a client is told whose record the log did not take.
pub(crate) fn refusal_error(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Full => ApiError::too_many_requests(),
        Refusal::NoGroup => ApiError::stream_not_found(),
        Refusal::Closed | Refusal::Failed | Refusal::NotLeader { .. } => ApiError::not_available(),
    }
}

/// What a client is told whose record is not committed. One error stands for "unknown": the node is
/// unavailable from then on, and clients find out after its restart, as after a time-out.
pub(crate) fn failure_error(error: &LogError) -> ApiError {
    match error {
        LogError::NotWritten { source } if matches!(**source, Error::NoNextFile { .. }) => {
            ApiError::insufficient_resources()
        }
        LogError::NotWritten { .. } => ApiError::storage_exceeded(),
        LogError::GroupClosed => ApiError::stream_not_found(),
        _ => ApiError::not_available(),
    }
}
