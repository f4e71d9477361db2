//! What another node has told of the subscriptions of its clients: subscriptions of this node's routers,
//! whose receiver is that node.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;
use hitherto_protocol::SubjectFilter;
use hitherto_protocol::link::Interest;

use super::RemoteNode;
use super::outbound::LinkOutbound;
use crate::account::{Account, Accounts};
use crate::pubsub::{SubscriptionKey, Target};

/// A node may want so many different things: 4,000,000. With more its link ends.
const INTEREST_MAX: usize = 4_000_000;

/// Interest of one node over one link. Dropping it ends all of it.
pub(super) struct RemoteInterest {
    accounts: Accounts,
    nodes: [Arc<RemoteNode>; Account::ALL.len()],
    /// At most [`INTEREST_MAX`].
    keys: HashMap<Key, SubscriptionKey>,
}

type Key = (Account, ByteString, Option<ByteString>);

/// Why something that was told cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// There is no such account.
    UnknownSpace,
    /// It is too much.
    TooMuch,
}

impl RemoteInterest {
    pub(super) fn new(accounts: Accounts, outbound: &Arc<LinkOutbound>) -> Self {
        let node =
            |account: Account| Arc::new(RemoteNode::new(account.space(), Arc::clone(outbound)));
        Self {
            accounts,
            nodes: Account::ALL.map(node),
            keys: HashMap::new(),
        }
    }

    /// The node has said that something changed.
    ///
    /// # Errors
    /// When it cannot be kept; the link must end.
    pub(super) fn handle(&mut self, told: &Interest) -> Result<(), Rejected> {
        let account = Account::at(told.space).ok_or(Rejected::UnknownSpace)?;
        let router = self.accounts.router(account);
        // Copies: the parts belong to the read buffer.
        let copy = |text: &str| ByteString::from(text);
        let filter = copy(told.filter.as_str());
        let queue = told.queue.as_deref().map(copy);
        let key = (account, filter, queue);
        if told.members == 0 {
            if let Some(gone) = self.keys.remove(&key) {
                router.unsubscribe(&gone);
            }
            return Ok(());
        }
        if let Some(known) = self.keys.get(&key) {
            known.set_members(told.members);
            return Ok(());
        }
        if self.keys.len() >= INTEREST_MAX {
            return Err(Rejected::TooMuch);
        }
        let filter = SubjectFilter::new(key.1.clone());
        let filter = filter.expect("the text of a filter is a filter");
        let node = Arc::clone(&self.nodes[usize::from(told.space.0)]);
        let target = Target::Node(node);
        let subscription = router.subscribe_for(filter, key.2.clone(), target, told.members);
        self.keys.insert(key, subscription);
        Ok(())
    }

    /// How much there is.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl Drop for RemoteInterest {
    fn drop(&mut self) {
        // In any order: ending one has no effect on another.
        let accounts = &self.accounts;
        self.keys
            .drain()
            .for_each(|((account, ..), key)| accounts.router(account).unsubscribe(&key));
    }
}

impl fmt::Debug for RemoteInterest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteInterest")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}
