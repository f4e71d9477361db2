//! Bytes that are no NATS, or nearly NATS, end at most their own connection: the server goes on
//! serving others and does not panic.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hitherto_integration::raw::RawClient;
use hitherto_integration::seed::Seeded;
use hitherto_integration::{Server, on_both_servers};

const CONNECTIONS: usize = 400;

/// A server that neither answers nor closes for this long hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a healthy client might send; the connections send pieces of it, damaged.
const HEALTHY: &[&[u8]] = &[
    b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}\r\n",
    b"PING\r\n",
    b"SUB orders.> 1\r\n",
    b"SUB orders.* workers 22\r\n",
    b"UNSUB 22 5\r\n",
    b"PUB orders.1 5\r\nhello\r\n",
    b"PUB orders.1 inbox.7 0\r\n\r\n",
    b"HPUB orders.1 22 24\r\nNATS/1.0\r\nFoo: Bar\r\n\r\nhi\r\n",
    b"HPUB orders.1 inbox 12 12\r\nNATS/1.0\r\n\r\n\r\n",
    b"PUB $JS.API.STREAM.CREATE.X inbox 33\r\n{\"name\":\"X\",\"subjects\":[\"x.>\", 7]}\r\n",
    b"PUB $JS.API.CONSUMER.MSG.NEXT.X.Y inbox 14\r\n{\"batch\":-1.5e\xff\r\n",
    b"PUB $JS.ACK.X.Y.1.2.3.4.5 4\r\n+ACK\r\n",
];

async fn malformed_input_ends_at_most_its_own_connection(server: &mut Server) -> Result<()> {
    let mut seeded = Seeded::from_env();
    let addr = server.addr();
    let mut bystander = RawClient::connect(addr)?;
    for connection in 0..CONNECTIONS {
        let bytes = damaged(seeded.random());
        send(addr, &bytes)
            .and_then(|()| Ok(bystander.ping()?))
            .with_context(|| {
                format!(
                    "connection {connection}, {seeded}, {}",
                    bytes.escape_ascii()
                )
            })?;
    }
    ensure!(
        !server.log().contains("panicked"),
        "{seeded}\n{}",
        server.log()
    );
    Ok(())
}

/// A few healthy pieces with a few faults in them.
fn damaged(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = HEALTHY[0].to_vec();
    for _ in 0..random.usize(1..8) {
        bytes.extend_from_slice(HEALTHY[random.usize(..HEALTHY.len())]);
    }
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..bytes.len());
        match random.u8(..5) {
            0 => bytes[at] = random.u8(..),
            1 => bytes.insert(
                at,
                *random.choice(b"\r\n \t0189.*>{}\"\0\xff").unwrap_or(&0),
            ),
            2 if bytes.len() > 1 => _ = bytes.remove(at),
            3 => bytes.truncate(at.max(1)),
            _ => bytes.extend((0..random.usize(..5000)).map(|_| random.alphanumeric() as u8)),
        }
    }
    bytes
}

/// Sends the bytes, ends the sending side, and reads until the server ends its own.
fn send(addr: SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut socket = TcpStream::connect(addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // The server may have closed before everything was sent; that is its right.
    if socket.write_all(bytes).is_ok() {
        socket.shutdown(Shutdown::Write).ok();
    }
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(error).context("the server neither answers nor closes")
        }
        _ => Ok(()),
    }
}

on_both_servers!(malformed_input_ends_at_most_its_own_connection);
