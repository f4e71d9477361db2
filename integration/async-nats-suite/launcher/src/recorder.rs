//! Writes down what a server tells on `$JS.EVENT.>` while its test runs: advisories, and by the audit of
//! the JetStream API every answer. Who runs the tests holds it against the published schemas.
//!
//! Only where `HITHERTO_SUITE_RECORDS` names a folder, and only of servers with JetStream that let
//! everybody in without TLS.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Names the folder of the records.
const FOLDER_VARIABLE: &str = "HITHERTO_SUITE_RECORDS";

/// The longest payload that is read.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Begins to listen; returns when everything told from now on will be written down.
///
/// # Panics
///
/// When the server does not let it listen, or the record cannot be made.
pub(crate) fn start(port: u16) {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        let listening = listen(port).expect("the server takes one more connection");
        if let Some(input) = listening {
            let record = new_record(folder.into()).expect("a record can be made");
            // It ends with the server.
            thread::spawn(move || write_down(input, record).ok());
        }
    }
}

fn listen(port: u16) -> io::Result<Option<BufReader<TcpStream>>> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    let mut input = BufReader::new(socket.try_clone()?);
    let mut line = String::new();
    input.read_line(&mut line)?;
    // Who wants the handshake first says nothing before it, and gives up.
    let Some(info) = line.strip_prefix("INFO ") else {
        return Ok(None);
    };
    let info: serde_json::Value = serde_json::from_str(info)?;
    let says = |field: &str| info[field].as_bool().unwrap_or(false);
    if !says("jetstream") || says("auth_required") || says("tls_required") {
        return Ok(None);
    }
    socket.write_all(
        b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n\
          SUB $JS.EVENT.> 1\r\nPING\r\n",
    )?;
    while !line.starts_with("PONG") {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(input))
}

fn new_record(folder: PathBuf) -> io::Result<File> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    File::create(folder.join(format!("{}-{number}.json", std::process::id())))
}

/// One payload per line.
fn write_down(mut input: BufReader<TcpStream>, mut record: File) -> io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line.starts_with("PING") {
            input.get_mut().write_all(b"PONG\r\n")?;
        }
        if !line.starts_with("MSG ") {
            continue;
        }
        let bytes = line.trim_end().rsplit(' ').next();
        let bytes = bytes.and_then(|bytes| bytes.parse::<usize>().ok());
        let bytes = bytes.filter(|bytes| *bytes <= PAYLOAD_BYTES_MAX);
        let mut payload = vec![0; bytes.ok_or(io::ErrorKind::InvalidData)? + 2];
        input.read_exact(&mut payload)?;
        payload.truncate(payload.len() - 2);
        payload.push(b'\n');
        record.write_all(&payload)?;
    }
}
