//! Builds the published tests: the template in `async-nats-suite`, and the test files of the package
//! as cargo unpacked it, in one folder below `target/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use hitherto_integration::programs;
use serde_json::Value;

/// The package whose tests are run.
const PACKAGE: &str = "async-nats";

/// Where the folder of the published tests is, or why there is none.
pub(crate) enum Suite {
    Built(Program),
    Missing(String),
}

/// The tests, ready to run.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) binary: PathBuf,
    /// They name their configuration files relative to this.
    pub(crate) folder: PathBuf,
}

/// Builds the tests; what an earlier build made is used again.
pub(crate) fn suite() -> Result<Suite> {
    let metadata = metadata()?;
    let Some(package) = package_folder(&metadata) else {
        return Ok(Suite::Missing(format!("cargo knows no package {PACKAGE}")));
    };
    let published = package.join("tests");
    if !published.is_dir() {
        let why = format!("{} was published without its tests", package.display());
        return Ok(Suite::Missing(why));
    }
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo names its target folder")?;
    let folder = Path::new(target).join("async-nats-suite");
    let template = programs::repository().join("integration/async-nats-suite");
    copy_tree(&template, &folder)?;
    copy_tree(&published, &folder.join("tests"))?;
    write_if_changed(&folder.join("tests/suite.rs"), root(&published)?.as_bytes())?;
    if !cargo_in(&folder, &["fetch", "--locked", "--quiet"])?
        .status()?
        .success()
    {
        let why = "the packages that its tests need cannot be fetched".to_owned();
        return Ok(Suite::Missing(why));
    }
    let binary = compile(&folder)?;
    Ok(Suite::Built(Program { binary, folder }))
}

fn metadata() -> Result<Value> {
    let output = programs::cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata ended with {}",
        output.status
    );
    serde_json::from_slice(&output.stdout).context("reading cargo's answer")
}

fn package_folder(metadata: &Value) -> Option<PathBuf> {
    let packages = metadata["packages"].as_array()?;
    let found = packages.iter().find(|package| package["name"] == PACKAGE)?;
    Path::new(found["manifest_path"].as_str()?)
        .parent()
        .map(Path::to_owned)
}

/// The root of one program that holds all test files: it is linked once instead of for each file.
fn root(published: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(published)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            names.push(format!("mod {name};\n"));
        }
    }
    names.sort();
    // As the root of its own program, one of them names `crate::jetstream`.
    Ok(format!("use async_nats::jetstream;\n\n{}", names.concat()))
}

fn compile(folder: &Path) -> Result<PathBuf> {
    let arguments = [
        "test",
        "--locked",
        "--quiet",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ];
    let output = cargo_in(folder, &arguments)?
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(
        output.status.success(),
        "building the tests ended with {}",
        output.status
    );
    for line in output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let message: Value = serde_json::from_slice(line).context("reading cargo's messages")?;
        if message["target"]["name"] == "suite"
            && let Some(path) = message["executable"].as_str()
        {
            return Ok(PathBuf::from(path));
        }
    }
    bail!("cargo built no program of tests");
}

/// Cargo in the folder of the suite, whose workspace and target folder are its own.
fn cargo_in(folder: &Path, arguments: &[&str]) -> Result<std::process::Command> {
    let mut command = programs::cargo();
    command.args(arguments).current_dir(folder);
    command.env("CARGO_TARGET_DIR", folder.join("target"));
    // Nobody reads the warnings of code that is not ours.
    command.env("RUSTFLAGS", "--cap-lints allow");
    Ok(command)
}

/// Copies what differs; a file that stays the same keeps its time, and cargo its build.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("listing {}", from.display()))? {
        let (path, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy_tree(&path, &to)?;
        } else {
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            write_if_changed(&to, &bytes)?;
        }
    }
    Ok(())
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}
