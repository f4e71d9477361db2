//! Encrypted links: each side shows a certificate, and verifies the other's.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use hitherto_platform::Connection;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::Error;
use crate::config::TlsOptions;
use crate::tls::{Encrypted, Identity, Tls};

/// What a handshake needs on either side.
#[derive(Clone)]
pub(super) struct LinkTls {
    accepts: Tls,
    connector: TlsConnector,
}

impl LinkTls {
    /// Reads the certificates.
    ///
    /// # Errors
    /// [`Error::Tls`] when a file cannot be read or is not what it should be.
    pub(super) fn load(options: &TlsOptions) -> Result<Self, Error> {
        let mut options = options.clone();
        // As nats-server: a node that cannot prove what it is gets no link.
        options.verify = true;
        let identity = Identity::load(&options)?;
        let failed = |problem: &dyn fmt::Display| Error::Tls {
            file: options.cert_file.clone(),
            problem: problem.to_string(),
        };
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(options.versions())
            .map_err(|error| failed(&error))?
            .with_root_certificates(identity.roots)
            .with_client_auth_cert(identity.chain, identity.key)
            .map_err(|error| failed(&error))?;
        Ok(Self {
            accepts: Tls::load(&options)?,
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    /// The handshake of the side that was connected to.
    pub(super) async fn accept(
        &self,
        connection: Box<dyn Connection>,
    ) -> io::Result<Box<dyn Connection>> {
        let stream = self.accepts.accept(connection).await?;
        Ok(Box::new(Encrypted(stream)))
    }

    /// The handshake of the side that connects to `host`, a name or an address.
    pub(super) async fn connect(
        &self,
        connection: Box<dyn Connection>,
        host: &str,
    ) -> io::Result<Box<dyn Connection>> {
        let name = match host.parse::<IpAddr>() {
            Ok(ip) => ServerName::from(ip),
            Err(_) => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        let stream = self.connector.connect(name, connection).await?;
        Ok(Box::new(Encrypted(stream)))
    }
}

impl fmt::Debug for LinkTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkTls")
            .field("options", &self.accepts.options)
            .finish_non_exhaustive()
    }
}
