//! Accepts the connections of those who look at pages, and ends with the node.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener as AxumListener;
use hitherto_platform::{Listener, ReadHalf, WriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::pages;
use crate::monitor::Monitor;
use crate::stop::StopSignal;

/// Connections at a time: 64. More wait until one ends.
const CONNECTIONS_MAX: usize = 64;

/// A connection that has said nothing for so long is closed: 60 s.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A stopping node waits so long for pages under way: 1 s.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// After a failed accept the next one waits: 100 ms.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Shows the pages until the node stops.
pub(crate) async fn run(listener: Box<dyn Listener>, monitor: Arc<Monitor>, stop: StopSignal) {
    let listener = PageListener {
        listener,
        room: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
    };
    let stopped = |mut stop: StopSignal| async move { stop.stopped().await };
    let serving = axum::serve(listener, pages::router(monitor));
    let serving = serving.with_graceful_shutdown(stopped(stop.clone()));
    let mut serving = pin!(serving.into_future());
    // Both only wait; the second one bounds how long the first may take to end.
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stopped(stop) => timeout(CLOSE_WAIT, serving).await.unwrap_or(Ok(())),
    };
    if let Err(error) = ended {
        tracing::error!(%error, "the monitoring pages are not shown any more");
    }
}

/// The platform's listener in the form axum takes.
struct PageListener {
    listener: Box<dyn Listener>,
    room: Arc<Semaphore>,
}

impl AxumListener for PageListener {
    type Io = PageSocket;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (PageSocket, SocketAddr) {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((connection, peer)) => {
                    let (reader, writer) = connection.split();
                    let socket = PageSocket {
                        reader,
                        writer,
                        idle: Box::pin(sleep(IDLE_MAX)),
                        _room: room,
                    };
                    return (socket, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for monitoring");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A socket that fails when nothing comes for [`IDLE_MAX`], so that nobody holds its place for ever.
struct PageSocket {
    reader: ReadHalf,
    writer: WriteHalf,
    idle: Pin<Box<Sleep>>,
    _room: OwnedSemaphorePermit,
}

impl AsyncRead for PageSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.reader).poll_read(context, buffer) {
            Poll::Pending => {
                let idle = self.idle.as_mut().poll(context);
                idle.map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
            ready @ Poll::Ready(_) => {
                self.idle.as_mut().reset(Instant::now() + IDLE_MAX);
                ready
            }
        }
    }
}

impl AsyncWrite for PageSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}
