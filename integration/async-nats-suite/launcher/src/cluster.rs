//! Three servers that know each other by routes; only a server that speaks them can run this.

use std::net::TcpListener;

use crate::server::Server;

/// How many servers a cluster has.
const SERVERS: usize = 3;

/// A running cluster; dropping it ends its servers.
#[derive(Debug)]
pub struct Cluster {
    /// Its servers, in the order of their start.
    pub servers: Vec<Server>,
}

/// Starts a cluster of three servers with the same configuration file.
pub fn run_cluster(config: &str) -> Cluster {
    let ports = free_ports();
    let routes: Vec<String> = ports.iter().map(|port| route(*port)).collect();
    let start = |(number, port): (usize, &u16)| {
        Server::start(
            [
                "-p",
                "-1",
                "-c",
                config,
                "-n",
                &format!("node{number}"),
                "--cluster_name",
                "suite",
                "--cluster",
                &route(*port),
                "--routes",
                &routes.join(","),
            ]
            .map(str::to_owned)
            .to_vec(),
        )
    };
    Cluster {
        servers: ports.iter().enumerate().map(start).collect(),
    }
}

impl Cluster {
    /// Where clients connect to the first server.
    pub fn client_url(&self) -> String {
        self.servers[0].client_url()
    }
}

fn route(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

/// Ports that were free a moment ago: each server must be told those of the others.
fn free_ports() -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..SERVERS)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a port is free"))
        .collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    listeners.iter().map(port).collect()
}
