//! The program as a user starts it, on the embedded broker in a folder.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_order-service"))
        .arg("--data")
        .arg(data)
        .args(arguments)
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_second_run_finds_everything_decided_and_a_rebuild_finds_it_equal() {
    let data = tempfile::tempdir().unwrap();
    let first = json(&run(data.path(), &["--json"]));
    let second = json(&run(data.path(), &["--json"]));
    assert_eq!(second["run"]["decided_now"], 0);
    assert_eq!(second["state"], first["state"]);
    let rebuilt = json(&run(data.path(), &["--json", "--rebuild"]));
    for report in rebuilt.as_array().unwrap() {
        assert_eq!(report["equal"], true, "{report}");
    }

    let words = run(data.path(), &[]);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(
        words.contains("all were already decided; nothing was applied again"),
        "{words}"
    );
}

#[test]
fn own_commands_are_imported_from_a_file() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("my.jsonl");
    let line =
        r#"{"id":"c-1","order":"o-1","kind":"cancel","reason":"x","at":"2026-03-02T08:15:30Z"}"#;
    std::fs::write(&file, format!("{line}\nnonsense\n")).unwrap();
    let summary = json(&run(
        data.path(),
        &["--json", "--commands", file.to_str().unwrap()],
    ));
    assert_eq!(summary["state"]["refused_by_reason"]["unknown_order"], 1);
    assert_eq!(summary["run"]["unreadable"]["lines"][0]["line"], 2);
}

#[test]
fn a_missing_file_is_told_with_a_way_out() {
    let data = tempfile::tempdir().unwrap();
    let output = run(data.path(), &["--commands", "/nowhere/my.jsonl"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        text.contains("/nowhere/my.jsonl") && text.contains("generate"),
        "{text}"
    );
}

#[test]
fn the_generator_prints_the_same_file_for_the_same_seed() {
    let print = |seed: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_order-service"))
            .args(["generate", "--seed", seed])
            .output()
            .unwrap();
        assert!(output.status.success());
        output.stdout
    };
    assert_eq!(print("3"), print("3"));
    assert_ne!(print("3"), print("4"));
}

#[test]
fn the_summary_in_the_book_is_what_the_program_prints() {
    let data = tempfile::tempdir().unwrap();
    let printed = String::from_utf8(run(data.path(), &[]).stdout).unwrap();
    let told = include_str!("../summary.txt")
        .lines()
        .filter(|line| !line.contains("ANCHOR"));
    let told = told.collect::<Vec<_>>().join("\n");
    assert!(
        printed.contains(&told),
        "summary.txt is not what is printed:\n{printed}"
    );
}
