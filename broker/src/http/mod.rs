//! Monitoring over HTTP: the documents of [`crate::monitor`] as pages.
//!
//! | file | noun |
//! |---|---|
//! | `server` | accepts connections, at most 64 of them, and ends with the node |
//! | `pages` | which path shows which document |
//! | `query` | the options in a page's address |
//! | `page` | the form of an answer |
//! | `index` | the page at `/`, with links to the others |
//!
//! Paths, options and forms are those of nats-server 2.15 (`server/monitor.go`), so that its exporters
//! and dashboards work unchanged. Like it, the pages ask nobody who they are: they belong on an address only
//! those who may see them can reach. Nothing can be changed here.

mod index;
mod page;
mod pages;
mod query;
mod server;

pub(crate) use server::run;
