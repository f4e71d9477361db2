//! A network inside the process, for tests that want no sockets.
//!
//! Fault model: none. Bytes arrive in order; a pipe holds [`PIPE_BYTES`] and then makes the
//! writer wait; a listener holds [`BACKLOG`] connections nobody accepted and then makes the
//! dialler wait. Partitions and delays belong to the simulator.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::io::DuplexStream;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use super::{Connection, Listener, Net, ReadHalf, WriteHalf};

/// Bytes one direction of a pipe holds: 64 KiB.
const PIPE_BYTES: usize = 64 * 1024;

/// Connections that wait to be accepted, per listener.
const BACKLOG: usize = 128;

type Incoming = (Box<dyn Connection>, SocketAddr);

/// An in-process network; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryNet {
    hosts: Arc<Mutex<Hosts>>,
}

#[derive(Default)]
struct Hosts {
    listeners: BTreeMap<SocketAddr, mpsc::Sender<Incoming>>,
    ports_used: u16,
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.listeners.keys()).finish()
    }
}

impl MemoryNet {
    /// Creates a network without listeners.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hosts {
    /// Ports are never reused, so a test's log names each connection once.
    fn pick_port(&mut self) -> io::Result<u16> {
        let port = 1024_u16
            .checked_add(self.ports_used)
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        self.ports_used += 1;
        Ok(port)
    }
}

#[async_trait]
impl Net for MemoryNet {
    async fn listen(&self, mut addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let mut hosts = self.lock();
        if addr.port() == 0 {
            addr.set_port(hosts.pick_port()?);
        }
        if hosts
            .listeners
            .get(&addr)
            .is_some_and(|listener| !listener.is_closed())
        {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (tx, rx) = mpsc::channel(BACKLOG);
        hosts.listeners.insert(addr, tx);
        Ok(Box::new(MemoryListener {
            addr,
            incoming: AsyncMutex::new(rx),
        }))
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<Box<dyn Connection>> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let (listener, local) = {
            let mut hosts = self.lock();
            let port = hosts.pick_port()?;
            let listener = hosts.listeners.get(&addr).cloned().ok_or_else(refused)?;
            (listener, SocketAddr::new(addr.ip(), port))
        };
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        listener
            .send((Box::new(far), local))
            .await
            .map_err(|_| refused())?;
        Ok(Box::new(near))
    }
}

struct MemoryListener {
    addr: SocketAddr,
    incoming: AsyncMutex<mpsc::Receiver<Incoming>>,
}

#[async_trait]
impl Listener for MemoryListener {
    async fn accept(&self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        let closed = || io::Error::from(io::ErrorKind::NotConnected);
        self.incoming.lock().await.recv().await.ok_or_else(closed)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

impl Connection for DuplexStream {
    fn split(self: Box<Self>) -> (ReadHalf, WriteHalf) {
        let (read, write) = tokio::io::split(*self);
        (Box::new(read), Box::new(write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn pipe_carries_bytes_and_a_free_address_refuses() {
        let net = MemoryNet::new();
        let listener = net.listen("10.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert_ne!(addr.port(), 0);
        let mut client = net.connect(addr).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"PING").await.unwrap();
        let mut buf = [0; 4];
        server.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"PING");

        assert_eq!(
            net.listen(addr).await.err().map(|error| error.kind()),
            Some(io::ErrorKind::AddrInUse)
        );
        drop(listener);
        assert_eq!(
            net.connect(addr).await.err().map(|error| error.kind()),
            Some(io::ErrorKind::ConnectionRefused)
        );
    }
}
