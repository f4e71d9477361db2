//! TLS: after INFO or before it, required or not, with and without certificates of clients.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use hitherto_broker::config::{HandshakeFirst, TlsOptions};
use hitherto_broker::{Node, NodeConfig};
use support::certificates::Certificates;
use support::node_with;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

fn certificates() -> Certificates {
    Certificates::of("localhost")
}

impl Certificates {
    /// What a client needs, with or without a certificate of its own.
    fn connector(&self, with_certificate: bool) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let read = |name: &str| CertificateDer::from_pem_file(self.path(name)).unwrap();
        roots.add(read("ca.pem")).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = if with_certificate {
            let key = PrivateKeyDer::from_pem_file(self.path("key.pem")).unwrap();
            builder
                .with_client_auth_cert(vec![read("cert.pem")], key)
                .unwrap()
        } else {
            builder.with_no_client_auth()
        };
        TlsConnector::from(Arc::new(config))
    }
}

async fn node_for(tls: TlsOptions) -> Node {
    node_with(NodeConfig::in_memory().tls(tls)).await
}

async fn socket(node: &Node) -> TcpStream {
    TcpStream::connect(node.listen_addr().unwrap())
        .await
        .unwrap()
}

async fn handshake(
    connector: TlsConnector,
    socket: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    connector
        .connect(ServerName::try_from("localhost").unwrap(), socket)
        .await
}

/// Everything up to the end of a line.
async fn line(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

/// CONNECT and PING are answered with PONG.
async fn assert_served(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    stream
        .write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")
        .await
        .unwrap();
    stream.flush().await.unwrap();
    assert_eq!(line(stream).await, "PONG\r\n");
}

#[tokio::test]
async fn the_handshake_follows_info() {
    let certificates = certificates();
    let node = node_for(certificates.options()).await;
    let mut socket = socket(&node).await;
    let info = line(&mut socket).await;
    assert!(info.contains("\"tls_required\":true"), "{info}");
    let mut stream = handshake(certificates.connector(false), socket)
        .await
        .unwrap();
    assert_served(&mut stream).await;
    // A large message passes both ways.
    let payload = "x".repeat(300_000);
    let publish = format!("SUB a 1\r\nPUB a {}\r\n{payload}\r\n", payload.len());
    stream.write_all(publish.as_bytes()).await.unwrap();
    assert_eq!(line(&mut stream).await, "MSG a 1 300000\r\n");
    assert_eq!(line(&mut stream).await.len(), payload.len() + 2);
}

#[tokio::test]
async fn who_speaks_in_the_clear_is_closed_where_tls_is_required() {
    let certificates = certificates();
    let node = node_for(certificates.options()).await;
    let mut socket = socket(&node).await;
    line(&mut socket).await;
    socket.write_all(b"CONNECT {}\r\nPING\r\n").await.unwrap();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.ok();
    assert!(!rest.windows(4).any(|window| window == b"PONG"), "{rest:?}");
    while node.stats().connections > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn where_tls_is_offered_both_ways_work() {
    let certificates = certificates();
    let node = node_for(certificates.options().allow_plain()).await;
    let mut plain = socket(&node).await;
    let info = line(&mut plain).await;
    assert!(
        info.contains("\"tls_available\":true") && !info.contains("tls_required"),
        "{info}"
    );
    assert_served(&mut plain).await;
    let mut encrypted = socket(&node).await;
    line(&mut encrypted).await;
    let mut stream = handshake(certificates.connector(false), encrypted)
        .await
        .unwrap();
    assert_served(&mut stream).await;
}

#[tokio::test]
async fn the_handshake_may_come_before_info() {
    let certificates = certificates();
    let options = certificates
        .options()
        .handshake_first(HandshakeFirst::Always);
    let node = node_for(options).await;
    let mut stream = handshake(certificates.connector(false), socket(&node).await)
        .await
        .unwrap();
    assert!(line(&mut stream).await.starts_with("INFO {"));
    assert_served(&mut stream).await;
}

#[tokio::test]
async fn a_client_that_waits_for_info_gets_it_after_a_while() {
    let certificates = certificates();
    let within = HandshakeFirst::Within(Duration::from_millis(300));
    let node = node_for(certificates.options().handshake_first(within)).await;
    let mut early = handshake(certificates.connector(false), socket(&node).await)
        .await
        .unwrap();
    assert!(line(&mut early).await.starts_with("INFO {"));
    let mut late = socket(&node).await;
    assert!(line(&mut late).await.starts_with("INFO {"));
    let mut late = handshake(certificates.connector(false), late)
        .await
        .unwrap();
    assert_served(&mut late).await;
}

#[tokio::test]
async fn a_client_without_certificate_is_refused_where_one_is_asked_for() {
    let certificates = certificates();
    let node = node_for(certificates.options().verify(certificates.path("ca.pem"))).await;
    let mut known = socket(&node).await;
    assert!(line(&mut known).await.contains("\"tls_verify\":true"));
    let mut known = handshake(certificates.connector(true), known)
        .await
        .unwrap();
    assert_served(&mut known).await;

    let mut unknown = socket(&node).await;
    line(&mut unknown).await;
    // With TLS 1.3 the client hears of it when it reads.
    if let Ok(mut stream) = handshake(certificates.connector(false), unknown).await {
        stream.write_all(b"CONNECT {}\r\nPING\r\n").await.ok();
        let mut rest = Vec::new();
        assert!(stream.read_to_end(&mut rest).await.is_err(), "{rest:?}");
    }
}

#[tokio::test]
async fn files_that_are_no_certificates_are_named() {
    let certificates = certificates();
    let missing = TlsOptions::new(certificates.path("none.pem"), certificates.path("key.pem"));
    let swapped = TlsOptions::new(certificates.path("key.pem"), certificates.path("key.pem"));
    for (tls, file) in [(missing, "none.pem"), (swapped, "key.pem")] {
        let error = Node::start(NodeConfig::in_memory().tls(tls))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
    }
}
