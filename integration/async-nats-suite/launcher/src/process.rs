//! One process of the server under test: started, watched until it listens, killed on drop.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::recorder;

/// Names the program to start.
const PROGRAM_VARIABLE: &str = "HITHERTO_SUITE_SERVER";

/// What the log says before the address of the listener for clients.
const LISTENING: &str = "Listening for client connections on ";

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often its log is read until then.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A running server; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Where it listens for clients.
    port: u16,
}

impl Process {
    /// Starts the server with its store, log and pid file in `folder`.
    ///
    /// # Panics
    ///
    /// When it does not listen in time: the test that needs it fails with the log.
    pub(crate) fn start(folder: &Path, arguments: &[String]) -> Self {
        let program = std::env::var_os(PROGRAM_VARIABLE)
            .unwrap_or_else(|| panic!("{PROGRAM_VARIABLE} names no server to test"));
        let log = folder.join("server.log");
        // A log of an earlier process would name the port of that one.
        fs::remove_file(&log).ok();
        let child = Command::new(program)
            .arg("--store_dir")
            .arg(folder.join("store"))
            .arg("-l")
            .arg(&log)
            .arg("-P")
            .arg(folder.join("server.pid"))
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("the server under test is a program that can be started");
        let mut process = Self { child, port: 0 };
        process.port = process.wait_until_listening(&log);
        recorder::start(process.port);
        process
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Sends `signal` to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id is a small number");
        let pid = Pid::from_raw(pid).expect("a process id is not 0");
        kill_process(pid, signal).expect("the server runs");
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(&mut self) {
        self.child.wait().expect("the server is our child");
    }

    fn wait_until_listening(&mut self, log: &Path) -> u16 {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let text = fs::read_to_string(log).unwrap_or_default();
            if let Some(port) = listening_port(&text) {
                return port;
            }
            if let Some(status) = self.child.try_wait().expect("the server is our child") {
                panic!("the server ended with {status} at its start\n{text}");
            }
            thread::sleep(POLL_INTERVAL);
        }
        let text = fs::read_to_string(log).unwrap_or_default();
        panic!("the log does not say {LISTENING:?} after {PATIENCE:?}\n{text}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended on its own, which is what a drop wants.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The port of the first whole line that says where clients may connect.
fn listening_port(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once(LISTENING)?;
    let (addr, _) = rest.split_once('\n')?;
    addr.trim_end().rsplit_once(':')?.1.parse().ok()
}
