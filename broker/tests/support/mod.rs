//! A raw client for tests: writes protocol text, reads protocol text, never guesses.

#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each test file uses its part, and tests fail by panicking"
)]

pub(crate) mod certificates;
#[cfg(all(unix, feature = "cli"))]
pub(crate) mod program;

use std::net::SocketAddr;
use std::time::Duration;

use hitherto_broker::{Node, NodeConfig};
use hitherto_platform::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything here takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// CONNECT of a client that wants no chatter.
pub(crate) const QUIET: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

/// CONNECT of a modern client.
pub(crate) const MODERN: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

/// A node in memory that listens on a free port.
pub(crate) async fn node() -> Node {
    node_with(NodeConfig::in_memory()).await
}

/// The same with a configuration of its own.
pub(crate) async fn node_with(config: NodeConfig) -> Node {
    let any_port = "127.0.0.1:0".parse().expect("an address");
    Node::start(config.listen(any_port))
        .await
        .expect("the node starts")
}

/// One socket.
pub(crate) struct RawClient {
    socket: Box<dyn Connection>,
    /// Read and not asked for yet.
    unread: Vec<u8>,
    /// The INFO line.
    pub(crate) info: String,
    /// How long an answer may take before the test fails.
    pub(crate) patience: Duration,
}

impl RawClient {
    /// Connects and reads INFO.
    pub(crate) async fn connect(node: &Node) -> Self {
        Self::connect_to(node.listen_addr().expect("the node listens")).await
    }

    pub(crate) async fn connect_to(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).await.expect("the node accepts");
        socket.set_nodelay(true).expect("a TCP option");
        Self::on(Box::new(socket)).await
    }

    /// Takes over a connection and reads INFO.
    pub(crate) async fn on(socket: Box<dyn Connection>) -> Self {
        let mut client = Self {
            socket,
            unread: Vec::new(),
            info: String::new(),
            patience: PATIENCE,
        };
        client.info = client.line().await;
        assert!(client.info.starts_with("INFO {"), "{}", client.info);
        client
    }

    /// Connects, sends `text`, and waits until it has taken effect.
    pub(crate) async fn ready(node: &Node, text: &str) -> Self {
        let mut client = Self::connect(node).await;
        client.send(text).await;
        client.barrier().await;
        client
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket
            .write_all(bytes.as_ref())
            .await
            .expect("the node reads");
    }

    /// Like [`RawClient::send`] to a node that may have closed already.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.ok();
    }

    /// PING and PONG: returns what came before the PONG.
    pub(crate) async fn barrier(&mut self) -> String {
        self.send("PING\r\n").await;
        self.until("PONG\r\n").await
    }

    /// The same without taking anything but the PONG: what came before it stays unread.
    pub(crate) async fn barrier_kept(&mut self) {
        let before = self.barrier().await;
        let behind = std::mem::replace(&mut self.unread, before.into_bytes());
        self.unread.extend(behind);
    }

    /// Whether this text is among what was read and not asked for yet.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.unread_text().contains(text)
    }

    /// Everything up to `end`, without `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let end = end.as_bytes();
            if let Some(at) = self
                .unread
                .windows(end.len())
                .position(|window| window == end)
            {
                let text = self.unread.drain(..at + end.len()).collect::<Vec<_>>();
                return String::from_utf8_lossy(&text[..at]).into_owned();
            }
            assert!(self.fill().await, "closed; unread: {}", self.unread_text());
        }
    }

    pub(crate) async fn line(&mut self) -> String {
        self.until("\r\n").await
    }

    /// Asserts that exactly this comes next.
    pub(crate) async fn expect(&mut self, text: &str) {
        while self.unread.len() < text.len() && self.fill().await {}
        let take = self.unread.len().min(text.len());
        let got = self.unread.drain(..take).collect::<Vec<_>>();
        assert_eq!(String::from_utf8_lossy(&got), text);
    }

    /// Everything until the node closes the connection.
    pub(crate) async fn until_closed(&mut self) -> String {
        while self.fill().await {}
        let text = self.unread_text();
        self.unread.clear();
        text
    }

    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 4096];
        let read = timeout(self.patience, self.socket.read(&mut chunk)).await;
        let read = read.unwrap_or_else(|_| panic!("nothing more; unread: {}", self.unread_text()));
        let read = read.unwrap_or(0);
        self.unread.extend_from_slice(&chunk[..read]);
        read > 0
    }

    fn unread_text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }
}
