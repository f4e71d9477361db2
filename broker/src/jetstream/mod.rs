//! JetStream on this node: the threads that own the streams, the log they propose to, and their files.
//!
//! | room | what is in it |
//! |---|---|
//! | `files` | the files of the groups |
//! | `telling` | what is said to clients, and who waits for it |
//! | `orders` | what the threads tell each other: plain data, queues and bells |
//! | `taking` | taking messages in, and handing on what the log commits |
//! | `replicas` | one stream on the thread that owns it |
//! | `replication` | the log shared with other nodes, and what is known of them |
//! | `shards` | the threads that own the streams and the list of them |
//! | `keeping` | the threads that make checkpoints, and verify and rewrite segments |
//! | `recovery` | what the files say when the node starts: checkpoints, then the log behind them |
//! | `admission` | admitting nodes to the cluster |
//! | `engine` | [`JetStream`]: starts and ends everything here |
//! | `watch` | what is told to those who watch the node |
//!
//! A room uses those above it in this table and none below, and `keeping` knows nothing of `replicas` and `shards`.
//!
//! A message goes one way: publisher -> capture -> log -> shard -> replica -> outlet. What clients ask for
//! by request is read in [`crate::services`], which also answers it, on the shard.

mod admission;
mod engine;
mod files;
mod keeping;
mod orders;
mod recovery;
mod replicas;
mod replication;
mod shards;
mod taking;
mod telling;
mod watch;

pub(crate) use engine::{JetStream, JetStreamOptions};
pub use files::RESERVE_BYTES;
pub(crate) use files::{IndexBudget, Stores};
pub use keeping::{
    KEEPER_BYTES_PER_SECOND, KeeperOptions, REWRITE_INTERVAL, SCRUB_DELAY, SCRUB_INTERVAL,
};
pub(crate) use orders::{Input, PeerQuestion, StreamReport};
pub(crate) use recovery::{Recovered, RecoveredStream, recover, stream_names};
pub use replicas::{DAMAGE_KEPT_MAX, Damage, DamageReport};
pub(crate) use replicas::{Hands, Replica};
pub(crate) use replication::Seat;
pub(crate) use shards::{MetaOwner, ShardParts};
pub(crate) use taking::StreamEntry;
pub(crate) use telling::{ApiChange, ApiReceipt, DirectOrigin, Outlet, Receipt};
pub(crate) use watch::Fault;
