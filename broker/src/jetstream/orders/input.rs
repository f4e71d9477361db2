//! What a shard is told.

use std::sync::mpsc::SyncSender;

use hitherto_cluster::{Committed, Leadership, LogError};
use hitherto_jetstream::{GroupId, Node};
use hitherto_storage::Manifest;

use super::checkpoint_order::CheckpointOrder;
use super::keep_order::{KeepOrder, Kept};
use super::peer_question::PeerQuestion;
use super::stream_order::StreamOrder;
use super::watch::Watch;
use crate::jetstream::telling::Receipt;
use crate::services::{Asker, MetaCall, StreamAck, StreamCall, StreamFlow};

/// One thing for a shard to do.
pub(crate) enum Input {
    /// A committed entry of one of its groups. Bounded by what the log lets be under way.
    Committed(Committed<Receipt>),
    /// Records that are not committed, or nobody knows.
    Failed(GroupId, Vec<Receipt>, LogError),
    /// Another node leads one of its groups, or none does, or this one does now. Told behind the entries of the
    /// leaders before.
    Leadership(GroupId, Leadership),
    /// The leader of the meta group asks about a stream that this node leads, for a client.
    Ask(GroupId, Box<(PeerQuestion, Asker)>),
    /// Somebody leads this stream now, which the leader of the meta group waits for; for shard 0.
    LeaderKnown(GroupId),
    /// A node that is to be admitted, or has changed; for shard 0.
    Admit(Box<Node>),
    /// A client's call to a stream.
    Call(GroupId, Box<StreamCall>),
    /// A client's ack.
    Ack(GroupId, StreamAck),
    /// A client's answer to a request of flow control.
    Flow(GroupId, StreamFlow),
    /// Interest in the deliver subject of this consumer has come or gone. One at a time for each.
    Interest(GroupId, String),
    /// A client's call that the meta group decides; for shard 0.
    Meta(Box<MetaCall>),
    /// Another configuration for this stream: refuse what its consumers do not fit into, and hand the
    /// rest to the owner of the meta group.
    Update(GroupId, Box<MetaCall>),
    /// What the meta group has decided about one of its streams.
    Order(Box<StreamOrder>),
    /// The first message of an atomic batch is staged: the shard watches that it does not stay for ever.
    BatchOpened(GroupId),
    /// Somebody watches. Few at a time: whoever asks waits for the answer before asking on.
    Watch(Watch),
    /// Describe your groups for a checkpoint.
    Checkpoint(CheckpointOrder),
    /// The checkpoint of a group is on disk.
    CheckpointSaved(GroupId, Box<Manifest>),
    /// Say what there is to verify or to rewrite.
    Keep(KeepOrder),
    /// What became of the files of a group.
    Kept(GroupId, Box<Kept>),
    /// The node ends in order: let every stream say that nothing it acknowledges is lost, then answer.
    Settle(SyncSender<()>),
    /// Come to an end.
    Stop,
    /// Come to a bad end.
    #[cfg(test)]
    Panic,
}
