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
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::Error;
use crate::config::TlsOptions;

pub(crate) use opening::{Opened, open};

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
        let versions: &[_] = if options.only_tls13 {
            &[&TLS13]
        } else {
            &[&TLS13, &TLS12]
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
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
        let chain = certificates(&options.cert_file)
            .map_err(|problem| failed(&options.cert_file, &problem))?;
        let key = PrivateKeyDer::from_pem_file(&options.key_file)
            .map_err(|error| failed(&options.key_file, &error))?;
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| failed(&options.cert_file, &error))?;
        Ok(Self {
            options: options.clone(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}

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
