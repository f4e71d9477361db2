//! What the system account can ask of a node, and what the node tells it unasked.
//!
//! | file | noun |
//! |---|---|
//! | `subjects` | [`Question`](subjects::Question): what is asked, by its subject |
//! | `desk` | takes requests in; runs on the threads of those who ask |
//! | `answers` | answers them, with the documents of [`crate::monitor`] |
//! | `connections` | how many connections an account has |
//! | `events` | connections that come and go, the sums now and then, the end of the server |
//! | `reload` | [`ReloadRequests`]: for whoever has read the configuration |
//! | `envelope` | the form of both: which server says it |
//! | `service` | the task that does all of it |
//!
//! The requests are those of nats-server 2.15 (`server/events.go`), as far as a node on its own can answer
//! them. They are served in the system account's own space of subjects, so that nobody else reaches them;
//! in the ordinary account a client may ask who it is, and about its own account.

mod answers;
mod connections;
mod desk;
mod envelope;
mod events;
mod reload;
mod service;
mod subjects;

pub use reload::{ReloadRequest, ReloadRequests};
pub(crate) use service::{EVENTS_MAX, ServerEvent, System};
