//! What we fill openraft's type parameters with. None of it leaves the crate.

use std::fmt;

use bytes::Bytes;
use hitherto_storage::WalPosition;
use openraft::impls::{BoxedErrorSource, InlineBatch};
use openraft::raft::responder::Responder;
use openraft::{EntryPayload, OptionalSend, RaftTypeConfig};

/// The standard leader id: one leader per term, which makes (term, index) name an entry.
type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u128>;
type CommittedLeaderId = <LeaderId as openraft::vote::RaftLeaderId>::Committed;

pub(crate) type Vote = openraft::impls::Vote<LeaderId>;
pub(crate) type LogId = openraft::LogId<CommittedLeaderId>;
pub(crate) type Membership = openraft::Membership<u128, ()>;
pub(crate) type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u128, ()>;
pub(crate) type Payload = EntryPayload<Records, u128, ()>;
pub(crate) type Entry = openraft::Entry<CommittedLeaderId, Payload>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u128, ()>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = Records;
    type R = Applied;
    type NodeId = u128;
    /// How to reach a node is known to the links alone.
    type Node = ();
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = openraft::TokioRuntime;
    type Responder<T>
        = Reply<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

/// The records of one batch, back to back.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Records(pub(crate) Bytes);

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a committed entry was, for the responder that has its receipts.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) body: Bytes,
    pub(crate) position: WalPosition,
}

/// Where the result of a proposal goes. Dropped without a result it drops what it holds, which then tells that
/// the result is unknown.
pub(crate) struct Reply<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Reply<T> {
    pub(crate) fn new(then: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Box::new(then))
    }
}

impl<T: OptionalSend + 'static> Responder<TypeConfig, T> for Reply<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}

pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

/// The term of a log id.
pub(crate) fn term_of(id: &LogId) -> u64 {
    **id.committed_leader_id()
}
