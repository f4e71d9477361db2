//! The benchmark runs to its end and reports every server it measured; how fast is not asked here.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use hitherto_integration::programs;

#[test]
fn a_short_benchmark_reports_each_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.md");
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args([
            "--seconds",
            "0.1",
            "--rounds",
            "1",
            "--in-flight",
            "64",
            "--report",
        ])
        .arg(&report)
        .stdin(Stdio::null())
        .output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{complaint}", output.status);
    let report = std::fs::read_to_string(report)?;
    let rows = |server: &str| report.lines().filter(|line| line.contains(server)).count();
    ensure!(
        rows("| one connection, 64 in flight | hitherto | ") == 1,
        "{report}"
    );
    if programs::nats_server()?.is_some() {
        // Its own row, and its place in the table of ratios.
        ensure!(
            rows("| one connection, 64 in flight | nats-server, sync always | ") == 2,
            "{report}"
        );
        ensure!(
            rows("| 64 connections, each waiting | nats-server | ") == 2,
            "{report}"
        );
    }
    Ok(())
}
