//! The benchmark runs to its end and reports every scenario of every server; how fast is not asked here.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use hitherto_integration::programs;

#[test]
fn a_short_benchmark_reports_every_scenario() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.md");
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--seconds", "0.1", "--rounds", "1", "--messages", "2000"])
        .arg("--report")
        .arg(&report)
        .stdin(Stdio::null())
        .output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{complaint}", output.status);
    let report = std::fs::read_to_string(report)?;
    let has = |line: &str| report.lines().any(|found| found.starts_with(line));
    for (scenario, figure) in [
        ("core publish 1 -> 1", "rate"),
        ("publish, 1 in flight", "rate"),
        ("publish, 64 connections, each waiting", "p99"),
        ("conditional publish, one connection, 64 in flight", "rate"),
        ("pull consume, explicit acks, batches of 500", "rate"),
        ("ordered replay", "rate"),
        ("last per subject", "first"),
        ("load one aggregate", "p50"),
        ("direct get, one connection, 64 in flight", "rate"),
        ("create a consumer", "p50"),
        ("memory and restart", "restart"),
    ] {
        ensure!(has(&format!("| {scenario} | {figure} | ")), "{report}");
    }
    let is_compared = programs::nats_server()?.is_some();
    let verdict = "| ordered replay | rate | at least 1.5 x nats-server | - | not measured |";
    ensure!(has(verdict) != is_compared, "{report}");
    Ok(())
}
