//! The client protocol word by word: what is sent by hand, and what comes back, from both servers.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use hitherto_integration::client::PATIENCE;
use hitherto_integration::{Server, on_both_servers};

/// CONNECT of a client that wants no chatter.
const QUIET: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

/// Sends `text` after INFO has come, and returns what comes back: up to a PONG, or to the end of the
/// connection, which is shown as `<closed>`.
fn converse(server: &Server, text: &str) -> Result<String> {
    let mut socket = TcpStream::connect(server.addr())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        read_some(&mut socket, &mut answer)?;
    }
    ensure!(answer.starts_with(b"INFO {"), "a server begins with INFO");
    answer.clear();
    // A server that closes at once may not take everything.
    socket.write_all(text.as_bytes()).ok();
    while !answer.ends_with(b"PONG\r\n") {
        if read_some(&mut socket, &mut answer)? == 0 {
            answer.extend_from_slice(b"<closed>");
            break;
        }
    }
    String::from_utf8(answer).context("answers are text")
}

/// Reads what is there; 0 when the connection has ended, also by a reset.
fn read_some(socket: &mut TcpStream, into: &mut Vec<u8>) -> Result<usize> {
    let mut chunk = [0; 4096];
    match socket.read(&mut chunk) {
        Ok(read) => {
            into.extend_from_slice(&chunk[..read]);
            Ok(read)
        }
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(0),
        Err(error) => Err(error.into()),
    }
}

async fn each_mistake_is_answered_with_its_text(server: &mut Server) -> Result<()> {
    let long = "a".repeat(5000);
    for (sent, answer) in [
        (
            "CONNECT {\"account\":\"x\"}\r\n".to_owned(),
            "-ERR 'Authorization Violation'\r\n<closed>",
        ),
        (
            "CONNECT {\"protocol\":3}\r\n".into(),
            "-ERR 'invalid client protocol'\r\n<closed>",
        ),
        (
            "CONNECT {\"no_responders\":true}\r\n".into(),
            "-ERR 'no responders requires headers support'\r\n<closed>",
        ),
        ("CONNECT {bad\r\n".into(), "<closed>"),
        (
            "PUB a 2000000\r\n".into(),
            "-ERR 'Maximum Payload Violation'\r\n<closed>",
        ),
        (
            format!("SUB {long} 1\r\n"),
            "-ERR 'maximum control line exceeded'\r\n<closed>",
        ),
        (
            "RS+ a b\r\n".into(),
            "-ERR 'Unknown Protocol Operation'\r\n<closed>",
        ),
        (
            "GET / HTTP/1.1\r\n\r\n".into(),
            "-ERR 'Unknown Protocol Operation'\r\n<closed>",
        ),
        ("PUB a\r\nPING\r\n".into(), "<closed>"),
        (
            format!("{QUIET}HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n"),
            "<closed>",
        ),
    ] {
        let got = converse(server, &sent)?;
        ensure!(got == answer, "{:.60}: {got:?}, not {answer:?}", sent);
    }
    Ok(())
}

async fn a_client_is_answered_as_it_asked_for(server: &mut Server) -> Result<()> {
    for (sent, answer) in [
        ("CONNECT {}\r\nPING\r\n".to_owned(), "+OK\r\nPONG\r\n"),
        (
            "CONNECT {\"verbose\":true}\r\nPUB a 0\r\n\r\nSUB a 1\r\nUNSUB 1\r\nPING\r\n".into(),
            "+OK\r\n+OK\r\n+OK\r\n+OK\r\nPONG\r\n",
        ),
        (
            "CONNECT {\"verbose\":false,\"pedantic\":true}\r\nPUB a.* 0\r\n\r\nPING\r\n".into(),
            "-ERR 'Invalid Publish Subject'\r\nPONG\r\n",
        ),
        (
            format!("{QUIET}SUB a..b 1\r\nSUB a.>.b 2\r\nPING\r\n"),
            "-ERR 'Invalid Subject'\r\n-ERR 'Invalid Subject'\r\nPONG\r\n",
        ),
        (
            format!("{QUIET}SUB a 1\r\nSUB b 1\r\nPUB b 0\r\n\r\nPUB a 0\r\n\r\nPING\r\n"),
            "MSG a 1 0\r\n\r\nPONG\r\n",
        ),
        (
            format!(
                "{QUIET}SUB a 1\r\nUNSUB 1 2\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\nPING\r\n"
            ),
            "MSG a 1 0\r\n\r\nMSG a 1 0\r\n\r\nPONG\r\n",
        ),
        (
            format!("{QUIET}SUB a 1\r\n{QUIET}PUB a 0\r\n\r\nPING\r\n"),
            "PONG\r\n",
        ),
        (
            "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 1\r\nPUB a 0\r\n\r\nPING\r\n"
                .into(),
            "PONG\r\n",
        ),
        (
            format!("{QUIET}PUB $NRG.x 0\r\n\r\nPUB a _R_.x 0\r\n\r\nPING\r\n"),
            "-ERR 'Permissions Violation for Publish to \"$NRG.x\"'\r\n\
             -ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\r\nPONG\r\n",
        ),
        (
            "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n\
             SUB r 1\r\nPUB nobody r 0\r\n\r\nPING\r\n"
                .into(),
            "HMSG r 1 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\nPONG\r\n",
        ),
    ] {
        let got = converse(server, &sent)?;
        ensure!(got == answer, "{sent:?}: {got:?}, not {answer:?}");
    }
    Ok(())
}

on_both_servers!(
    each_mistake_is_answered_with_its_text,
    a_client_is_answered_as_it_asked_for,
);
