//! `hitherto serve` as a process: ports file, signals, log lines, and errors that say what to do.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::path::Path;
use std::process::{Output, Stdio};

use support::program::{self, HITHERTO, PATIENCE};
use support::{QUIET, RawClient};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Starts a broker on a free port and reads its log up to "Server is ready".
async fn serve(folder: &Path) -> (Child, String) {
    serve_from(folder, |args| program::command(HITHERTO, args)).await
}

async fn serve_from(folder: &Path, program: impl Fn(&[&str]) -> Command) -> (Child, String) {
    let store = folder.join("store").display().to_string();
    let ports = folder.join("ports.json").display().to_string();
    let args = [
        "serve",
        "--port",
        "0",
        "--store-dir",
        &store,
        "--ports-file",
        &ports,
    ];
    let mut child = program(&args).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.as_mut().unwrap()).lines();
    let mut log = String::new();
    while !log.contains("Server is ready") {
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        log.push_str(&line.unwrap_or_else(|| panic!("ended early: {log}")));
        log.push('\n');
    }
    (child, log)
}

fn port_in(log: &str) -> u16 {
    let (_, rest) = log
        .split_once("Listening for client connections on 127.0.0.1:")
        .unwrap();
    rest.lines().next().unwrap().parse().unwrap()
}

async fn output(args: &[&str]) -> Output {
    program::output(HITHERTO, args).await
}

#[tokio::test]
async fn it_serves_and_stops_on_sigterm_with_exit_0() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, log) = serve(folder.path()).await;
    let mut client = RawClient::connect_to(([127, 0, 0, 1], port_in(&log)).into()).await;
    client
        .send(format!("{QUIET}SUB a 1\r\nPUB a 2\r\nhi\r\n"))
        .await;
    client.expect("MSG a 1 2\r\nhi\r\n").await;

    let pid = child.id().unwrap().to_string();
    Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .await
        .unwrap();
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    let mut rest = String::new();
    child
        .stderr
        .unwrap()
        .read_to_string(&mut rest)
        .await
        .unwrap();
    assert!(rest.contains("Server Exiting.."), "{rest}");
    assert!(
        !folder.path().join("ports.json").exists(),
        "the ports file goes with the broker"
    );
}

#[tokio::test]
async fn the_ports_file_tells_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let (_child, log) = serve(folder.path()).await;
    let path = folder.path().join("ports.json");
    let text = timeout(PATIENCE, async {
        loop {
            if let Ok(text) = std::fs::read_to_string(&path) {
                return text;
            }
            tokio::task::yield_now().await;
        }
    });
    let port = port_in(&log);
    let expected = format!("{{\"nats\":[\"nats://127.0.0.1:{port}\"]}}\n");
    assert_eq!(text.await.unwrap(), expected);
}

#[tokio::test]
async fn a_port_in_use_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let store = folder.path().display().to_string();
    let output = output(&["serve", "--port", &port, "--store-dir", &store]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains(&format!("cannot listen for clients on 127.0.0.1:{port}")),
        "{error}"
    );
    assert!(error.contains("--port 0"), "{error}");
}

#[tokio::test]
async fn a_store_in_use_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (_child, _log) = serve(folder.path()).await;
    let store = folder.path().join("store").display().to_string();
    let output = output(&["serve", "--port", "0", "--store-dir", &store]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("is locked by another process"), "{error}");
    assert!(error.contains("--store-dir"), "{error}");
}

#[tokio::test]
async fn a_store_dir_that_is_a_file_is_explained() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let store = file.path().display().to_string();
    let output = output(&["serve", "--port", "0", "--store-dir", &store]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("cannot use the store"), "{error}");
    assert!(error.contains("--store-dir"), "{error}");
}

#[tokio::test]
async fn the_store_is_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let connect = format!("{QUIET}SUB inbox.* 1\r\n");
    let (mut child, log) = serve(folder.path()).await;
    let mut client = RawClient::connect_to(([127, 0, 0, 1], port_in(&log)).into()).await;
    let config = r#"{"name":"S","subjects":["s.>"]}"#;
    let size = config.len();
    client
        .send(format!(
            "{connect}PUB $JS.API.STREAM.CREATE.S inbox.1 {size}\r\n{config}\r\n"
        ))
        .await;
    let created = answer(&mut client).await;
    assert!(created.contains("\"did_create\":true"), "{created}");
    client.send("PUB s.a inbox.2 2\r\nhi\r\n").await;
    let stored = answer(&mut client).await;
    assert!(
        stored.contains("\"stream\":\"S\"") && stored.contains("\"seq\":1"),
        "{stored}"
    );
    child.kill().await.unwrap();

    let (_child, log) = serve(folder.path()).await;
    let mut client = RawClient::connect_to(([127, 0, 0, 1], port_in(&log)).into()).await;
    client
        .send(format!("{connect}PUB s.a inbox.3 2\r\nho\r\n"))
        .await;
    let stored = answer(&mut client).await;
    assert!(stored.contains("\"seq\":2"), "{stored}");
}

/// The payload of the next message, which must be a single line.
async fn answer(client: &mut RawClient) -> String {
    let line = client.line().await;
    assert!(line.starts_with("MSG inbox."), "{line}");
    client.line().await
}

#[tokio::test]
async fn open_files_are_raised_to_the_hard_limit_and_clients_cannot_take_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let (child, log) = serve_from(folder.path(), |args| {
        let mut command = Command::new("sh");
        let script = "ulimit -Sn 60 && ulimit -Hn 120 && exec \"$0\" \"$@\"";
        command.args(["-c", script, env!("CARGO_BIN_EXE_hitherto")]);
        command.args(args).env_remove("RUST_LOG");
        command.kill_on_drop(true).stderr(Stdio::piped());
        command
    })
    .await;
    assert!(
        log.contains("120 open files leave room for 90 client connections"),
        "{log}"
    );
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id().unwrap())).unwrap();
    let open_files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut words = open_files.unwrap().split_whitespace().skip(3);
    assert_eq!((words.next(), words.next()), (Some("120"), Some("120")));

    let addr = ([127, 0, 0, 1], port_in(&log)).into();
    let mut clients = Vec::new();
    for _ in 0..90 {
        let mut client = RawClient::connect_to(addr).await;
        client.send(format!("{QUIET}PING\r\n")).await;
        client.expect("PONG\r\n").await;
        clients.push(client);
    }
    let mut refused = RawClient::connect_to(addr).await;
    refused
        .expect("-ERR 'maximum connections exceeded'\r\n")
        .await;
    // There is a descriptor left for a new stream.
    let config = r#"{"name":"S","subjects":["s.>"]}"#;
    let size = config.len();
    let client = &mut clients[0];
    client
        .send(format!(
            "SUB inbox.* 1\r\nPUB $JS.API.STREAM.CREATE.S inbox.1 {size}\r\n{config}\r\n"
        ))
        .await;
    let created = answer(client).await;
    assert!(created.contains("\"did_create\":true"), "{created}");
}

#[tokio::test]
async fn help_shows_examples_and_version_is_told() {
    let help = output(&["serve", "--help"]).await;
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(
        text.contains("Examples:") && text.contains("--ports-file"),
        "{text}"
    );
    let version = output(&["--version"]).await;
    let text = String::from_utf8(version.stdout).unwrap();
    assert!(text.starts_with("hitherto "), "{text}");
}
