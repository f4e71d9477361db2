//! What the leader of the meta group asks the leader of a stream, in place of the client that waits.

use hitherto_jetstream::{GroupId, StreamConfig};
use hitherto_protocol::Subject;
use serde::{Deserialize, Serialize};

/// The subjects of these questions.
const SUBJECT_PREFIX: &str = "$JS.PEER.STREAM.";

/// A question about a stream; whoever leads the stream answers the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeerQuestion {
    /// The client has created it.
    Created,
    /// The client wants to create it, and it is there.
    Found,
    /// The client has given it this configuration, which the stream will have once its own log says so.
    Configured(Box<StreamConfig>),
}

impl PeerQuestion {
    /// Where the leader of a stream listens for them.
    pub(crate) fn subject(group: GroupId) -> Subject {
        Subject::new(format!("{SUBJECT_PREFIX}{group}")).expect("a prefix and a number")
    }
}
