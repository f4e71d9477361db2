//! Arguments.

use std::path::PathBuf;

use clap::Parser;
use order_service::generate::SEED;

const EXAMPLES: &str = "\
Examples:
  order-service                                     import the commands that come with it
  order-service                                     again: nothing is applied twice
  order-service --commands my.jsonl                 import your own
  order-service --rebuild                           make the read models anew and compare
  order-service --serve                             answer HTTP on 127.0.0.1:8080
  order-service --broker nats://127.0.0.1:4222      run on a broker of its own
  order-service generate --seed 7 > commands.jsonl  make a command file";

/// Decides order commands on an embedded event store, each exactly once.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Where the embedded broker and the read models live.
    #[arg(long, value_name = "DIR", default_value = "./data/order-service")]
    pub(crate) data: PathBuf,

    /// Run on this broker (Hitherto or NATS 2.12 or later with JetStream) instead of the embedded one.
    #[arg(long, value_name = "URL")]
    pub(crate) broker: Option<String>,

    /// Commands to import, one JSON object per line [default: those that come with the program].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rebuild", "serve"])]
    pub(crate) commands: Option<PathBuf>,

    /// Print the result as one JSON object.
    #[arg(long, conflicts_with = "serve")]
    pub(crate) json: bool,

    /// Make the read models anew from the log beside the old ones, and compare both.
    #[arg(long, conflicts_with = "serve")]
    pub(crate) rebuild: bool,

    /// Answer HTTP instead of importing. Port 0 picks a free one.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:8080")]
    pub(crate) serve: Option<String>,

    #[command(subcommand)]
    pub(crate) subcommand: Option<Subcommand>,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Print a command file; the same seed gives the same file.
    Generate {
        /// Any number.
        #[arg(long, default_value_t = SEED)]
        seed: u64,
    },
}

impl Args {
    /// Returns the folder for what belongs to the chosen broker: positions of one log mean nothing
    /// in another.
    pub(crate) fn folder(&self) -> PathBuf {
        let Some(url) = &self.broker else {
            return self.data.join("embedded");
        };
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        };
        self.data.join(url.chars().map(plain).collect::<String>())
    }
}
