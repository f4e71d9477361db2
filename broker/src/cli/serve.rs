//! `hitherto serve`: a broker as a process.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Args;
use hitherto_broker::config::{ByteSize, ServerOptions};

use super::cluster_flags::ClusterFlags;
use super::log::Form;
use super::process::{Load, Process};

const EXAMPLES: &str = "\
Examples:
  hitherto serve
      Listen on 127.0.0.1:4222 and keep the data in ./data
  hitherto serve --host 0.0.0.0 --store-dir /var/lib/hitherto --name orders-1
      Let other machines connect. Without users in a configuration file, everybody may
  hitherto serve --config server.conf
      Read the address, users, limits and more from a file; it has the format of nats-server
  hitherto serve --port 0 --ports-file ports.json
      Take a free port and write it to a file, for tests
  hitherto serve --name n2 --port 4223 --store-dir n2 --cluster nats://127.0.0.1:6223 --routes nats://127.0.0.1:6222
      Be a node of a cluster and look for the node at port 6222
  RUST_LOG=hitherto_broker=debug hitherto serve
      Log every connection

It stops on SIGINT (Ctrl-C) and SIGTERM.

The flags of nats-server work too, without a command: `hitherto -js -sd DIR`.";

/// The arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// Configuration file, in the format of nats-server; flags count more than the file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    // Differs from nats-server, which listens on all addresses: who wants to be reached says so.
    /// Address to listen on; 0.0.0.0 for all of this machine's [default: 127.0.0.1]
    #[arg(long)]
    host: Option<IpAddr>,
    /// Port to listen on; 0 for a free one [default: 4222]
    #[arg(short, long)]
    port: Option<u16>,
    /// Folder for the data; made if it does not exist [default: ./data]
    #[arg(long, value_name = "DIR")]
    store_dir: Option<PathBuf>,
    /// Name of the server as clients see it; by default its id
    #[arg(short, long)]
    name: Option<String>,
    /// Largest message, headers and payload together, in bytes or as 8mb [default: 1MiB]
    #[arg(long, value_name = "BYTES")]
    max_payload: Option<ByteSize>,
    /// Most memory the indexes of all streams may take, in bytes or as 512MiB; what is older goes to disk
    /// [default: 2GiB]
    #[arg(long, value_name = "BYTES")]
    max_index_bytes: Option<ByteSize>,
    /// Port for monitoring over HTTP; 0 for a free one. Without it there is no monitoring
    #[arg(short = 'm', long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Address to listen on for other nodes, nats://HOST:PORT; port 0 for a free one. Makes it a node of a
    /// cluster
    #[arg(long, value_name = "URL", visible_alias = "cluster_listen")]
    cluster: Option<String>,
    /// Name of the cluster, the same on all its nodes [default: default]
    #[arg(long, value_name = "NAME", alias = "cluster_name")]
    cluster_name: Option<String>,
    /// Addresses of other nodes, nats://HOST:PORT,...; one that runs is enough
    #[arg(long, value_name = "URLS")]
    routes: Option<String>,
    /// Address other nodes are told to connect to, where it is not the one to listen on
    #[arg(long, value_name = "HOST:PORT", alias = "cluster_advertise")]
    cluster_advertise: Option<String>,
    /// Do not tell clients of the other nodes, nor other nodes of the address for clients
    #[arg(long, alias = "no_advertise")]
    no_advertise: bool,
    /// How often an address that other nodes told is tried again [default: 5]
    #[arg(long, value_name = "NUMBER", alias = "connect_retries")]
    connect_retries: Option<u32>,
    /// File to write the address to as JSON once the broker is ready, like the ports file of nats-server
    #[arg(long, value_name = "FILE")]
    ports_file: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        let ports_file = self.ports_file.take();
        let load: Load = Box::new(move || self.load());
        let process = Process {
            options: load()?,
            load,
            form: Form::Ours,
            ports_file,
        };
        process.run()
    }

    fn load(&self) -> anyhow::Result<ServerOptions> {
        let mut options = ServerOptions::default();
        options.jetstream = true;
        options.host = Ipv4Addr::LOCALHOST.to_string();
        options.store_dir = "./data".into();
        if let Some(config) = &self.config {
            options.read_file(config)?;
        }
        if let Some(host) = self.host {
            options.host = host.to_string();
        }
        if let Some(port) = self.port {
            options.port = port;
        }
        if let Some(folder) = &self.store_dir {
            options.store_dir.clone_from(folder);
        }
        if self.name.is_some() {
            options.server_name.clone_from(&self.name);
        }
        if let Some(bytes) = self.max_payload {
            options.set_max_payload(usize::try_from(bytes.0).unwrap_or(usize::MAX));
        }
        if let Some(bytes) = self.max_index_bytes {
            options.index_bytes_max = bytes.0;
        }
        if self.http_port.is_some() {
            options.http_port = self.http_port;
        }
        if self.cluster.is_some() {
            options.cluster.get_or_insert_default();
        }
        let flags = ClusterFlags {
            listen: self.cluster.as_deref(),
            name: self.cluster_name.as_deref(),
            routes: self.routes.as_deref(),
            advertise: self.cluster_advertise.as_deref(),
            no_advertise: self.no_advertise.then_some(true),
            connect_retries: self.connect_retries,
        };
        flags.apply(&mut options, "--cluster")?;
        Ok(options)
    }
}
