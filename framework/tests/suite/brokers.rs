//! The brokers the suite runs on.

#[cfg(feature = "remote")]
use std::io::Write;
#[cfg(feature = "remote")]
use std::path::Path;
#[cfg(feature = "remote")]
use std::process::{Child, Command, Stdio};
#[cfg(feature = "remote")]
use std::time::Duration;

use hitherto::Broker;
#[cfg(feature = "remote")]
use tempfile::TempDir;

/// A broker for one test, gone with it.
pub(crate) struct TestBroker {
    pub(crate) broker: Broker,
    #[cfg(feature = "remote")]
    _server: Option<Server>,
}

/// Starts a broker in memory.
#[cfg(feature = "embedded")]
pub(crate) async fn in_memory() -> Option<TestBroker> {
    let broker = Broker::in_memory().await.unwrap();
    Some(TestBroker {
        broker,
        #[cfg(feature = "remote")]
        _server: None,
    })
}

/// A NATS server: `HITHERTO_NATS_SERVER` names the binary, 2.12 or later.
#[cfg(feature = "remote")]
pub(crate) async fn nats_server() -> Option<TestBroker> {
    remote("HITHERTO_NATS_SERVER", |command, dir| {
        command
            .args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"])
            .arg(dir);
        command.arg("--ports_file_dir").arg(dir);
    })
    .await
}

/// Hitherto as a process: `HITHERTO_SERVER` names the binary.
#[cfg(feature = "remote")]
pub(crate) async fn hitherto_server() -> Option<TestBroker> {
    remote("HITHERTO_SERVER", |command, dir| {
        command
            .args(["serve", "--port", "0", "--store-dir"])
            .arg(dir.join("data"));
        command.arg("--ports-file").arg(dir.join("hitherto.ports"));
    })
    .await
}

/// Starts the server a variable names and connects; `None`, loudly, when it names none.
#[cfg(feature = "remote")]
async fn remote(variable: &str, arguments: impl FnOnce(&mut Command, &Path)) -> Option<TestBroker> {
    let Some(binary) = std::env::var_os(variable) else {
        // Straight to the file: the test harness hides what tests that pass print.
        let text = format!("SKIPPED on a server process: {variable} does not name a binary\n");
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary);
    arguments(&mut command, dir.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let process = command.spawn().unwrap();
    let server = Server { process, dir };
    let url = tokio::time::timeout(Duration::from_secs(10), ports_file(server.dir.path())).await;
    let url = url.expect("the server writes its ports within 10 s");
    let broker = Broker::connect(&url).await.unwrap();
    Some(TestBroker {
        broker,
        _server: Some(server),
    })
}

#[cfg(feature = "remote")]
struct Server {
    process: Child,
    dir: TempDir,
}

#[cfg(feature = "remote")]
impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Waits until the server has written where it listens.
#[cfg(feature = "remote")]
async fn ports_file(dir: &Path) -> String {
    loop {
        let files = std::fs::read_dir(dir).unwrap().filter_map(Result::ok);
        let ports = files.map(|file| file.path()).find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "ports")
        });
        let text = ports.and_then(|path| std::fs::read_to_string(path).ok());
        let ports: serde_json::Value =
            serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
        if let Some(url) = ports["nats"][0].as_str() {
            return url.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
