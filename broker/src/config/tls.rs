//! How clients and the node agree on TLS.

use std::path::PathBuf;
use std::time::Duration;

/// A TLS handshake may take so long: 2 s, as in nats-server.
pub const TLS_TIMEOUT: Duration = Duration::from_secs(2);

/// With `handshake_first: auto` a client has so long to begin the handshake: 50 ms, as in nats-server
/// (`DEFAULT_TLS_HANDSHAKE_FIRST_FALLBACK_DELAY` in `server/const.go`).
pub const HANDSHAKE_FIRST_WAIT: Duration = Duration::from_millis(50);

/// The certificates of a node and what it asks of clients. Files are in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    pub(crate) cert_file: PathBuf,
    pub(crate) key_file: PathBuf,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) verify: bool,
    pub(crate) required: bool,
    pub(crate) first: HandshakeFirst,
    pub(crate) timeout: Duration,
    pub(crate) only_tls13: bool,
}

/// When the handshake comes: after INFO, as in every NATS server, or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HandshakeFirst {
    /// INFO is sent in the clear; the client begins the handshake then.
    #[default]
    Never,
    /// Nothing is sent in the clear. Clients must know that.
    Always,
    /// A client that begins the handshake within this time gets INFO after it; others before.
    Within(Duration),
}

impl TlsOptions {
    /// Clients must use TLS; they need not show a certificate.
    pub fn new(cert_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            cert_file: cert_file.into(),
            key_file: key_file.into(),
            ca_file: None,
            verify: false,
            required: true,
            first: HandshakeFirst::Never,
            timeout: TLS_TIMEOUT,
            only_tls13: false,
        }
    }

    /// Clients must show a certificate that one in `ca_file` has signed.
    #[must_use]
    pub fn verify(mut self, ca_file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(ca_file.into());
        self.verify = true;
        self
    }

    /// Lets clients do without TLS.
    #[must_use]
    pub fn allow_plain(mut self) -> Self {
        self.required = false;
        self
    }

    /// When the handshake comes; default after INFO.
    #[must_use]
    pub fn handshake_first(mut self, first: HandshakeFirst) -> Self {
        self.first = first;
        self
    }

    /// How long a handshake may take; default [`TLS_TIMEOUT`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}
