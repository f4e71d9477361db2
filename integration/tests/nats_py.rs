//! The Python client nats-py does its everyday work against both servers.
//!
//! The steps are in `integration/nats-py/smoke.py`. The library comes from the Python Package Index
//! into a virtual environment below `target/`, once; where Python or the index is out of reach, this
//! test says that it was skipped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use hitherto_integration::{Server, on_both_servers, programs, skip};

/// What the program prints when all its steps have passed.
const STEPS: &str = "core\nrequests\npublishing\npulling\npushing\nkey_value\nobjects\n";

async fn everyday_work_of_a_python_program(server: &mut Server) -> Result<()> {
    // Both tests of this file need it; the first one makes it.
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let python = match PYTHON.get_or_init(|| python().map_err(|error| format!("{error:#}"))) {
        Ok(python) => python,
        Err(why) => {
            skip::loudly(&skip::test_name(), why);
            return Ok(());
        }
    };
    let output = tokio::process::Command::new(python)
        .arg(folder().join("smoke.py"))
        .arg(server.url())
        .output()
        .await
        .context("starting Python")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && said == STEPS,
        "{}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

on_both_servers!(everyday_work_of_a_python_program);

fn folder() -> PathBuf {
    programs::repository().join("integration/nats-py")
}

/// The Python of an environment that has the library.
fn python() -> Result<PathBuf> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nats-py");
    let python = environment.join("bin/python");
    if !python.is_file() {
        succeed(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        )?;
    }
    let requirements = folder().join("requirements.txt");
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ];
    succeed(Command::new(&python).args(pip).arg(requirements))?;
    Ok(python)
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
