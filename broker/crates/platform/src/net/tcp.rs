//! TCP. `TCP_NODELAY` is set on every connection: writers above coalesce for themselves.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use rustix::net::Shutdown;
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};

use super::{Connection, Listener, Net, ReadHalf, TryWrite, WriteHalf};

/// The TCP stack of the operating system. Must be used inside a tokio runtime with IO enabled.
#[derive(Debug, Default)]
pub struct TcpNet;

impl TcpNet {
    /// Creates a handle to the TCP stack.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Net for TcpNet {
    async fn listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(TcpListener::bind(addr).await?))
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<Box<dyn Connection>> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

#[async_trait]
impl Listener for TcpListener {
    async fn accept(&self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((Box::new(stream), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}

impl Connection for TcpStream {
    fn split(self: Box<Self>) -> (ReadHalf, WriteHalf) {
        let (read, write) = self.into_split();
        (Box::new(read), Box::new(write))
    }

    fn split_shared(self: Box<Self>) -> (ReadHalf, WriteHalf, Option<Weak<dyn TryWrite>>) {
        let (read, write) = self.into_split();
        let write = Arc::new(write);
        let beside: Weak<OwnedWriteHalf> = Arc::downgrade(&write);
        (
            Box::new(read),
            Box::new(SharedWriteHalf(write)),
            Some(beside),
        )
    }
}

impl TryWrite for OwnedWriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }
}

/// A writing half others write to as well. `OwnedWriteHalf` alone writes for its only owner.
struct SharedWriteHalf(Arc<OwnedWriteHalf>);

impl AsyncWrite for SharedWriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream: &TcpStream = (*self.0).as_ref();
        loop {
            ready!(stream.poll_write_ready(context))?;
            match stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream: &TcpStream = (*self.0).as_ref();
        Poll::Ready(rustix::net::shutdown(stream, Shutdown::Write).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_shared_half_writes_beside_its_owner_until_the_owner_has_gone() {
        let listener = TcpNet::new()
            .listen("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (_read, mut write, beside) = server.split_shared();
        let beside = beside.unwrap();
        write.write_all(b"PI").await.unwrap();
        let written = beside.upgrade().unwrap().try_write(b"NG").unwrap();
        assert_eq!(written, 2);
        let mut buf = [0; 4];
        client.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"PING");

        // Fills the socket: what it takes by itself comes in order behind what was refused before.
        let mut sent = 0;
        while let Ok(written) = beside.upgrade().unwrap().try_write(&[b'x'; 65536]) {
            sent += written;
        }
        let rest = tokio::spawn(async move {
            write.write_all(b"end").await.unwrap();
            write.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        rest.await.unwrap();
        assert_eq!(received.len(), sent + 3);
        assert!(received.ends_with(b"xend"));
        assert!(beside.upgrade().is_none());
    }

    #[tokio::test]
    async fn accepted_connection_carries_bytes_both_ways() {
        let listener = TcpNet::new()
            .listen("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let (mut read, mut write) = server.split();
        client.write_all(b"PING").await.unwrap();
        let mut buf = [0; 4];
        read.read_exact(&mut buf).await.unwrap();
        write.write_all(&buf).await.unwrap();
        client.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"PING");
    }

    #[tokio::test]
    async fn a_made_connection_reaches_its_listener_and_nobody_refuses() {
        let net = TcpNet::new();
        let listener = net.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut client = net.connect(addr).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"PING").await.unwrap();
        let mut buf = [0; 4];
        server.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"PING");

        drop((server, listener));
        let refused = net.connect(addr).await.err().map(|error| error.kind());
        assert_eq!(refused, Some(io::ErrorKind::ConnectionRefused));
    }
}
