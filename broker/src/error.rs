//! What can go wrong when a node starts, and what its in-process client can meet.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hitherto_protocol::Subject;

use crate::config::ConfigFileError;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A request found nobody who listens on its subject.
    #[error("no responders on {subject:?}: nobody subscribes to it and no stream captures it")]
    NoResponders {
        /// The request's subject.
        subject: Subject,
    },
    /// No answer came in time. Whether the request was acted on is unknown.
    #[error("no answer on {subject:?} within {after:?}; whether it was acted on is unknown")]
    Timeout {
        /// The request's subject.
        subject: Subject,
        /// How long it waited.
        after: Duration,
    },
    /// A message is larger than the node takes.
    #[error("message on {subject:?} has {bytes} bytes, more than max_payload {max}")]
    PayloadTooLarge {
        /// Its subject.
        subject: Subject,
        /// Headers and payload.
        bytes: usize,
        /// `max_payload`.
        max: usize,
    },
    /// Too many requests of one client wait for answers.
    #[error("{max} requests of this client wait for answers already; wait for some of them first")]
    TooManyRequests {
        /// The maximum.
        max: usize,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
    /// The address for clients cannot be listened on.
    #[error("cannot listen for clients on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A host to listen on has no address.
    #[error("host {host:?} has no address")]
    Host {
        /// The host.
        host: String,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The store cannot be opened, or not be left in order.
    #[error("cannot use the store")]
    Store(
        /// What the store says, with the file it is about.
        #[from]
        hitherto_storage::Error,
    ),
    /// A configuration file cannot be used.
    #[error("{0}")]
    ConfigFile(
        /// What is wrong with it, and where.
        ConfigFileError,
    ),
    /// A certificate or a key cannot be used.
    #[error("TLS: {}: {problem}", file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The configuration contradicts itself.
    #[error("{setting}: {problem}")]
    Config {
        /// The setting that is wrong.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl From<ConfigFileError> for Error {
    fn from(error: ConfigFileError) -> Self {
        Self::ConfigFile(error)
    }
}
