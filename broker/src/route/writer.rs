//! The task that moves what waits for another node to the socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use hitherto_platform::WriteHalf;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::link_end::LinkEnd;
use super::outbound::{LinkOutbound, Work};

/// A buffer that grew beyond this is given back after it was written: 1 MiB.
const BUFFER_BYTES_KEPT: usize = 1024 * 1024;

/// Writes until the link ends, then closes the socket for writing. A node that takes not a single byte for
/// `write_deadline` is given up.
pub(super) async fn run(
    outbound: Arc<LinkOutbound>,
    mut socket: WriteHalf,
    write_deadline: Duration,
) {
    let mut chunk = BytesMut::new();
    loop {
        match outbound.take_work(&mut chunk) {
            Work::Write => {
                if let Err(end) = write_all(&mut socket, &chunk, write_deadline).await {
                    return outbound.end(end);
                }
                outbound.note_written();
                chunk.clear();
                if chunk.capacity() > BUFFER_BYTES_KEPT {
                    chunk = BytesMut::new();
                }
            }
            Work::Wait => outbound.wait_for_work().await,
            Work::End => break,
        }
    }
    // The other node may be gone already.
    timeout(write_deadline, socket.shutdown()).await.ok();
}

async fn write_all(
    socket: &mut WriteHalf,
    mut rest: &[u8],
    write_deadline: Duration,
) -> Result<(), LinkEnd> {
    while !rest.is_empty() {
        let written = timeout(write_deadline, socket.write(rest)).await;
        match written.map_err(|_| LinkEnd::Slow)? {
            Ok(0) | Err(_) => return Err(LinkEnd::Failed),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
        }
    }
    let flushed = timeout(write_deadline, socket.flush()).await;
    flushed
        .map_err(|_| LinkEnd::Slow)?
        .map_err(|_| LinkEnd::Failed)
}
