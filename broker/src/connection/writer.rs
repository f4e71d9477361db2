//! The task that moves what waits for a client to its socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use hitherto_platform::WriteHalf;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::CloseReason;
use super::client::Client;
use super::outbound::{Outbound, Work};

/// A buffer that grew beyond this is given back after it was written: 1 MiB.
const BUSY_BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// A buffer that grew beyond this is given back when nothing waits any more: 16 KiB.
const IDLE_BUFFER_BYTES_MAX: usize = 16 * 1024;

/// Writes until the connection ends, then closes the socket for writing.
///
/// One socket write carries everything that came in during the write before it. A client whose socket
/// takes not a single byte for `write_deadline` is a slow consumer. Differs from nats-server 2.15, whose
/// deadline is for the whole write: a slow but steady client is bounded by `max_pending` alone.
pub(super) async fn run(client: Arc<Client>, mut socket: WriteHalf, write_deadline: Duration) {
    let outbound = client.outbound();
    let mut chunk = BytesMut::new();
    loop {
        match outbound.take_work(&mut chunk) {
            Work::Write => {
                if let Err(error) = write_all(outbound, &mut socket, &chunk, write_deadline).await {
                    outbound.close(reason_of(&error), None);
                    return;
                }
                client.note_activity();
                give_back(&mut chunk, BUSY_BUFFER_BYTES_MAX);
            }
            Work::Wait => {
                give_back(&mut chunk, IDLE_BUFFER_BYTES_MAX);
                outbound.wait_for_work().await;
            }
            Work::End => break,
        }
    }
    // The client may be gone already; there is nobody left to tell.
    timeout(write_deadline, socket.shutdown()).await.ok();
}

async fn write_all(
    outbound: &Outbound,
    socket: &mut WriteHalf,
    mut rest: &[u8],
    write_deadline: Duration,
) -> io::Result<()> {
    while !rest.is_empty() {
        let written = timeout(write_deadline, socket.write(rest)).await??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        outbound.note_written(written);
        rest = rest.get(written..).unwrap_or_default();
    }
    timeout(write_deadline, socket.flush()).await?
}

fn reason_of(error: &io::Error) -> CloseReason {
    if error.kind() == io::ErrorKind::TimedOut {
        CloseReason::WriteTimedOut
    } else {
        CloseReason::WriteFailed
    }
}

/// Empties the buffer, and frees its memory when it has grown beyond `bytes_max`.
fn give_back(chunk: &mut BytesMut, bytes_max: usize) {
    chunk.clear();
    if chunk.capacity() > bytes_max {
        *chunk = BytesMut::new();
    }
}
