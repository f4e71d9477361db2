//! The changes of the meta state, and their form in the log.
//!
//! One record per command: its length in four bytes, little endian, not counting these; the version
//! in one byte; then MessagePack with field names. Records stand back to back in an entry.
//!
//! Version 1 is what a node on its own writes, and version 2 what names nodes. So a store that was never in
//! a cluster stays readable for builds that know of none.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::Node;
use crate::{NodeId, StreamConfig};

/// A change of the meta state. Configurations are checked ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaCommand {
    /// Creates a stream, or finds it equal.
    CreateStream {
        /// What it shall be.
        config: Box<StreamConfig>,
        /// When it was asked for.
        at: Timestamp,
        /// The nodes that shall keep it, the first of them to lead it; empty on a node on its own.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        peers: Vec<NodeId>,
    },
    /// Gives an existing stream another configuration.
    UpdateStream {
        /// What it shall be.
        config: Box<StreamConfig>,
        /// When it was asked for.
        at: Timestamp,
        /// The nodes that shall keep it from now on; empty leaves it where it is.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        peers: Vec<NodeId>,
    },
    /// Deletes a stream.
    DeleteStream {
        /// Its name.
        name: String,
        /// When it was asked for.
        at: Timestamp,
    },
    /// Has other nodes keep a stream.
    MoveStream {
        /// Its name.
        name: String,
        /// Who shall keep it until then. If these are not the ones the command changes nothing: it was chosen
        /// for another situation.
        was: Vec<NodeId>,
        /// Who shall keep it from now on.
        peers: Vec<NodeId>,
        /// When it was asked for.
        at: Timestamp,
    },
    /// Lets a node take streams. The first one is the node that has stood alone, with what it holds.
    AdmitNode {
        /// What it tells of itself.
        node: Node,
        /// When it was asked for.
        at: Timestamp,
    },
    /// Notes what an admitted node tells of itself.
    UpdateNode {
        /// All of it.
        node: Node,
        /// When it was asked for.
        at: Timestamp,
    },
    /// Says whether a node is being emptied: then it takes no streams, and [`Meta::next_move`] finds others
    /// for those it has.
    ///
    /// [`Meta::next_move`]: super::Meta::next_move
    EvacuateNode {
        /// Which.
        node: NodeId,
        /// It is; `false` takes that back.
        leaving: bool,
        /// When it was asked for.
        at: Timestamp,
    },
    /// Forgets a node; every stream it keeps loses that peer.
    RemoveNode {
        /// Which.
        node: NodeId,
        /// Even if streams live there alone. They stay known, without anybody who keeps them.
        force: bool,
        /// When it was asked for.
        at: Timestamp,
    },
}

/// The last version of a record this build reads, and writes where nodes are named.
const VERSION: u8 = 2;
/// The version of a record that names no node.
const VERSION_ALONE: u8 = 1;
const LENGTH_BYTES: usize = 4;

impl MetaCommand {
    /// Appends one record.
    ///
    /// # Panics
    ///
    /// Panics if the command needs more than 4 GiB; a configuration is bounded far below.
    pub fn encode(&self, buffer: &mut BytesMut) {
        let body = rmp_serde::to_vec_named(self).expect("texts and numbers are always MessagePack");
        let length = u32::try_from(1 + body.len()).expect("a configuration is below 4 GiB");
        buffer.put_u32_le(length);
        buffer.put_u8(self.version());
        buffer.put_slice(&body);
    }

    /// Takes one record off the front.
    ///
    /// # Errors
    ///
    /// Says whether the record is cut short, from a later version, or no command.
    pub fn decode(bytes: &mut Bytes) -> Result<Self, MetaCommandError> {
        if bytes.len() < LENGTH_BYTES {
            return Err(MetaCommandError::CutShort);
        }
        let length = usize::try_from(bytes.get_u32_le()).map_err(|_| MetaCommandError::CutShort)?;
        if length == 0 || bytes.len() < length {
            return Err(MetaCommandError::CutShort);
        }
        let record = bytes.split_to(length);
        match record[0] {
            VERSION_ALONE..=VERSION => {
                rmp_serde::from_slice(&record[1..]).map_err(MetaCommandError::Malformed)
            }
            version => Err(MetaCommandError::Version(version)),
        }
    }

    fn version(&self) -> u8 {
        match self {
            Self::CreateStream { peers, .. } | Self::UpdateStream { peers, .. }
                if peers.is_empty() =>
            {
                VERSION_ALONE
            }
            Self::DeleteStream { .. } => VERSION_ALONE,
            Self::CreateStream { .. }
            | Self::UpdateStream { .. }
            | Self::MoveStream { .. }
            | Self::AdmitNode { .. }
            | Self::UpdateNode { .. }
            | Self::EvacuateNode { .. }
            | Self::RemoveNode { .. } => VERSION,
        }
    }

    /// Reads the records of an entry; ends behind the first error.
    pub fn decode_all(mut body: Bytes) -> impl Iterator<Item = Result<Self, MetaCommandError>> {
        std::iter::from_fn(move || {
            if body.is_empty() {
                return None;
            }
            let decoded = Self::decode(&mut body);
            if decoded.is_err() {
                body.clear();
            }
            Some(decoded)
        })
    }
}

/// Says why bytes are no [`MetaCommand`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetaCommandError {
    /// The record ends before its content.
    #[error("a stored meta command is cut short")]
    CutShort,
    /// The record was written by a later version.
    #[error(
        "a stored meta command has record version {0}; this version reads {VERSION}: upgrade first"
    )]
    Version(u8),
    /// The content is no command.
    #[error("a stored meta command is malformed")]
    Malformed(#[source] rmp_serde::decode::Error),
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
