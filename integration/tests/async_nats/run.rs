//! Runs the published tests: each in a process group of its own, so that one that hangs or crashes
//! takes its servers with it and no other test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::timeout;

use crate::build::Program;

/// Names the server to the launcher.
const SERVER_VARIABLE: &str = "HITHERTO_SUITE_SERVER";

/// Names a folder to the launcher, for what the servers tell.
const RECORDS_VARIABLE: &str = "HITHERTO_SUITE_RECORDS";

/// How many tests run at once for each processor: most of them wait for a timeout or a sleep.
const PER_PROCESSOR: usize = 2;

/// How long one test may take; the slowest takes 100 s, all others less than 30 s.
const PATIENCE: Duration = Duration::from_secs(150);

/// Started first, so that nothing waits for it at the end.
const SLOWEST: &str = "kv_tests::kv::watch_hearbeats_first";

/// How much of its output a failed test shows.
const OUTPUT_SHOWN_BYTES: usize = 3 * 1024;

/// What became of one test.
#[derive(Debug)]
pub(crate) enum Outcome {
    Passed,
    /// It failed beside others and passed on its own: its own time limits are too tight for a busy
    /// machine.
    PassedAlone,
    /// With the end of its output.
    Failed(String),
}

/// What each test is run with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) suite: &'a Program,
    /// The program under test.
    pub(crate) server: &'a Path,
    /// Where what it tells is written down; `None` when nobody wants to know.
    pub(crate) records: Option<&'a Path>,
}

/// The names of all tests.
pub(crate) async fn list(suite: &Program) -> Result<Vec<String>> {
    let output = Command::new(&suite.binary)
        .args(["--list", "--format", "terse"])
        .output()
        .await
        .context("listing the tests")?;
    ensure!(
        output.status.success(),
        "listing the tests ended with {}",
        output.status
    );
    let text = String::from_utf8(output.stdout)?;
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect();
    names.sort_by_key(|name| name != SLOWEST);
    Ok(names)
}

/// Runs each test, several at once, and those that fail once more on their own.
///
/// Not all of it is repeated: a test in `expected_to_fail` has its answer the first time.
pub(crate) async fn all(
    run: Run<'_>,
    names: &[String],
    expected_to_fail: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Outcome>> {
    let outputs = tempfile::tempdir()?;
    let at_once = PER_PROCESSOR * thread::available_parallelism()?.get();
    let mut outcomes: BTreeMap<String, Outcome> = stream::iter(names)
        .map(async |name| {
            let outcome = one(run, name, outputs.path()).await?;
            anyhow::Ok((name.clone(), outcome))
        })
        .buffer_unordered(at_once)
        .try_collect()
        .await?;
    for (name, outcome) in &mut outcomes {
        if matches!(outcome, Outcome::Failed(_))
            && !expected_to_fail(name)
            && matches!(one(run, name, outputs.path()).await?, Outcome::Passed)
        {
            *outcome = Outcome::PassedAlone;
        }
    }
    Ok(outcomes)
}

async fn one(
    Run {
        suite,
        server,
        records,
    }: Run<'_>,
    name: &str,
    outputs: &Path,
) -> Result<Outcome> {
    let path = outputs.join(name.replace("::", "."));
    let output = File::create(&path)?;
    let mut command = Command::new(&suite.binary);
    if let Some(records) = records {
        command.env(RECORDS_VARIABLE, records);
    }
    let mut child = command
        .args(["--exact", name, "--test-threads", "1", "--nocapture"])
        .current_dir(&suite.folder)
        .env(SERVER_VARIABLE, server)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let ended = timeout(PATIENCE, child.wait()).await;
    // Servers that outlived their test; mostly there are none, and the group is gone.
    kill_process_group(
        group.context("a process id is a positive number")?,
        Signal::KILL,
    )
    .ok();
    Ok(match ended {
        Ok(Ok(status)) if status.success() => Outcome::Passed,
        Ok(_) => Outcome::Failed(end_of(&path)),
        Err(_) => {
            child.wait().await?;
            Outcome::Failed(format!("{}\n(stopped after {PATIENCE:?})", end_of(&path)))
        }
    })
}

fn end_of(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let start = bytes.len().saturating_sub(OUTPUT_SHOWN_BYTES);
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}
