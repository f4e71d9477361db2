//! `/accstatz`: the sums of each account.

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::Monitor;
use crate::account::Account;
use crate::connection::{ClientTotals, Traffic};

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AccountStatzOptions {
    /// Only these; empty for all.
    pub(crate) accounts: Vec<String>,
    /// Also those without connections.
    #[serde(rename = "include_unused")]
    pub(crate) unused: bool,
}

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct AccountStatz<'a> {
    server_id: &'a str,
    now: Timestamp,
    account_statz: Vec<AccountStat<'a>>,
}

/// The sums of an account's connections; those that ended count as well.
#[derive(Debug, Serialize)]
pub(crate) struct AccountStat<'a> {
    acc: &'a str,
    name: &'a str,
    conns: usize,
    leafnodes: usize,
    total_conns: usize,
    num_subscriptions: usize,
    sent: TrafficByKind,
    received: TrafficByKind,
    slow_consumers: u64,
}

/// Messages of clients, and those of links to other servers, of which there are none.
#[derive(Debug, Serialize)]
struct TrafficByKind {
    msgs: u64,
    bytes: u64,
    gateways: Sum,
    routes: Sum,
    leafs: Sum,
}

/// Messages and their bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Sum {
    msgs: u64,
    bytes: u64,
}

impl From<Traffic> for Sum {
    fn from(traffic: Traffic) -> Self {
        Self {
            msgs: traffic.messages,
            bytes: traffic.bytes,
        }
    }
}

impl TrafficByKind {
    fn clients(traffic: Traffic) -> Self {
        Self {
            msgs: traffic.messages,
            bytes: traffic.bytes,
            gateways: Sum::default(),
            routes: Sum::default(),
            leafs: Sum::default(),
        }
    }
}

impl Monitor {
    /// Makes the document.
    pub(crate) fn accstatz(&self, options: &AccountStatzOptions) -> AccountStatz<'_> {
        let asked = |stat: &AccountStat<'_>| {
            options.accounts.is_empty() || options.accounts.iter().any(|name| name == stat.acc)
        };
        let used = |stat: &AccountStat<'_>| options.unused || stat.conns > 0;
        let all = Account::ALL
            .into_iter()
            .map(|account| self.account_stat(account));
        AccountStatz {
            server_id: &self.info().server_id,
            now: self.now(),
            account_statz: all.filter(asked).filter(used).collect(),
        }
    }

    /// The sums of one account.
    pub(crate) fn account_stat(&self, account: Account) -> AccountStat<'_> {
        let space = self.accounts().get(account);
        let conns = self.client_count(account);
        let ClientTotals {
            received,
            sent,
            slow_consumers,
            ..
        } = self.clients().totals_of(account);
        AccountStat {
            acc: &space.name,
            name: &space.name,
            conns,
            leafnodes: 0,
            total_conns: conns,
            num_subscriptions: space.router.subscriptions(),
            sent: TrafficByKind::clients(sent),
            received: TrafficByKind::clients(received),
            slow_consumers,
        }
    }
}
