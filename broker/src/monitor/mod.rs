//! What a node tells about itself: the documents behind the monitoring pages and the requests of the
//! system account.
//!
//! | file | document |
//! |---|---|
//! | `varz` | the server: configuration, sums, the process |
//! | `connz` | the client connections, those that ended included |
//! | `subsz` | the subscriptions |
//! | `accountz`, `accstatz` | the accounts |
//! | `jsz` | JetStream: accounts, streams, consumers |
//! | `healthz` | whether it can do its work |
//! | `statsz` | the sums the server also publishes now and then |
//! | `routez` | the links to the other nodes of the cluster |
//! | `linkz` | gateways and leaf nodes: there are none |
//!
//! | file | noun |
//! |---|---|
//! | `view` | [`Monitor`]: what the documents are made from |
//! | `process` | memory and processor time of this process |
//! | `uptime` | how long something has been there, as nats-server writes it |
//!
//! A document is a plain value with the field names and the order of nats-server 2.15
//! (`server/monitor.go`). It is made here, and here only; [`crate::http`] and [`crate::system`] carry it
//! out. Making one never blocks those who move messages.

mod accountz;
mod accstatz;
mod connz;
mod healthz;
mod jsz;
mod linkz;
mod process;
mod routez;
mod statsz;
mod subsz;
mod uptime;
mod varz;
mod view;

pub(crate) use accountz::AccountzOptions;
pub(crate) use accstatz::{AccountStat, AccountStatzOptions, Sum};
pub(crate) use connz::{ConnState, ConnzOptions};
pub(crate) use healthz::HealthzOptions;
pub(crate) use jsz::JszOptions;
pub(crate) use statsz::Statsz;
pub(crate) use subsz::SubszOptions;
pub(crate) use view::{Monitor, MonitorParts};

/// Entries on a page unless the request says otherwise: 1,024, as in nats-server.
pub(crate) const PAGE: usize = 1_024;

/// Why there is no document: the text nats-server gives for the same request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// A page of a list; negative numbers and a limit of 0 mean the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Page {
    offset: usize,
    limit: usize,
}

impl Page {
    fn new(offset: i64, limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or_default();
        Self {
            offset: usize::try_from(offset).unwrap_or_default(),
            limit: if limit == 0 { PAGE } else { limit },
        }
    }

    fn cut<T>(self, list: Vec<T>) -> Vec<T> {
        list.into_iter()
            .skip(self.offset)
            .take(self.limit)
            .collect()
    }
}
