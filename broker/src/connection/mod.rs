//! One client connection: what it says is read, checked and routed; what it gets is gathered and written.
//!
//! | file | noun |
//! |---|---|
//! | `handshake` | INFO and CONNECT: what each side says about itself |
//! | `reader` | the task of a connection: reads, keeps the peace (PING, back-pressure, closing) |
//! | `session` | what each client operation does |
//! | `subscriptions` | the client's subscriptions by `sid` |
//! | `outbound` | [`Outbound`]: the bytes waiting for the socket; shared with everybody who delivers |
//! | `at_once` | [`AtOnce`](at_once::AtOnce): the socket, for who delivers a little and need not wake the writer |
//! | `writer` | the task that moves them to the socket, many messages per write |
//! | `client`, `clients` | [`Client`], [`Clients`]: what the node knows about connections, those that ended included |
//! | `vitals` | [`Vitals`]: what is measured of a connection, to a client or to another node |
//! | `client_mark` | [`ClientMark`]: a client, as events name it |
//! | `trace` | the protocol in the log, line by line |
//! | `close_reason` | [`CloseReason`] |
//!
//! Where nobody needs credentials a client may leave CONNECT out, as with nats-server; where they are needed,
//! CONNECT must come first and in time. Who a client is `crate::auth` decides.
//!
//! Memory of one connection: a read buffer of at most 64 KiB plus one message, at most `max_pending`
//! bytes outbound, at most `max_subscriptions` subscriptions. Two tasks.

mod at_once;
mod client;
mod client_mark;
mod clients;
mod close_reason;
mod handshake;
mod outbound;
mod reader;
mod session;
mod subscriptions;
mod trace;
mod vitals;
mod writer;

pub(crate) use client::{ClientEvent, ClientReport};
pub(crate) use client_mark::ClientMark;
pub(crate) use clients::{ClientTotals, Clients};
pub(crate) use close_reason::CloseReason;
pub(crate) use outbound::{Outbound, Pushed};
pub(crate) use reader::{Environment, refuse, serve};
pub(crate) use vitals::{Traffic, Vitals};
