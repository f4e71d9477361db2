//! What the threads tell each other: plain data, and the queues and bells it goes through. Who is told carries it
//! out; nothing here knows how.
//!
//! | file | noun |
//! |---|---|
//! | `input` | [`Input`]: one thing for a shard to do |
//! | `queue`, `queues` | [`ShardQueue`]: where it waits; [`ShardQueues`]: which shard a group belongs to |
//! | `stream_order` | [`StreamOrder`]: what the meta group has decided about a stream |
//! | `peer_question` | [`PeerQuestion`]: what the leader of the meta group asks that of a stream |
//! | `checkpoint_order` | [`CheckpointOrder`]: what the checkpointer asks, and the groups [`Described`] |
//! | `keep_order` | [`KeepOrder`]: what the keeper asks, the [`KeepWork`], and what became of it |
//! | `watch` | [`Watch`]: what those ask who watch the node |
//! | `activity` | [`Activity`]: what has happened since the last checkpoint; wakes the checkpointer |
//! | `keeper_bell` | [`KeeperBell`]: wakes the keeper |

mod activity;
mod checkpoint_order;
mod input;
mod keep_order;
mod keeper_bell;
mod peer_question;
mod queue;
mod queues;
mod stream_order;
mod watch;

pub(super) use activity::{Activity, HASTE_DELAY};
pub(super) use checkpoint_order::{CheckpointOrder, Described, GroupCheckpoint};
pub(crate) use input::Input;
pub(super) use keep_order::{KeepOrder, KeepWork, Kept};
pub(super) use keeper_bell::KeeperBell;
pub(crate) use peer_question::PeerQuestion;
pub(crate) use queue::ShardQueue;
pub(super) use queues::ShardQueues;
pub(super) use stream_order::{Opening, Question, StreamOrder};
pub(crate) use watch::StreamReport;
pub(super) use watch::Watch;
