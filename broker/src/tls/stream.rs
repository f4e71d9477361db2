//! Connections whose first bytes were looked at, and connections that are encrypted.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use hitherto_platform::{Connection, ReadHalf, WriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection and what was already read from it.
pub(super) struct LookedInto {
    inner: Box<dyn Connection>,
    /// Read, and to be read again.
    seen: BytesMut,
}

impl LookedInto {
    pub(super) fn new(inner: Box<dyn Connection>) -> Self {
        Self {
            inner,
            seen: BytesMut::new(),
        }
    }

    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn parts(&mut self) -> (&mut Box<dyn Connection>, &mut BytesMut) {
        (&mut self.inner, &mut self.seen)
    }
}

impl AsyncRead for LookedInto {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.is_empty() {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        read_again(&mut self.seen, buffer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LookedInto {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl Connection for LookedInto {
    fn split(self: Box<Self>) -> (ReadHalf, WriteHalf) {
        let Self { inner, seen } = *self;
        let (read, write) = inner.split();
        (Box::new(Again { seen, read }), write)
    }
}

/// What was looked at, and then the rest.
struct Again {
    seen: BytesMut,
    read: ReadHalf,
}

impl AsyncRead for Again {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.is_empty() {
            return Pin::new(&mut self.read).poll_read(context, buffer);
        }
        read_again(&mut self.seen, buffer);
        Poll::Ready(Ok(()))
    }
}

/// Hands out what was looked at, as far as there is room for it.
fn read_again(seen: &mut BytesMut, buffer: &mut ReadBuf<'_>) {
    let bytes = seen.len().min(buffer.remaining());
    buffer.put_slice(&seen[..bytes]);
    seen.advance(bytes);
}

/// A connection after its handshake; the stream encrypts.
pub(crate) struct Encrypted<S>(pub(crate) S);

impl<S: AsyncRead + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl<S> Connection for Encrypted<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    /// Both halves share the state of the encryption, under a lock that is held while a record is made or
    /// read and never while anybody waits.
    fn split(self: Box<Self>) -> (ReadHalf, WriteHalf) {
        let (read, write) = tokio::io::split(self.0);
        (Box::new(read), Box::new(write))
    }
}
