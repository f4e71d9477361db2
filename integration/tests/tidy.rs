//! What every source file of the repository keeps, so that no reviewer has to look for it.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use hitherto_integration::{programs, tree};

/// A file that grows past this holds a second thing that wants its own file.
const LINES_MAX: usize = 900;

/// What is never committed; each word is cut in two so that this file does not name it.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("todo", "!("), "unfinished code"),
    (concat!("unimplemented", "!("), "unfinished code"),
    (concat!("dbg", "!("), "a trace of debugging"),
    (
        concat!("#[ig", "nore"),
        "a test nobody runs; assert today's behaviour instead",
    ),
    (
        concat!("```ig", "nore"),
        "an example nobody compiles; `no_run` compiles it",
    ),
    ("\t", "a tab"),
    (" \n", "white space at the end of a line"),
    ("\r", "a line end of another system"),
];

#[test]
fn every_file_is_tidy() -> Result<()> {
    let files = tree::rust_files(programs::repository())?;
    ensure!(files.len() > 20, "only {} files were found", files.len());
    let faults: Vec<String> = files.iter().flat_map(|path| faults(path)).collect();
    ensure!(faults.is_empty(), "\n{}", faults.join("\n"));
    Ok(())
}

fn faults(path: &Path) -> Vec<String> {
    let name = path
        .strip_prefix(programs::repository())
        .unwrap_or(path)
        .display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let mut faults = Vec::new();
    // A case that must not compile is named for what it shows and has its message beside it.
    let compile_fail = path.with_extension("stderr").is_file();
    if !text.starts_with("//! ") && !compile_fail {
        faults.push(format!(
            "{name}: does not open by saying what it is (`//! ...`)"
        ));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{name}: has {lines} lines, more than {LINES_MAX}"));
    }
    for (word, why) in FORBIDDEN {
        if let Some(at) = text.find(word) {
            let line = text[..at].lines().count().max(1);
            faults.push(format!("{name}:{line}: has {word:?}: {why}"));
        }
    }
    faults
}
