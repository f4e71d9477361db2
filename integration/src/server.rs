//! A broker as a process: started on a free port, watched until it is ready, killed on drop.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::wiretap::Wiretap;
use crate::{programs, skip};

/// How long a server may take until it answers, or until it ends after a signal.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition outside this process is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// How much of its log a failed test shows.
const LOG_SHOWN_BYTES: usize = 16 * 1024;

/// Which server a test talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours: `hitherto serve`.
    Hitherto,
    /// A stock nats-server with its defaults.
    NatsServer,
    /// A stock nats-server that syncs before each ack (`sync_interval: always`).
    NatsServerSynced,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hitherto => "hitherto",
            Self::NatsServer => "nats-server",
            Self::NatsServerSynced => "nats-server, sync always",
        })
    }
}

/// A running server with a folder of its own.
///
/// Dropping it kills the process and removes the folder; when the thread is panicking, the end of
/// its log is shown first. What our server told meanwhile is held against the published schemas, and
/// dropping it panics when something of that has another shape.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    program: PathBuf,
    /// Ports files and the log.
    folder: TempDir,
    store: PathBuf,
    addr: SocketAddr,
    child: Child,
    /// Listens to what it tells; only to ours, and only where the schemas are.
    wiretap: Option<Wiretap>,
    /// Which node of a cluster it is; `None` on its own.
    member: Option<Member>,
    /// How often the process was started; each start has its own ports folder, so that a file of an
    /// earlier process is never taken for the new one's.
    starts: u32,
}

/// What makes a server a node of a cluster.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where other nodes listen for it; empty for the first one.
    pub seeds: Vec<SocketAddr>,
    /// Where it listens for others; port 0 until it has chosen one, which it keeps when it is restarted.
    pub addr: SocketAddr,
}

impl Member {
    /// User and password that let a client into the system account of any node.
    pub const SYSTEM_USER: (&str, &str) = ("sys", "secret");

    /// A node of this name that takes a free port and knows these others.
    pub fn new(name: impl Into<String>, seeds: Vec<SocketAddr>) -> Self {
        Self {
            name: name.into(),
            seeds,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

/// Name of the clusters of tests.
const CLUSTER: &str = "tested";

/// The configuration of every node of a cluster: clients need no credentials, and who has some sees the
/// system account.
const MEMBER_CONFIG: &str = "\
accounts {
  $SYS { users: [ { user: sys, password: secret } ] }
  APP { users: [ { user: app, password: app } ] }
}
no_auth_user: app
";

/// The same with JetStream: nats-server refuses it where the first node looks for nobody.
const MEMBER_CONFIG_JETSTREAM: &str = "\
accounts {
  $SYS { users: [ { user: sys, password: secret } ] }
  APP { jetstream: enabled, users: [ { user: app, password: app } ] }
}
no_auth_user: app
jetstream: enabled
";

/// Runs one test body against a fresh server of `kind`, or skips it loudly.
///
/// # Panics
///
/// When the server does not start or the body fails: that is the test failing.
pub async fn run<F>(kind: Kind, body: F)
where
    F: AsyncFnOnce(&mut Server) -> Result<()>,
{
    let program = match kind_program(kind) {
        Ok(Some(program)) => program,
        Ok(None) => {
            let why = format!("{} names no nats-server", programs::NATS_SERVER_VARIABLE);
            return skip::loudly(&skip::test_name(), &why);
        }
        Err(error) => panic!("{error:?}"),
    };
    let mut server = match Server::start(kind, program, &std::env::temp_dir()).await {
        Ok(server) => server,
        Err(error) => panic!("{error:?}"),
    };
    if let Err(error) = body(&mut server).await {
        panic!("against {kind}: {error:?}");
    }
}

/// The program of `kind`; `None` when it is a stock server and none is installed.
///
/// # Errors
///
/// When ours does not build, or the environment names a file that is not there.
pub fn kind_program(kind: Kind) -> Result<Option<PathBuf>> {
    match kind {
        Kind::Hitherto => programs::hitherto().map(Some),
        Kind::NatsServer | Kind::NatsServerSynced => programs::nats_server(),
    }
}

impl Server {
    /// Starts `program` on a free port with an empty store in a new folder under `parent`.
    ///
    /// # Errors
    ///
    /// When the process cannot be started, ends, or is not ready in time; the text carries its log.
    pub async fn start(kind: Kind, program: PathBuf, parent: &Path) -> Result<Self> {
        let mut server = Self::start_unheard(kind, program, parent).await?;
        server.listen()?;
        Ok(server)
    }

    /// The same without a connection that listens: for who counts connections, or measures.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_unheard(kind: Kind, program: PathBuf, parent: &Path) -> Result<Self> {
        let folder = new_folder(parent)?;
        let store = folder.path().join("store");
        Self::start_in(kind, program, folder, store).await
    }

    /// Starts our broker on a store that exists, for example one an embedded broker wrote; the store
    /// stays when the server is dropped.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn open(store: PathBuf) -> Result<Self> {
        let folder = new_folder(&std::env::temp_dir())?;
        let program = programs::hitherto()?;
        let mut server = Self::start_in(Kind::Hitherto, program, folder, store).await?;
        server.listen()?;
        Ok(server)
    }

    fn listen(&mut self) -> Result<()> {
        if self.kind == Kind::Hitherto {
            self.wiretap = Wiretap::on(self.addr)?;
        }
        Ok(())
    }

    /// Starts a node of a cluster, without streams where it is a stock server: those would wait for a
    /// majority of nodes.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_member(kind: Kind, program: PathBuf, member: Member) -> Result<Self> {
        let folder = new_folder(&std::env::temp_dir())?;
        let store = folder.path().join("store");
        let mut server = Self::start_as(kind, program, (folder, store), Some(member)).await?;
        let ports = ports_folder(server.folder.path(), server.starts);
        let addr = read_ports(&ports, "cluster", "nats://");
        let addr = addr.context("the ports file names no address for other nodes")?;
        server
            .member
            .as_mut()
            .context("it is a node of a cluster")?
            .addr = addr;
        Ok(server)
    }

    /// Where other nodes find it.
    ///
    /// # Errors
    ///
    /// When it is not a node of a cluster.
    pub fn cluster_addr(&self) -> Result<SocketAddr> {
        let member = self.member.as_ref();
        Ok(member.context("it is not a node of a cluster")?.addr)
    }

    async fn start_in(
        kind: Kind,
        program: PathBuf,
        folder: TempDir,
        store: PathBuf,
    ) -> Result<Self> {
        Self::start_as(kind, program, (folder, store), None).await
    }

    async fn start_as(
        kind: Kind,
        program: PathBuf,
        (folder, store): (TempDir, PathBuf),
        member: Option<Member>,
    ) -> Result<Self> {
        let start = Start {
            port: 0,
            number: 0,
            member: member.as_ref(),
        };
        let child = launch(kind, &program, folder.path(), &store, start)?;
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self {
            kind,
            program,
            folder,
            store,
            addr,
            child,
            wiretap: None,
            member,
            starts: 0,
        };
        server.addr = server.wait_until_ready().await?;
        Ok(server)
    }

    /// Which server this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where clients connect; the same after a restart.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as a URL for client libraries.
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr)
    }

    /// Where the monitoring pages are; another place after a restart.
    ///
    /// # Errors
    ///
    /// When the server has not said it.
    pub fn monitor_addr(&self) -> Result<SocketAddr> {
        let ports = ports_folder(self.folder.path(), self.starts);
        let addr = read_ports(&ports, "monitoring", "http://");
        addr.context("the ports file names no address for monitoring")
    }

    /// The process, for its figures under `/proc`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything the server wrote to its log since the first start.
    pub fn log(&self) -> String {
        let bytes = fs::read(log_path(self.folder.path())).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends the process at once, as a crash would: SIGKILL.
    ///
    /// # Errors
    ///
    /// When the process cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing the server")?;
        self.child.wait().context("waiting for the killed server")?;
        Ok(())
    }

    /// Asks the process to end and waits for it: SIGTERM.
    ///
    /// # Errors
    ///
    /// When it does not end in time or ends with a failure.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(wiretap) = &self.wiretap {
            wiretap.catch_up();
        }
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(
            pid.context("a process id is a positive number")?,
            Signal::TERM,
        )?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return self.check_exit(status);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        bail!(
            "{} did not end {PATIENCE:?} after SIGTERM\n{}",
            self.kind,
            self.log_end()
        )
    }

    /// Starts the process again on the same store and port, after [`kill`](Self::kill) or
    /// [`stop`](Self::stop), and waits until it is ready.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<()> {
        self.relaunch()?;
        self.wait_until_ready().await?;
        Ok(())
    }

    /// Starts the process again like [`restart`](Self::restart) but does not wait for it.
    ///
    /// # Errors
    ///
    /// When the process cannot be started.
    pub fn relaunch(&mut self) -> Result<()> {
        self.starts += 1;
        let start = Start {
            port: self.addr.port(),
            number: self.starts,
            member: self.member.as_ref(),
        };
        self.child = launch(
            self.kind,
            &self.program,
            self.folder.path(),
            &self.store,
            start,
        )?;
        Ok(())
    }

    /// Waits until the process has said its address and greets a connection there.
    async fn wait_until_ready(&mut self) -> Result<SocketAddr> {
        let ports = ports_folder(self.folder.path(), self.starts);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(addr) = read_ports(&ports, "nats", "nats://")
                && greets(addr).await
            {
                return Ok(addr);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended with {status} at its start\n{}",
                    self.kind,
                    self.log_end()
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        bail!(
            "{} was not ready after {PATIENCE:?}\n{}",
            self.kind,
            self.log_end()
        )
    }

    fn check_exit(&self, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        bail!(
            "{} ended with {status} after SIGTERM\n{}",
            self.kind,
            self.log_end()
        )
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let mut start = log.len().saturating_sub(LOG_SHOWN_BYTES);
        while !log.is_char_boundary(start) {
            start += 1;
        }
        format!(
            "--- log of {} (its end) ---\n{}--- end of log ---\n",
            self.kind,
            &log[start..]
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let heard = self.wiretap.take().map(|wiretap| {
            wiretap.catch_up();
            wiretap.faults()
        });
        // A process that has already ended cannot be killed, which is what was wanted.
        self.child.kill().ok();
        self.child.wait().ok();
        let faults = heard.unwrap_or_default();
        if std::thread::panicking() {
            std::io::stderr().write_all(self.log_end().as_bytes()).ok();
        } else {
            assert!(
                faults.is_empty(),
                "not as published:\n{}",
                faults.join("\n")
            );
        }
    }
}

/// One start of a process.
#[derive(Clone, Copy)]
struct Start<'a> {
    /// 0 means a free one.
    port: u16,
    number: u32,
    member: Option<&'a Member>,
}

fn new_folder(parent: &Path) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("hitherto-test-")
        .tempdir_in(parent)
        .with_context(|| format!("making a folder in {}", parent.display()))
}

fn launch(
    kind: Kind,
    program: &Path,
    folder: &Path,
    store: &Path,
    start: Start<'_>,
) -> Result<Child> {
    let ports = ports_folder(folder, start.number);
    fs::create_dir_all(&ports)?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(log_path(folder))?;
    let mut command = Command::new(program);
    match kind {
        Kind::Hitherto => hitherto_args(&mut command, &ports, start.port),
        Kind::NatsServer => {
            nats_server_args(&mut command, &ports, start.port);
            if start.member.is_none() {
                command.arg("-js");
            }
        }
        Kind::NatsServerSynced => {
            nats_server_args(&mut command, &ports, start.port);
            command.arg("-js");
            command.arg("-c").arg(synced_config(folder)?);
        }
    }
    if let Some(member) = start.member {
        let config = folder.join("member.conf");
        let text = match kind {
            Kind::Hitherto => MEMBER_CONFIG_JETSTREAM,
            Kind::NatsServer | Kind::NatsServerSynced => MEMBER_CONFIG,
        };
        fs::write(&config, text)?;
        command.arg("-c").arg(config);
        member_args(&mut command, kind, member);
    }
    command
        .arg(if kind == Kind::Hitherto {
            "--store-dir"
        } else {
            "--store_dir"
        })
        .arg(store);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    command
        .spawn()
        .with_context(|| format!("starting {}", program.display()))
}

fn hitherto_args(command: &mut Command, ports: &Path, port: u16) {
    command.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--http-port", "0"]);
    command
        .arg("--ports-file")
        .arg(ports.join("hitherto.ports"));
}

/// nats-server takes -1 for a free port and writes `<program>_<pid>.ports` into a folder.
fn nats_server_args(command: &mut Command, ports: &Path, port: u16) {
    let port = if port == 0 {
        "-1".to_owned()
    } else {
        port.to_string()
    };
    command.args(["-a", "127.0.0.1", "-p", &port, "-m", "-1"]);
    command.arg("--ports_file_dir").arg(ports);
}

/// Both take the same flags, but for how they spell them.
fn member_args(command: &mut Command, kind: Kind, member: &Member) {
    let port = match (member.addr.port(), kind) {
        (0, Kind::NatsServer | Kind::NatsServerSynced) => "-1".to_owned(),
        (port, _) => port.to_string(),
    };
    let name_flag = match kind {
        Kind::Hitherto => "--cluster-name",
        Kind::NatsServer | Kind::NatsServerSynced => "--cluster_name",
    };
    command.args(["--name", &member.name, name_flag, CLUSTER]);
    command.args(["--cluster", &format!("nats://127.0.0.1:{port}")]);
    let routes: Vec<_> = member
        .seeds
        .iter()
        .map(|seed| format!("nats://{seed}"))
        .collect();
    if !routes.is_empty() {
        command.args(["--routes", &routes.join(",")]);
    }
}

fn synced_config(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("synced.conf");
    fs::write(&path, "jetstream { sync_interval: always }\n")?;
    Ok(path)
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

fn ports_folder(folder: &Path, start: u32) -> PathBuf {
    folder.join(format!("ports-{start}"))
}

/// The first address of a listener in the ports file of `folder`; `None` while it is absent or half written.
fn read_ports(folder: &Path, listener: &str, scheme: &str) -> Option<SocketAddr> {
    let entry = fs::read_dir(folder).ok()?.next()?.ok()?;
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
    let address = ports[listener].get(0)?.as_str()?.strip_prefix(scheme)?;
    address.parse().ok()
}

/// Whether a server at `addr` sends the INFO that opens every connection.
async fn greets(addr: SocketAddr) -> bool {
    let Ok(mut socket) = TcpStream::connect(addr).await else {
        return false;
    };
    let mut greeting = [0; 5];
    let read = tokio::time::timeout(PATIENCE, socket.read_exact(&mut greeting)).await;
    matches!(read, Ok(Ok(_))) && &greeting == b"INFO "
}
