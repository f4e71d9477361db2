//! `/accountz`: the accounts.

use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::subsz::SublistFigures;
use super::{Monitor, Refused};
use crate::account::Account;

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AccountzOptions {
    /// Describe this account; empty for the list of all.
    pub(crate) account: String,
}

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct Accountz<'a> {
    server_id: &'a str,
    now: Timestamp,
    system_account: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_detail: Option<AccountDetail<'a>>,
}

/// One account. There are no imports, exports or mappings yet.
#[derive(Debug, Serialize)]
pub(crate) struct AccountDetail<'a> {
    account_name: &'a str,
    update_time: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_system: bool,
    expired: bool,
    complete: bool,
    jetstream_enabled: bool,
    leafnode_connections: usize,
    client_connections: usize,
    subscriptions: usize,
    name_tag: &'a str,
    sublist_stats: SublistFigures,
}

impl Monitor {
    /// Makes the document.
    ///
    /// # Errors
    /// When there is no such account.
    pub(crate) fn accountz(&self, options: &AccountzOptions) -> Result<Accountz<'_>, Refused> {
        let name = |account| self.accounts().get(account).name.as_str();
        let mut document = Accountz {
            server_id: &self.info().server_id,
            now: self.now(),
            system_account: name(Account::System),
            accounts: Vec::new(),
            account_detail: None,
        };
        if options.account.is_empty() {
            document.accounts = Account::ALL.into_iter().map(name).collect();
        } else {
            document.account_detail = Some(self.account_detail(&options.account)?);
        }
        Ok(document)
    }

    /// Describes one account.
    ///
    /// # Errors
    /// When there is none of this name.
    pub(crate) fn account_detail(&self, name: &str) -> Result<AccountDetail<'_>, Refused> {
        let account = self.account(name);
        let account = account.ok_or_else(|| Refused(format!("Account {name} does not exist")))?;
        let space = self.accounts().get(account);
        Ok(AccountDetail {
            account_name: &space.name,
            update_time: self.started,
            is_system: account == Account::System,
            expired: false,
            complete: true,
            jetstream_enabled: account == Account::Ordinary && self.has_jetstream(),
            leafnode_connections: 0,
            client_connections: self.client_count(account),
            subscriptions: space.router.subscriptions(),
            name_tag: &space.name,
            sublist_stats: SublistFigures::of(space.router.figures()),
        })
    }

    pub(super) fn client_count(&self, account: Account) -> usize {
        let live = self.clients().live();
        let in_account = live.iter().filter(|client| client.account() == account);
        in_account.count()
    }
}
