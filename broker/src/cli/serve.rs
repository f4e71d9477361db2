//! `hitherto serve`: a broker as a process.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use hitherto_broker::config::ServerOptions;

use super::log::Form;
use super::process::Process;

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

It stops on SIGINT (Ctrl-C) and SIGTERM.

The flags of nats-server work too, without a command: `hitherto -js -sd DIR`.";

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
    /// Port for monitoring over HTTP; 0 for a free one. Without it there is no monitoring
    #[arg(short = 'm', long, value_name = "PORT")]
    http_port: Option<u16>,
    /// File to write the address to as JSON once the broker is ready, like the ports file of nats-server
    #[arg(long, value_name = "FILE")]
    ports_file: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut options = ServerOptions::default();
        options.jetstream = true;
        options.host = self.host.to_string();
        options.port = self.port;
        options.store_dir = self.store_dir;
        options.server_name = self.name;
        options.index_bytes_max = self.max_index_bytes;
        options.http_port = self.http_port;
        options.set_max_payload(self.max_payload);
        let process = Process {
            options,
            form: Form::Ours,
            ports_file: self.ports_file,
        };
        process.run()
    }
}
