//! A broker that speaks the NATS client protocol and the JetStream API, embedded or standalone.
//!
//! [`Node`] is a running broker; [`NodeConfig`] says how it runs; [`LocalClient`] talks to it from inside
//! the process; every NATS client talks to it over TCP. The binary `hitherto` is a [`Node`] with a command
//! line.
//!
//! ```
//! use std::time::Duration;
//!
//! use hitherto_broker::{Node, NodeConfig, Subject, SubjectFilter};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::start(NodeConfig::in_memory()).await?;
//! let client = node.client();
//! let mut greetings = client.subscribe(SubjectFilter::new("greet.*")?, None)?;
//! client.publish(Subject::new("greet.world")?, None, None, "hello".into()).await?;
//! let message = greetings.next().await.expect("the node runs");
//! assert_eq!(message.payload, "hello");
//! node.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//!
//! | module | what it does |
//! |---|---|
//! | `account` | the two spaces of subjects: the ordinary account and the system account |
//! | `auth` | who may connect, and what they may do |
//! | `config` | [`NodeConfig`] and the default of every limit |
//! | `node` | the composition root: starts, owns and stops all of the below |
//! | `listener` | accepts connections and owns their tasks |
//! | `connection` | one client: handshake, reader, session, outbound buffer, writer |
//! | `pubsub` | router, publishers, queue groups; knows no sockets and no streams |
//! | `local` | [`LocalClient`] |
//! | `route` | links to the other nodes of a cluster |
//! | `tls` | certificates, and the first bytes of a connection |
//! | `room` | back-pressure: publishers wait while the log has no room |
//! | `jetstream` | the streams: their owner threads, the log, the stores |
//! | `services` | the JetStream API on its subjects |
//! | `monitor` | what a node tells about itself |
//! | `http` | the same as pages |
//! | [`examine`] | a store at rest: checks and inspections |
//! | `system` | the same by requests in the system account, and its events |
//!
//! Wiring and IO only: rules of streams and consumers are in `hitherto-jetstream`, files in
//! `hitherto-storage`. This crate must not know `hitherto` (the framework).
//!
//! # Bounds
//!
//! | what | bound | beyond it |
//! |---|---|---|
//! | connections | [`MAX_CONNECTIONS`](config::MAX_CONNECTIONS) | `-ERR`, closed |
//! | subscriptions of one connection | [`MAX_SUBSCRIPTIONS`](config::MAX_SUBSCRIPTIONS) | `-ERR`, stays open |
//! | one message | [`MAX_PAYLOAD`](config::MAX_PAYLOAD) | `-ERR`, closed |
//! | one protocol line | [`MAX_CONTROL_LINE`](config::MAX_CONTROL_LINE) | `-ERR`, closed |
//! | bytes read ahead per connection | 64 KiB and one message | the socket waits |
//! | bytes waiting for one connection | [`MAX_PENDING`](config::MAX_PENDING) | slow consumer: closed, counted |
//! | ended connections that are still shown | 10,000 | the oldest are forgotten |
//! | connections to the monitoring pages | 64, idle for 60 s at most | more wait |
//! | requests to the system services waiting | 1,024 | not answered |
//! | events about connections waiting | 4,096 | left out |
//! | other nodes of a cluster | 64 | refused |
//! | bytes of core messages waiting for another node | [`MAX_PENDING`](config::MAX_PENDING) | the link ends, and begins anew |
//! | subjects another node wants | 4,000,000 | the link ends |
//! | bytes waiting for one local subscription | [`MAX_PENDING`](config::MAX_PENDING) | ended, the reader is told |
//! | requests of one local client in flight | 65,536 | [`Error::TooManyRequests`] |
//! | matches remembered per publisher | 256 subjects of at most 64 matches | looked up again |
//! | memory of the streams' indexes | [`MAX_INDEX_BYTES`](config::MAX_INDEX_BYTES) | publishes refused, error 10023 |
//! | publishes into streams waiting for the log | see `jetstream` | publishers wait, nothing is dropped |
//!
//! Tasks: two per connection and one that accepts, the same for links to other nodes, on the caller's tokio runtime. Threads of its own: only
//! those of JetStream. Files: one socket per connection, the listening socket, and the store's.
//!
//! # Not there yet
//!
//! Nkeys and JWT, several ordinary accounts, replicated streams, and WebSocket. INFO offers none of them.
//! Deliberate differences in small things are marked `Differs from nats-server:` where they are made.

#![forbid(unsafe_code)]

mod account;
pub mod auth;
pub mod config;
mod connection;
mod error;
pub mod examine;
mod http;
mod id;
mod jetstream;
mod listener;
mod local;
mod monitor;
mod node;
mod pubsub;
mod room;
mod route;
mod services;
mod settings;
mod stop;
mod system;
mod tls;

pub use account::{ORDINARY_ACCOUNT, SYSTEM_ACCOUNT};
pub use config::NodeConfig;
pub use error::Error;
pub use jetstream::{DAMAGE_KEPT_MAX, Damage, DamageReport};
pub use local::{LocalClient, LocalMessage, LocalSubscription, SubscriptionEnd};
pub use node::{JETSTREAM_API_LEVEL, NATS_VERSION, Node, NodeStats};
pub use system::{ReloadRequest, ReloadRequests};

pub use hitherto_protocol::{Headers, HeadersBuilder, Subject, SubjectFilter};
