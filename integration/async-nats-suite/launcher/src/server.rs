//! One server with a folder of its own.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::Process;

/// A running server; dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct Server {
    arguments: Vec<String>,
    // Before the folder, so that the process has ended when its files are removed.
    process: Process,
    folder: TempDir,
}

/// Starts a server without a configuration file and without JetStream, on a free port.
pub fn run_basic_server() -> Server {
    run_server("")
}

/// Starts a server with a configuration file (none when empty), on a free port whatever it says.
pub fn run_server(config: &str) -> Server {
    run_server_with_port(config, None)
}

/// Starts a server with a configuration file (none when empty) on `port`, or on a free one.
pub fn run_server_with_port(config: &str, port: Option<&str>) -> Server {
    let mut arguments = vec!["-p".to_owned(), port.unwrap_or("-1").to_owned()];
    if !config.is_empty() {
        arguments.extend(["-c".to_owned(), config.to_owned()]);
    }
    Server::start(arguments)
}

/// Asks a server to send its clients elsewhere before it ends.
pub fn set_lame_duck_mode(server: &Server) {
    server.process.signal(Signal::USR2);
}

impl Server {
    pub(crate) fn start(arguments: Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
        Self {
            process: Process::start(folder.path(), &arguments),
            arguments,
            folder,
        }
    }

    /// Kills the server and starts it again on its store; on its port too when that was given.
    pub fn restart(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.wait();
        self.process = Process::start(self.folder.path(), &self.arguments);
    }

    /// Where clients connect, with the scheme that the server's greeting asks for.
    ///
    /// The host is a name, since the certificates of the tests are for `localhost`.
    pub fn client_url(&self) -> String {
        let port = self.client_port();
        let stream = TcpStream::connect(("localhost", port)).expect("the server listens");
        let mut greeting = String::new();
        BufReader::new(stream)
            .read_line(&mut greeting)
            .expect("the server greets a connection");
        let info = greeting.strip_prefix("INFO ").expect("a greeting is INFO");
        let info: serde_json::Value = serde_json::from_str(info).expect("INFO carries JSON");
        let tls = info["tls_required"].as_bool().unwrap_or(false);
        format!("{}://localhost:{port}", if tls { "tls" } else { "nats" })
    }

    /// The port where clients connect.
    pub fn client_port(&self) -> u16 {
        self.process.port()
    }
}
