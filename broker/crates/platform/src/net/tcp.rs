//! TCP. `TCP_NODELAY` is set on every connection: writers above coalesce for themselves.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream};

use super::{Connection, Listener, Net, ReadHalf, WriteHalf};

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
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

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
}
