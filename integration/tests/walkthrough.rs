//! The walkthrough of the book, as a reader follows it: the example's steps against both servers, and
//! what the page shows besides: the health page, the report of streams, the check of the store.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hitherto_integration::{Server, on_both_servers, programs};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

/// How long the broker may take until it is ready, or until it has ended.
const PATIENCE: Duration = Duration::from_secs(30);

async fn every_step_prints_what_the_book_shows(server: &mut Server) -> Result<()> {
    let said = walk(&server.url()).await?;
    let expected = programs::repository().join("examples/jetstream-walkthrough/output.txt");
    let expected: String = fs::read_to_string(&expected)?
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("ANCHOR"))
        .collect();
    ensure!(
        said == expected,
        "printed:\n{said}\nthe book shows:\n{expected}"
    );
    Ok(())
}

on_both_servers!(every_step_prints_what_the_book_shows);

/// The commands of the page, in its order.
#[tokio::test]
async fn the_commands_of_the_page_work() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("data");
    let ports = folder.path().join("ports.json");
    let mut broker = Command::new(programs::hitherto()?)
        .args(["serve", "--port", "0", "--http-port", "0", "--store-dir"])
        .arg(&store)
        .arg("--ports-file")
        .arg(&ports)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("starting the broker")?;
    let addresses = addresses(&ports, &mut broker).await?;
    walk(&format!("nats://{}", addresses.nats)).await?;
    let health = page(addresses.monitoring, "/healthz")?;
    ensure!(health["status"] == "ok", "{health}");
    let report = page(addresses.monitoring, "/jsz?streams=1&consumers=1")?;
    ensure!(
        report["streams"] == 0,
        "the walk leaves nothing behind: {report}"
    );
    stop(&mut broker).await?;
    let check = Command::new(programs::hitherto()?)
        .arg("check")
        .arg(&store)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&check.stdout);
    ensure!(check.status.success(), "{}\n{said}", check.status);
    Ok(())
}

/// Runs the example; what it printed.
async fn walk(url: &str) -> Result<String> {
    let output = Command::new(programs::walkthrough()?)
        .arg(url)
        .stderr(Stdio::inherit())
        .output()
        .await
        .context("starting the walkthrough")?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{}\n{said}", output.status);
    Ok(said)
}

struct Addresses {
    nats: SocketAddr,
    monitoring: SocketAddr,
}

/// Waits for the ports file, which the broker writes when it is ready.
async fn addresses(ports: &Path, broker: &mut Child) -> Result<Addresses> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Ok(text) = fs::read(ports)
            && let Ok(value) = serde_json::from_slice::<Value>(&text)
        {
            let address = |name: &str| -> Result<SocketAddr> {
                let url = value[name][0]
                    .as_str()
                    .with_context(|| format!("no {name} in {value}"))?;
                let (_, addr) = url.split_once("://").context("an address is a URL")?;
                Ok(addr.parse()?)
            };
            return Ok(Addresses {
                nats: address("nats")?,
                monitoring: address("monitoring")?,
            });
        }
        if let Some(status) = broker.try_wait()? {
            bail!("the broker ended with {status} at its start");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("the broker was not ready after {PATIENCE:?}")
}

async fn stop(broker: &mut Child) -> Result<()> {
    let pid = broker
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    kill_process(pid.context("the broker runs")?, Signal::TERM)?;
    let status = tokio::time::timeout(PATIENCE, broker.wait()).await??;
    ensure!(
        status.success(),
        "the broker ended with {status} after SIGTERM"
    );
    Ok(())
}

/// What `curl` shows of a page of the monitoring.
fn page(addr: SocketAddr, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer has a body")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    serde_json::from_str(body).with_context(|| format!("{path}: {body}"))
}
