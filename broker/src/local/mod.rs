//! The in-process client: publish, subscribe and request without a socket.
//!
//! | file | noun |
//! |---|---|
//! | `client` | [`LocalClient`] |
//! | `subscription` | [`LocalSubscription`], the reading end of a queue of messages |
//! | `queue` | [`LocalQueue`]: the messages waiting in it, bounded by bytes |
//! | `reply_mux` | the answers to requests: one subscription for all of them |
//! | `message` | [`LocalMessage`] |

mod client;
mod message;
mod queue;
mod reply_mux;
mod subscription;

pub use client::LocalClient;
pub use message::LocalMessage;
pub use subscription::{LocalSubscription, SubscriptionEnd};

pub(crate) use client::LocalClientParts;
pub(crate) use queue::LocalQueue;
