//! A broker that speaks the NATS client protocol and the JetStream API, embedded or standalone.

#![forbid(unsafe_code)]

pub mod config;
mod connection;
mod error;
mod id;
mod listener;
mod local;
mod node;
mod pubsub;
mod room;
mod stop;

pub use config::NodeConfig;
pub use error::Error;
pub use local::{LocalClient, LocalMessage, LocalSubscription, SubscriptionEnd};
pub use node::{JETSTREAM_API_LEVEL, NATS_VERSION, Node, NodeStats};

pub use hitherto_protocol::{Headers, HeadersBuilder, Subject, SubjectFilter};
