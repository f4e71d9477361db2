//! Writing to a client without its writer: who delivered a little writes it to the socket at once.
//!
//! Waking the task of a writer for every answer costs more than the write itself. The writer stays in
//! charge of whatever the socket does not take at once, of large bursts, and of every error.

use std::fmt;
use std::sync::{Arc, Weak};

use bytes::{Buf as _, BytesMut};
use hitherto_platform::TryWrite;

use super::client::Client;

/// More bytes than these are left to the writer, which works beside whoever delivers: 16 KiB.
pub(super) const AT_ONCE_BYTES_MAX: usize = 16 * 1024;

/// The socket of a client, shared with its writer. Whose turn it is [`Outbound`](super::Outbound) knows.
pub(super) struct AtOnce {
    socket: Weak<dyn TryWrite>,
    client: Weak<Client>,
}

impl AtOnce {
    pub(super) fn new(socket: Weak<dyn TryWrite>, client: &Arc<Client>) -> Self {
        Self {
            socket,
            client: Arc::downgrade(client),
        }
    }

    /// Writes what the socket takes of `chunk` and leaves the rest in it.
    pub(super) fn write(&self, chunk: &mut BytesMut) {
        let Some(socket) = self.socket.upgrade() else {
            return;
        };
        // The writer meets an error again, and says what it means.
        let written = socket.try_write(chunk).unwrap_or(0);
        if written == chunk.len() {
            // Unlike advancing this keeps the memory.
            chunk.clear();
        } else {
            chunk.advance(written);
        }
        if let Some(client) = self.client.upgrade()
            && written > 0
        {
            client.note_activity();
        }
    }
}

impl fmt::Debug for AtOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtOnce").finish_non_exhaustive()
    }
}
