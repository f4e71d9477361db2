//! The broker runs in a container built from nothing but its own program and the shared libraries it
//! names.
//!
//! Needs a Docker daemon, but no registry; where none answers, the test says that it was skipped.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use hitherto_integration::client::{create_orders, create_worker, publish, pull, settle};
use hitherto_integration::{programs, skip};
use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::{AsyncBuilder, AsyncRunner};
use testcontainers::{GenericBuildableImage, ImageExt};

const PORT: u16 = 4222;

/// How long the daemon may take to answer a ping.
const PING_PATIENCE: Duration = Duration::from_secs(5);

/// How long a container may take to start, on a machine that builds at the same time.
const START_PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_broker_runs_in_a_container_from_scratch() -> Result<()> {
    if let Err(error) = ping_docker() {
        skip::loudly(
            &skip::test_name(),
            &format!("no Docker daemon answers: {error}"),
        );
        return Ok(());
    }
    let image = image(&programs::hitherto()?)?.build_image().await?;
    let container = image
        .with_exposed_port(PORT.tcp())
        .with_wait_for(WaitFor::message_on_either_std("Server is ready"))
        .with_startup_timeout(START_PATIENCE)
        .with_cmd([
            "serve",
            "--host",
            "0.0.0.0",
            "--port",
            "4222",
            "--store-dir",
            "/store",
        ])
        .start()
        .await?;
    let host = container.get_host().await?;
    let port = container.get_host_port_ipv4(PORT).await?;
    let client = async_nats::connect(format!("nats://{host}:{port}")).await?;
    let context = jetstream::new(client);
    let stream = create_orders(&context).await?;
    ensure!(
        publish(&context, "orders.42.placed", "hello")
            .await?
            .sequence
            == 1
    );
    let worker = create_worker(&stream, |_| ()).await?;
    let message = pull(&worker, 1).await?.remove(0);
    ensure!(message.payload == "hello");
    settle(&message, jetstream::AckKind::Ack).await?;

    container.stop().await?;
    let status = container.exit_code().await?;
    ensure!(
        status == Some(0),
        "a stopped broker ends in order, not with {status:?}"
    );
    container.rm().await?;
    Ok(())
}

/// An image with the program, its libraries where it looks for them, and nothing else.
fn image(program: &Path) -> Result<GenericBuildableImage> {
    let mut image = GenericBuildableImage::new("hitherto-integration", "test")
        .with_dockerfile_string("FROM scratch\nCOPY root/ /\nENTRYPOINT [\"/hitherto\"]\n")
        .with_file(program, "root/hitherto");
    for library in libraries(program)? {
        let target = format!("root{}", library.display());
        // The path may be a link; its content is what the loader wants under this name.
        image = image.with_file(library.canonicalize()?, target);
    }
    Ok(image)
}

/// The absolute paths `ldd` prints: shared libraries and the loader; none for a static program.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("starting ldd")?;
    let text = String::from_utf8(output.stdout)?;
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words
        .map(PathBuf::from)
        .filter(|path| path != program)
        .collect())
}

/// Asks the daemon whether it is there, at `DOCKER_HOST` or at the usual socket.
fn ping_docker() -> io::Result<()> {
    let host = std::env::var("DOCKER_HOST").unwrap_or("unix:///var/run/docker.sock".into());
    if let Some(path) = host.strip_prefix("unix://") {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(PING_PATIENCE))?;
        return ping(socket);
    }
    let socket = TcpStream::connect(host.strip_prefix("tcp://").unwrap_or(&host))?;
    socket.set_read_timeout(Some(PING_PATIENCE))?;
    ping(socket)
}

fn ping(mut socket: impl Read + Write) -> io::Result<()> {
    socket.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut status = [0; 12];
    socket.read_exact(&mut status)?;
    match status.ends_with(b" 200") {
        true => Ok(()),
        false => Err(io::Error::other(
            String::from_utf8_lossy(&status).into_owned(),
        )),
    }
}
