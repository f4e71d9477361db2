//! The first bytes of a connection: INFO in the clear and then the handshake, or the other way round.
//!
//! As nats-server 2.15 (`createClientEx` in `server/server.go`).

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use hitherto_platform::Connection;
use hitherto_protocol::{ServerInfo, encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::Tls;
use super::stream::{Encrypted, LookedInto};
use crate::config::HandshakeFirst;

/// First byte of a TLS record that begins a handshake.
const HANDSHAKE_RECORD: u8 = 0x16;

/// A connection on which the client may now speak the NATS protocol.
pub(crate) struct Opened {
    pub(crate) connection: Box<dyn Connection>,
    /// INFO was sent, in the clear.
    pub(crate) info_sent: bool,
}

/// Brings a connection to where CONNECT may come.
///
/// # Errors
/// When the handshake fails or takes too long, or the socket fails: the connection is of no use then.
pub(crate) async fn open(
    connection: Box<dyn Connection>,
    tls: &Tls,
    info: &ServerInfo,
) -> io::Result<Opened> {
    let mut connection = LookedInto::new(connection);
    let handshake_comes_first = match tls.options.first {
        HandshakeFirst::Never => false,
        HandshakeFirst::Always => true,
        HandshakeFirst::Within(wait) => begins_handshake(&mut connection, wait).await?,
    };
    if !handshake_comes_first {
        let mut line = BytesMut::new();
        encode::info(info, &mut line);
        timeout(tls.options.timeout, connection.write_all(&line)).await??;
        let plain = !tls.options.required
            && !begins_handshake(&mut connection, tls.options.timeout).await?;
        if plain {
            return Ok(Opened {
                connection: Box::new(connection),
                info_sent: true,
            });
        }
    }
    let handshake = tls.acceptor.accept(connection);
    let stream = timeout(tls.options.timeout, handshake).await??;
    Ok(Opened {
        connection: Box::new(Encrypted(stream)),
        info_sent: !handshake_comes_first,
    })
}

/// Waits for the first byte and looks at it. A client that says nothing does not begin a handshake.
async fn begins_handshake(connection: &mut LookedInto, wait: Duration) -> io::Result<bool> {
    match timeout(wait, connection.look()).await {
        Ok(first) => Ok(first? == Some(HANDSHAKE_RECORD)),
        Err(_) => Ok(false),
    }
}

impl LookedInto {
    /// The first byte, which will be read again; `None` when the client has closed.
    async fn look(&mut self) -> io::Result<Option<u8>> {
        if self.seen().is_empty() {
            let (inner, seen) = self.parts();
            inner.read_buf(seen).await?;
        }
        Ok(self.seen().first().copied())
    }
}
