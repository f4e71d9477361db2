//! The brokers the suite runs on.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hitherto::Broker;
use tempfile::TempDir;

/// Names a nats-server binary, 2.12 or later.
pub(crate) const NATS_SERVER: &str = "HITHERTO_TEST_NATS_SERVER";

/// A broker for one test, gone with it.
pub(crate) struct TestBroker {
    pub(crate) broker: Broker,
    _server: Option<NatsServer>,
}

/// Starts a broker in memory.
#[cfg(feature = "embedded")]
pub(crate) async fn in_memory() -> Option<TestBroker> {
    let broker = Broker::in_memory().await.unwrap();
    Some(TestBroker {
        broker,
        _server: None,
    })
}

/// Starts a NATS server of its own and connects; `None`, loudly, when there is none.
pub(crate) async fn nats_server() -> Option<TestBroker> {
    let Some(binary) = std::env::var_os(NATS_SERVER) else {
        // Straight to the file: the test harness hides what tests that pass print.
        let text = format!("SKIPPED on a NATS server: {NATS_SERVER} does not name a nats-server\n");
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return None;
    };
    let server = NatsServer::start(binary.into()).await;
    let broker = Broker::connect(&server.url).await.unwrap();
    Some(TestBroker {
        broker,
        _server: Some(server),
    })
}

struct NatsServer {
    process: Child,
    url: String,
    _dir: TempDir,
}

impl NatsServer {
    async fn start(binary: PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let process = Command::new(binary)
            .args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"])
            .arg(dir.path())
            .arg("--ports_file_dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = tokio::time::timeout(Duration::from_secs(10), ports_file(dir.path())).await;
        Self {
            process,
            url: url.expect("nats-server writes its ports within 10 s"),
            _dir: dir,
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Waits until the server has written where it listens.
async fn ports_file(dir: &std::path::Path) -> String {
    loop {
        let files = std::fs::read_dir(dir).unwrap().filter_map(Result::ok);
        let ports = files.map(|file| file.path()).find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "ports")
        });
        let text = ports
            .and_then(|path| std::fs::read_to_string(path).ok())
            .unwrap_or_default();
        let ports: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(url) = ports["nats"][0].as_str() {
            return url.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
