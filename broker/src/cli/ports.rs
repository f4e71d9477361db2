//! The ports file: how a launcher learns the ports a server has chosen. JSON, as nats-server writes it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hitherto_broker::Node;
use serde_json::{Map, Value, json};

/// A ports file; removed when it is dropped, so that whoever waits for the next one does not find it.
#[derive(Debug)]
pub(super) struct PortsFile(PathBuf);

impl PortsFile {
    /// `<program>_<pid>.ports` in a folder.
    pub(super) fn write_in(folder: &Path, program: &str, node: &Node) -> anyhow::Result<Self> {
        let name = format!("{program}_{}.ports", std::process::id());
        Self::write(&folder.join(name), node)
    }

    /// Written under another name and renamed, so that nobody reads half of it.
    pub(super) fn write(path: &Path, node: &Node) -> anyhow::Result<Self> {
        let ports = ports(node).to_string();
        replace(path, &ports)
            .with_context(|| format!("cannot write the ports file {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PortsFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    fs::write(&unfinished, format!("{text}\n"))?;
    fs::rename(&unfinished, path)
}

/// `{"nats":["nats://127.0.0.1:4222"],"monitoring":["http://127.0.0.1:8222"]}`.
fn ports(node: &Node) -> Value {
    let mut ports = Map::new();
    if let Some(addr) = node.listen_addr() {
        ports.insert("nats".into(), urls("nats", addr));
    }
    if let Some(addr) = node.http_addr() {
        ports.insert("monitoring".into(), urls("http", addr));
    }
    if let Some(addr) = node.cluster_addr() {
        ports.insert("cluster".into(), urls("nats", addr));
    }
    Value::Object(ports)
}

/// Where a local client reaches a listener. Differs from nats-server, which lists the addresses of all
/// network interfaces when it listens on all of them: only the loopback addresses are listed here.
fn urls(scheme: &str, addr: SocketAddr) -> Value {
    let url = |ip: IpAddr| format!("{scheme}://{}", SocketAddr::new(ip, addr.port()));
    let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
    match addr.ip() {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => json!([url(v4), url(Ipv6Addr::LOCALHOST.into())]),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => json!([url(v4)]),
        ip => json!([url(ip)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_told_as_loopback() {
        let urls = |addr: &str| urls("nats", addr.parse().unwrap());
        assert_eq!(
            urls("[::]:7"),
            json!(["nats://127.0.0.1:7", "nats://[::1]:7"])
        );
        assert_eq!(urls("0.0.0.0:7"), json!(["nats://127.0.0.1:7"]));
        assert_eq!(urls("10.0.0.1:7"), json!(["nats://10.0.0.1:7"]));
    }
}
