//! A broker as a process: log, process id, ports, signals.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hitherto_broker::config::{ProcessOptions, ServerOptions};
use hitherto_broker::{NATS_VERSION, Node};

use super::log::{Form, Log};
use super::open_files::OpenFiles;
use super::ports::PortsFile;
use super::signals::{Signal, Signals};

/// Reads the configuration file, if there is one, and the command line.
pub(super) type Load = Box<dyn Fn() -> anyhow::Result<ServerOptions> + Send + Sync>;

/// What is to run, and how it presents itself.
pub(super) struct Process {
    /// What to run.
    pub(super) options: ServerOptions,
    /// Reads the options again.
    pub(super) load: Load,
    /// How its log looks.
    pub(super) form: Form,
    /// A ports file under a name the user chose, beside the one in `ports_file_dir`.
    pub(super) ports_file: Option<PathBuf>,
}

impl Process {
    /// Runs the broker until a signal ends it.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        let log = Log::start(self.form, &self.options.process)?;
        let open_files = OpenFiles::raise();
        open_files.hold(&mut self.options);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        runtime.block_on(self.serve(&log, open_files))
    }

    async fn serve(self, log: &Log, open_files: OpenFiles) -> anyhow::Result<()> {
        // Before anything else, so that an early signal is not missed.
        let mut signals = Signals::new().context("cannot listen for signals")?;
        self.log_heading();
        let config = self.options.node_config()?;
        if let Some(path) = &self.options.process.pid_file {
            write_pid_file(path)?;
        }
        let mut node = Node::start(config).await?;
        let ports_files = self.write_ports_files(&node)?;
        let mut reloads = node.reload_requests();
        loop {
            // Both only wait, and take nothing when they are given up.
            let signal = tokio::select! {
                signal = signals.next() => signal,
                Some(request) = reloads.next() => {
                    request.answer(self.reload(&node, log, open_files));
                    continue;
                }
            };
            match signal {
                Signal::Stop(name) => {
                    tracing::info!("Initiating Shutdown: {name}");
                    break;
                }
                Signal::LameDuck => {
                    drop(reloads);
                    // A second signal ends the waiting.
                    tokio::select! {
                        ended = node.lame_duck() => ended?,
                        () = signals.stop() => {}
                    }
                    break;
                }
                Signal::ReopenLog => log.reopen(),
                // What went wrong is in the log.
                Signal::Reload => drop(self.reload(&node, log, open_files)),
            }
        }
        node.shutdown().await?;
        drop(ports_files);
        Ok(())
    }

    /// Goes by what the configuration file says now, and tells the log. Nothing changes when it cannot be
    /// used.
    fn reload(&self, node: &Node, log: &Log, open_files: OpenFiles) -> Result<(), String> {
        match self.read_again(node, log, open_files) {
            Ok(()) => {
                tracing::info!("Reloaded server configuration");
                Ok(())
            }
            Err(error) => {
                tracing::error!("Failed to reload server configuration: {error:#}");
                Err(format!("{error:#}"))
            }
        }
    }

    fn read_again(&self, node: &Node, log: &Log, open_files: OpenFiles) -> anyhow::Result<()> {
        let mut options = (self.load)()?;
        open_files.hold(&mut options);
        node.reload(options.node_config()?)?;
        log.set_level(&options.process);
        Ok(())
    }

    /// The first lines of the log; launchers look for some of them.
    fn log_heading(&self) {
        let version = env!("CARGO_PKG_VERSION");
        match self.form {
            Form::Ours => {
                tracing::info!("Starting hitherto");
                tracing::info!("  Version:  {version}");
                tracing::info!("  NATS:     {NATS_VERSION}");
            }
            Form::NatsServer => {
                tracing::info!("Starting nats-server (hitherto {version})");
                tracing::info!("  Version:  {NATS_VERSION}");
            }
        }
        if let Some(cluster) = &self.options.cluster {
            tracing::info!("  Cluster:  {}", cluster.name());
        }
        for setting in self.options.without_effect() {
            tracing::warn!("{setting}");
        }
        if self.options.jetstream {
            let dir = self.options.store_dir.join("jetstream");
            tracing::info!("  Store Directory: \"{}\"", dir.display());
        }
    }

    fn write_ports_files(&self, node: &Node) -> anyhow::Result<Vec<PortsFile>> {
        let mut files = Vec::new();
        if let Some(path) = &self.ports_file {
            files.push(PortsFile::write(path, node)?);
        }
        if let ProcessOptions {
            ports_file_dir: Some(folder),
            ..
        } = &self.options.process
        {
            files.push(PortsFile::write_in(folder, &super::program(), node)?);
        }
        Ok(files)
    }
}

/// As nats-server: a bare number, and the file stays when the process ends.
fn write_pid_file(path: &Path) -> anyhow::Result<()> {
    fs::write(path, std::process::id().to_string())
        .with_context(|| format!("cannot write the pid file {}", path.display()))
}
