//! Starts the server under test for the tests that async-nats publishes in its package.
//!
//! They import a crate of this name, which is not published; its functions are written here anew,
//! after what the tests expect of them. `HITHERTO_SUITE_SERVER` names the program: ours, or a stock
//! nats-server. It is started with nats-server's own flags and is ready when its log says where it
//! listens, so every run of the suite also proves both.

mod cluster;
mod process;
mod recorder;
mod server;

pub use cluster::{Cluster, run_cluster};
pub use server::{
    Server, run_basic_server, run_server, run_server_with_port, set_lame_duck_mode,
};
