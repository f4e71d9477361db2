//! Accounts: separate spaces of subjects on one node.
//!
//! There are two of them. Everything clients do happens in the ordinary account, `$G` unless the
//! configuration names another; the system account, `$SYS`, is for those who watch and steer the server.
//! A subscription in one sees nothing of the other. Several ordinary accounts, with exports and imports
//! between them, do not exist yet.

use std::sync::Arc;

use hitherto_protocol::link::SpaceId;

use crate::pubsub::{Router, SubscriberId};

/// Name of the ordinary account by default, as in nats-server.
pub const ORDINARY_ACCOUNT: &str = "$G";

/// Name of the system account by default, as in nats-server.
pub const SYSTEM_ACCOUNT: &str = "$SYS";

/// One of the two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) enum Account {
    /// Where applications, streams and in-process clients are.
    #[default]
    Ordinary,
    /// Where the server tells about itself.
    System,
}

impl Account {
    /// Both of them.
    pub(crate) const ALL: [Self; 2] = [Self::Ordinary, Self::System];

    /// Its place in what the nodes of a cluster say to each other.
    pub(crate) fn space(self) -> SpaceId {
        SpaceId(match self {
            Self::Ordinary => 0,
            Self::System => 1,
        })
    }

    /// The account at such a place.
    pub(crate) fn at(space: SpaceId) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|account| account.space() == space)
    }
}

/// The accounts of a node.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    ordinary: AccountSpace,
    system: AccountSpace,
}

/// What an account consists of.
#[derive(Debug, Clone)]
pub(crate) struct AccountSpace {
    /// The name INFO and the monitoring pages tell.
    pub(crate) name: String,
    /// Its subscriptions.
    pub(crate) router: Arc<Router>,
}

impl Accounts {
    /// The accounts over their routers, with their names.
    pub(crate) fn new(ordinary: AccountSpace, system: AccountSpace) -> Self {
        Self { ordinary, system }
    }

    /// One of them.
    pub(crate) fn get(&self, account: Account) -> &AccountSpace {
        match account {
            Account::Ordinary => &self.ordinary,
            Account::System => &self.system,
        }
    }

    /// The router of one of them.
    pub(crate) fn router(&self, account: Account) -> &Arc<Router> {
        &self.get(account).router
    }

    /// Gives out the next subscriber id of the node: ids are unique over all accounts.
    pub(crate) fn next_subscriber_id(&self) -> SubscriberId {
        self.ordinary.router.next_subscriber_id()
    }

    /// How many subscriptions there are in all accounts.
    pub(crate) fn subscriptions(&self) -> usize {
        self.ordinary.router.subscriptions() + self.system.router.subscriptions()
    }

    /// Ends every subscription of every account.
    pub(crate) fn clear(&self) {
        self.ordinary.router.clear();
        self.system.router.clear();
    }
}
