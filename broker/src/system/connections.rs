//! How many connections an account has: told when one comes or goes, and to whoever asks.

use hitherto_jetstream::TypedEvent;
use serde::Serialize;

use super::envelope::{Marker, ServerMark, happened};
use crate::account::Account;
use crate::monitor::{AccountStat, Monitor};

const CONNECTIONS: &str = "io.nats.server.advisory.v1.account_connections";

/// How many connections an account has.
#[derive(Debug, Serialize)]
pub(super) struct AccountConnections<'a> {
    server: ServerMark,
    #[serde(flatten)]
    stat: AccountStat<'a>,
}

/// How many connections an account has now.
pub(super) fn account_connections<'a>(
    monitor: &'a Monitor,
    marker: &Marker,
    account: Account,
) -> TypedEvent<'static, AccountConnections<'a>> {
    let fields = AccountConnections {
        server: marker.mark(),
        stat: monitor.account_stat(account),
    };
    happened(monitor, CONNECTIONS, fields)
}
