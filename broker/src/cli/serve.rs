//! `hitherto serve`: a broker as a process.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hitherto_broker::{NATS_VERSION, Node, NodeConfig};

const EXAMPLES: &str = "\
Examples:
  hitherto serve
      Listen on 127.0.0.1:4222 and keep the data in ./data
  hitherto serve --host 0.0.0.0 --store-dir /var/lib/hitherto --name orders-1
      Let other machines connect. There is no authentication yet: keep the port behind a firewall
  hitherto serve --port 0 --ports-file ports.json
      Take a free port and write it to a file, for tests
  RUST_LOG=hitherto_broker=debug hitherto serve
      Log every connection

It stops on SIGINT (Ctrl-C) and SIGTERM.";

/// The arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    // Differs from nats-server, which listens on all addresses: there is no authentication yet.
    /// Address to listen on; 0.0.0.0 for all of this machine's
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 for a free one
    #[arg(short, long, default_value_t = 4222)]
    port: u16,
    /// Folder for the data; made if it does not exist
    #[arg(long, value_name = "DIR", default_value = "./data")]
    store_dir: PathBuf,
    /// Name of the server as clients see it; by default its id
    #[arg(short, long)]
    name: Option<String>,
    /// Largest message in bytes, headers and payload together
    #[arg(long, value_name = "BYTES", default_value_t = hitherto_broker::config::MAX_PAYLOAD)]
    max_payload: usize,
    /// Most memory the indexes of all streams may take, in bytes; beyond it publishes are refused
    #[arg(long, value_name = "BYTES", default_value_t = hitherto_broker::config::MAX_INDEX_BYTES)]
    max_index_bytes: u64,
    /// File to write the address to as JSON once the broker is ready, like the ports file of nats-server
    #[arg(long, value_name = "FILE")]
    ports_file: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<()> {
        // Before anything else, so that an early signal is not missed.
        let interrupted = interrupted().context("cannot listen for signals")?;
        tracing::info!("Starting hitherto");
        tracing::info!("  Version:  {}", env!("CARGO_PKG_VERSION"));
        tracing::info!("  NATS:     {NATS_VERSION}");
        tracing::info!("  Store Directory: \"{}\"", self.store_dir.display());

        let node = Node::start(self.config()).await?;
        if let (Some(path), Some(addr)) = (&self.ports_file, node.listen_addr()) {
            write_ports_file(path, addr)
                .with_context(|| format!("cannot write the ports file {}", path.display()))?;
        }
        let signal = interrupted.await;
        tracing::info!("Initiating Shutdown: {signal}");
        node.shutdown().await?;
        if let Some(path) = &self.ports_file {
            // Whoever waits for the file of the next run should not find this one.
            fs::remove_file(path).ok();
        }
        Ok(())
    }

    fn config(&self) -> NodeConfig {
        let config = NodeConfig::new(&self.store_dir)
            .listen(SocketAddr::new(self.host, self.port))
            .max_payload(self.max_payload)
            .max_index_bytes(self.max_index_bytes);
        match &self.name {
            Some(name) => config.server_name(name),
            None => config,
        }
    }
}

/// `{"nats":["nats://127.0.0.1:4222"]}`. Written under another name and renamed, so that nobody reads half
/// of it.
fn write_ports_file(path: &Path, addr: SocketAddr) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    fs::write(&unfinished, format!("{{\"nats\":[\"nats://{addr}\"]}}\n"))?;
    fs::rename(&unfinished, path)
}

/// Registers for SIGINT and SIGTERM; the future ends with the first one's name.
#[cfg(unix)]
fn interrupted() -> io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        // Either ends the program.
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "the same form as on unix")]
fn interrupted() -> io::Result<impl Future<Output = &'static str>> {
    Ok(async {
        tokio::signal::ctrl_c().await.ok();
        "Ctrl-C"
    })
}
