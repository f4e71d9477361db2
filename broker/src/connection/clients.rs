//! The client connections of a node, and those that ended not long ago.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::CloseReason;
use super::client::{Client, ClientReport};
use super::vitals::Traffic;
use crate::account::Account;
use crate::pubsub::SubscriberId;

/// Connections that ended and are still shown: 10,000, as in nats-server. The oldest are forgotten first.
pub(crate) const CLOSED_MAX: usize = 10_000;

/// All connections of a node. Locked when one comes or goes, and while somebody looks.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    live: BTreeMap<SubscriberId, Arc<Client>>,
    /// At most [`CLOSED_MAX`], the newest last.
    closed: VecDeque<ClientReport>,
    /// What the connections that ended add to the sums.
    gone: BTreeMap<Account, ClientTotals>,
}

/// Sums over all connections since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ClientTotals {
    /// Connections there were, those of now included.
    pub(crate) connections: u64,
    pub(crate) received: Traffic,
    pub(crate) sent: Traffic,
    /// Connections that ended because they did not take what they were sent.
    pub(crate) slow_consumers: u64,
    /// Connections that ended because they did not answer PING.
    pub(crate) stale_connections: u64,
    /// How often a publisher waited for a connection.
    pub(crate) stalls: u64,
}

impl Clients {
    /// A connection begins.
    pub(super) fn add(&self, client: &Arc<Client>) {
        self.lock().live.insert(client.id(), Arc::clone(client));
    }

    /// A connection has ended, and nothing is written to it any more.
    pub(super) fn remove(&self, client: &Client) {
        let report = client.end();
        let mut state = self.lock();
        state.live.remove(&client.id());
        let gone = state.gone.entry(report.identity.account).or_default();
        gone.add(&report);
        if state.closed.len() >= CLOSED_MAX {
            state.closed.pop_front();
        }
        state.closed.push_back(report);
    }

    /// The connections of now, in the order they came.
    pub(crate) fn live(&self) -> Vec<Arc<Client>> {
        self.lock().live.values().cloned().collect()
    }

    /// One of the connections of now.
    pub(crate) fn get(&self, id: SubscriberId) -> Option<Arc<Client>> {
        self.lock().live.get(&id).cloned()
    }

    /// The connections that ended not long ago, in the order they ended.
    pub(crate) fn closed(&self) -> Vec<ClientReport> {
        self.lock().closed.iter().cloned().collect()
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().live.len()
    }

    /// Sums over all connections since the start.
    pub(crate) fn totals(&self) -> ClientTotals {
        self.sum(|_| true)
    }

    /// The same for one account.
    pub(crate) fn totals_of(&self, account: Account) -> ClientTotals {
        self.sum(|other| other == account)
    }

    fn sum(&self, is_wanted: impl Fn(Account) -> bool) -> ClientTotals {
        let state = self.lock();
        let mut totals = ClientTotals::default();
        for (account, gone) in &state.gone {
            if is_wanted(*account) {
                totals.add_totals(gone);
            }
        }
        for client in state.live.values() {
            let report = client.report();
            if is_wanted(report.identity.account) {
                totals.add(&report);
            }
        }
        totals
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientTotals {
    fn add(&mut self, report: &ClientReport) {
        self.connections += 1;
        self.received.add(report.received);
        self.sent.add(report.sent);
        self.stalls += report.stalls;
        let is_slow = report.reason.is_some_and(CloseReason::is_slow_consumer);
        self.slow_consumers += u64::from(is_slow);
        let is_stale = report.reason == Some(CloseReason::StaleConnection);
        self.stale_connections += u64::from(is_stale);
    }
    fn add_totals(&mut self, other: &Self) {
        self.connections += other.connections;
        self.received.add(other.received);
        self.sent.add(other.sent);
        self.stalls += other.stalls;
        self.slow_consumers += other.slow_consumers;
        self.stale_connections += other.stale_connections;
    }
}
