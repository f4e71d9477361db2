//! Listening for connections and making them, as a trait: TCP for real, in-process pipes for tests.

mod memory;
mod tcp;

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Weak;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

pub use memory::MemoryNet;
pub use tcp::TcpNet;

/// The reading half of a [`Connection`].
pub type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;

/// The writing half of a [`Connection`].
pub type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// Opens listeners and connections.
#[async_trait]
pub trait Net: Send + Sync + Debug {
    /// Listens on `addr`; port 0 picks a free port.
    ///
    /// # Errors
    /// The error of the operating system, for example `AddrInUse`.
    async fn listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>>;

    /// Connects to a listener. Waits as long as the operating system does; may be dropped at any time.
    ///
    /// # Errors
    /// The error of the operating system, for example `ConnectionRefused`.
    async fn connect(&self, addr: SocketAddr) -> io::Result<Box<dyn Connection>>;
}

/// Accepts connections.
#[async_trait]
pub trait Listener: Send + Sync {
    /// Waits for the next connection and returns it with the address of its peer. Cancel safe.
    ///
    /// # Errors
    /// The error of the operating system; some (too many open files) pass, so the caller decides
    /// whether to go on.
    async fn accept(&self) -> io::Result<(Box<dyn Connection>, SocketAddr)>;

    /// Returns the bound address, with the picked port.
    ///
    /// # Errors
    /// The error of the operating system.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// One ordered, reliable, two-way byte pipe.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {
    /// Splits the connection into halves that two tasks can own. The pipe closes for writing when
    /// the writing half is shut down or dropped.
    fn split(self: Box<Self>) -> (ReadHalf, WriteHalf);

    /// Splits the connection like [`Connection::split`], with a way to write beside the writing half;
    /// `None` where there is none. It lives as long as the writing half.
    fn split_shared(self: Box<Self>) -> (ReadHalf, WriteHalf, Option<Weak<dyn TryWrite>>) {
        let (read, write) = self.split();
        (read, write, None)
    }
}

/// Writing into a connection from any thread. Those who share one agree on whose turn it is.
pub trait TryWrite: Send + Sync {
    /// Writes what the connection takes at once, which may be a part, and returns how many bytes.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing now, and the errors of the operating system.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}
