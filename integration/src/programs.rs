//! Where the programs under test are: ours are built once by cargo, the stock server is named by
//! the environment.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Names the stock nats-server binary; without it its tests are skipped.
pub const NATS_SERVER_VARIABLE: &str = "HITHERTO_NATS_SERVER";

/// Names a folder that already holds our programs; without it cargo builds them.
pub const PROGRAMS_VARIABLE: &str = "HITHERTO_PROGRAMS";

/// The programs a build made, or why it failed.
type Built = OnceLock<Result<HashMap<String, PathBuf>, String>>;

/// All programs in one build: they share most dependencies, with the same features.
const ALL: &[&str] = &[
    "-p",
    "hitherto-broker",
    "-p",
    "order-service",
    "-p",
    "jetstream-walkthrough",
];

/// The broker alone, for the benchmark: an optimised build of all takes minutes longer.
const BROKER: &[&str] = &["-p", "hitherto-broker"];

/// The broker's binary.
///
/// # Errors
///
/// When the build fails; its output was shown on standard error.
pub fn hitherto() -> Result<PathBuf> {
    static BUILT: Built = OnceLock::new();
    ours(
        "hitherto",
        &BUILT,
        if cfg!(debug_assertions) { ALL } else { BROKER },
    )
}

/// The binary of the running example.
///
/// # Errors
///
/// When the build fails; its output was shown on standard error.
pub fn order_service() -> Result<PathBuf> {
    static BUILT: Built = OnceLock::new();
    ours("order-service", &BUILT, ALL)
}

/// The binary of the walkthrough through JetStream.
///
/// # Errors
///
/// When the build fails; its output was shown on standard error.
pub fn walkthrough() -> Result<PathBuf> {
    static BUILT: Built = OnceLock::new();
    ours("jetstream-walkthrough", &BUILT, ALL)
}

/// The stock nats-server, or `None` when the environment names none.
///
/// # Errors
///
/// When the environment names a file that does not exist.
pub fn nats_server() -> Result<Option<PathBuf>> {
    let Some(path) = std::env::var_os(NATS_SERVER_VARIABLE).map(PathBuf::from) else {
        return Ok(None);
    };
    if !path.is_file() {
        bail!(
            "{NATS_SERVER_VARIABLE} names {}, which is no file",
            path.display()
        );
    }
    Ok(Some(path))
}

/// The root of this repository.
///
/// # Panics
///
/// Never: this package is a folder of it.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is in a folder")
}

/// The cargo that runs these tests, started in the root of the repository.
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(repository());
    command
}

fn ours(name: &str, built: &Built, packages: &[&str]) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(PROGRAMS_VARIABLE) {
        return Ok(PathBuf::from(folder).join(name));
    }
    let built = built.get_or_init(|| build(packages).map_err(|error| format!("{error:#}")));
    match built {
        Ok(programs) => programs
            .get(name)
            .cloned()
            .with_context(|| format!("cargo built no program {name}")),
        Err(text) => bail!("building our programs: {text}"),
    }
}

/// Builds the programs of `packages` in one go, in the profile this package was built in.
fn build(packages: &[&str]) -> Result<HashMap<String, PathBuf>> {
    let mut command = cargo();
    command.args([
        "build",
        "--quiet",
        "--message-format=json-render-diagnostics",
    ]);
    command.args(packages).arg("--bins");
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("cargo build ended with {}", output.status);
    }
    let mut programs = HashMap::new();
    for line in output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let message: Value = serde_json::from_slice(line).context("reading cargo's messages")?;
        if let (Some(name), Some(path)) = (
            message["target"]["name"].as_str(),
            message["executable"].as_str(),
        ) {
            programs.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    Ok(programs)
}
