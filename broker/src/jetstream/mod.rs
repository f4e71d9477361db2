//! JetStream on this node: the threads that own the streams, the log they propose to, and their files.
//!
//! | file | noun |
//! |---|---|
//! | `engine` | [`JetStream`]: starts and ends everything here |
//! | `recovery` | what the files say when the node starts: checkpoints, then the log behind them |
//! | `capture` | a stream's subscriptions: what is published there is proposed to its group |
//! | `commits` | what the log commits, on its way to the shards |
//! | `input` | [`ShardQueue`](input::ShardQueue) and what waits in it |
//! | `shard` | the thread that owns the streams of some groups |
//! | `replica` | one stream there: state machine, bodies, answers |
//! | `fetcher` | messages read for their delivery |
//! | `meta_owner` | group 0, on shard 0: which streams there are |
//! | `order` | what it has decided, for the shard of the stream |
//! | `refusals` | publishes nobody waits for, when they are refused |
//! | `relaxation` | whether a stream acknowledges before the log syncs |
//! | `receipt` | who waits for the fate of a record |
//! | `pub_ack`, `outlet` | what is said to clients |
//! | `checkpointer` | the thread that makes checkpoints and releases the log |
//! | `freezing` | moving the older part of an index into tables |
//! | `keeper` | the thread that verifies and rewrites segments, and merges tables |
//! | `quota` | how many bytes the streams hold, against the limits |
//! | `reserve` | room kept back for a full disk |
//! | `state_record`, `stores`, `stream_dirs` | the files of the groups |
//! | `directory` | stream names, for the threads that take messages in |
//! | `damage`, `offline` | [`DamageReport`], and the streams that do not serve because of it |
//! | `unreadable` | the damaged messages of a stream that serves |
//! | `room` | waiting while too much is under way |
//! | `watch` | what is told to those who watch the node |
//!
//! A message goes one way: publisher -> capture -> log -> shard -> replica -> outlet. What clients ask for
//! by request is read in [`crate::services`], which also answers it, on the shard.

mod capture;
mod checkpointer;
mod commits;
mod damage;
mod directory;
mod engine;
mod fetcher;
mod freezing;
mod input;
mod keeper;
mod meta_owner;
mod offline;
mod order;
mod outlet;
mod pub_ack;
mod quota;
mod receipt;
mod recovery;
mod refusals;
mod relaxation;
mod replica;
mod reserve;
mod room;
mod shard;
mod state_record;
mod stores;
mod stream_dirs;
mod unreadable;
mod watch;

pub use damage::{DAMAGE_KEPT_MAX, Damage, DamageReport};
pub(crate) use engine::{JetStream, JetStreamOptions};
pub(crate) use freezing::IndexBudget;
pub(crate) use input::{Input, ShardQueue};
pub use keeper::{
    KEEPER_BYTES_PER_SECOND, KeeperOptions, REWRITE_INTERVAL, SCRUB_DELAY, SCRUB_INTERVAL,
};
pub(crate) use meta_owner::MetaOwner;
pub(crate) use outlet::{DirectOrigin, Outlet};
pub(crate) use receipt::{ApiChange, ApiReceipt, Receipt};
pub(crate) use recovery::{Recovered, RecoveredStream, recover, stream_names};
pub(crate) use replica::{Hands, Replica};
pub use reserve::RESERVE_BYTES;
pub(crate) use shard::ShardParts;
pub(crate) use stores::Stores;
pub(crate) use watch::{Fault, StreamReport};
