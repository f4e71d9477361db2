//! The broker an application runs on: in this process, or over the network.
//!
//! All kinds sit behind one small trait, `Transport`: publish, request and subscribe of NATS
//! messages. Everything JetStream is written once on top of it (`jetstream`), so that the same
//! code runs against every broker.

#[cfg(feature = "embedded")]
mod embedded;
#[cfg(feature = "remote")]
mod remote;
pub(crate) mod transport;

use std::fmt::{self, Debug};
use std::sync::Arc;

use self::transport::Transport;

/// A connection to a broker. Cloning is cheap and shares it.
///
/// | made with | events live | survives the process |
/// |---|---|---|
/// | `embedded(dir)` | in one folder, owned by this process | yes |
/// | `in_memory()` | in memory | no |
/// | `connect(url)` | on Hitherto or a NATS server 2.12 or later with JetStream | yes |
#[derive(Clone)]
pub struct Broker {
    pub(crate) transport: Arc<dyn Transport>,
}

impl Broker {
    /// Starts the broker inside this process, with its store in `dir` (made if it is missing).
    ///
    /// # Errors
    /// [`BrokerError`] when the store cannot be opened, for example because another process has it.
    #[cfg(feature = "embedded")]
    pub async fn embedded(dir: impl AsRef<std::path::Path>) -> Result<Self, BrokerError> {
        let config = hitherto_broker::NodeConfig::new(dir.as_ref());
        Ok(Self {
            transport: Arc::new(embedded::Embedded::start(config).await?),
        })
    }

    /// Starts a broker inside this process that keeps everything in memory.
    ///
    /// # Errors
    /// [`BrokerError`] when it does not start.
    #[cfg(feature = "embedded")]
    pub async fn in_memory() -> Result<Self, BrokerError> {
        let config = hitherto_broker::NodeConfig::in_memory();
        Ok(Self {
            transport: Arc::new(embedded::Embedded::start(config).await?),
        })
    }

    /// Connects to a broker, for example `nats://127.0.0.1:4222`.
    ///
    /// # Errors
    /// [`BrokerError`] when nobody answers or the address is not one.
    #[cfg(feature = "remote")]
    pub async fn connect(url: &str) -> Result<Self, BrokerError> {
        Ok(Self {
            transport: Arc::new(remote::Remote::connect(url).await?),
        })
    }

    /// Closes the connection; an embedded broker writes its last checkpoint and stops. Shut
    /// applications down first: what they do afterwards fails with "closed".
    ///
    /// # Errors
    /// [`BrokerError`] when an embedded broker could not stop in order. Nothing acknowledged is
    /// lost even then.
    pub async fn shutdown(&self) -> Result<(), BrokerError> {
        self.transport.shutdown().await
    }
}

impl Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Broker").field(&self.transport).finish()
    }
}

/// The broker did not start, connect or stop.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct BrokerError {
    action: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl BrokerError {
    #[cfg(any(feature = "embedded", feature = "remote"))]
    pub(crate) fn new(
        action: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            action: action.into(),
            source: source.into(),
        }
    }
}
