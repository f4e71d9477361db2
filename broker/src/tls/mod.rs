//! TLS between clients and the node, by rustls.
//!
//! | file | noun |
//! |---|---|
//! | here | [`Tls`]: certificates that were read, ready to use |
//! | `opening` | the first bytes of a connection: INFO and the handshake, in either order |
//! | `stream` | connections that were looked into, or encrypted |

mod opening;
mod stream;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use hitherto_platform::Connection;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::server::TlsStream;

use crate::Error;
use crate::config::TlsOptions;

pub(crate) use opening::{Opened, open};
pub(crate) use stream::Encrypted;

/// What a handshake needs.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) options: TlsOptions,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads the certificates.
    ///
    /// # Errors
    /// [`Error::Tls`] when a file cannot be read or is not what it should be.
    pub(crate) fn load(options: &TlsOptions) -> Result<Self, Error> {
        let failed = |file: &Path, problem: &dyn fmt::Display| Error::Tls {
            file: file.to_owned(),
            problem: problem.to_string(),
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(options.versions())
            .map_err(|error| failed(&options.cert_file, &error))?;
        let builder = match options.ca_file.as_ref().filter(|_| options.verify) {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let roots = roots(file).map_err(|problem| failed(file, &problem))?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = verifier.build().map_err(|error| failed(file, &error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let Identity { chain, key, .. } = Identity::load(options)?;
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| failed(&options.cert_file, &error))?;
        Ok(Self {
            options: options.clone(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// The handshake of a connection that nothing was said on yet.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn accept(
        &self,
        connection: Box<dyn Connection>,
    ) -> io::Result<TlsStream<Box<dyn Connection>>> {
        self.acceptor.accept(connection).await
    }
}

/// What a node proves itself with to another, and whom it trusts.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) roots: RootCertStore,
}

impl Identity {
    /// Reads the files; without a `ca_file` nobody is trusted.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub(crate) fn load(options: &TlsOptions) -> Result<Self, Error> {
        let failed = |file: &Path, problem: &dyn fmt::Display| Error::Tls {
            file: file.to_owned(),
            problem: problem.to_string(),
        };
        let (cert_file, key_file) = (&options.cert_file, &options.key_file);
        Ok(Self {
            chain: certificates(cert_file).map_err(|problem| failed(cert_file, &problem))?,
            key: PrivateKeyDer::from_pem_file(key_file)
                .map_err(|error| failed(key_file, &error))?,
            roots: match &options.ca_file {
                Some(file) => roots(file).map_err(|problem| failed(file, &problem))?,
                None => RootCertStore::empty(),
            },
        })
    }
}

impl TlsOptions {
    /// The versions of TLS that are spoken.
    pub(crate) fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        match self.only_tls13 {
            true => ONLY_TLS13,
            false => BOTH,
        }
    }
}

static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&TLS13];

static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    let all: Result<Vec<_>, _> = read.collect();
    let all = all.map_err(|error| error.to_string())?;
    if all.is_empty() {
        return Err("holds no certificate".into());
    }
    Ok(all)
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
