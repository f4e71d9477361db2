//! The README: its two commands are the ones the book tells, and its Rust is the example's.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::fault::Fault;
use crate::markdown::{blocks, links, prose};
use crate::pages::Page;

/// What a newcomer types: the order service, then every test.
const COMMANDS: [&str; 2] = ["cargo run -p order-service", "cargo test --workspace"];
/// The page that tells them, too.
const TOLD_ON: &str = "introduction.md";
/// Where the README's Rust comes from.
const SOURCES: [&str; 2] = [
    "examples/order-service/src/order.rs",
    "examples/order-service/src/order/tests.rs",
];

/// Finds what the README and the book tell differently.
pub(crate) fn faults(repository: &Path, pages: &[Page]) -> Result<Vec<Fault>> {
    let path = repository.join("README.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut sources = String::new();
    for source in SOURCES {
        sources += &fs::read_to_string(repository.join(source)).context(source)?;
    }
    let told = pages.iter().find(|page| page.name == Path::new(TOLD_ON));

    let mut faults = Vec::new();
    for command in COMMANDS {
        if !has_command(&text, command) {
            faults.push(Fault::new(
                &path,
                0,
                format!("no sh block says `{command}`"),
            ));
        }
        if !told.is_some_and(|page| has_command(&page.text, command)) {
            faults.push(Fault::new(
                &path,
                0,
                format!("{TOLD_ON} does not tell `{command}`"),
            ));
        }
    }
    for block in blocks(&text)
        .iter()
        .filter(|block| block.language == "rust")
    {
        if !sources.contains(&block.lines.join(
            "
",
        )) {
            let what = format!("this Rust does not stand in {SOURCES:?} as it is");
            faults.push(Fault::new(&path, block.line, what));
        }
    }
    for (line, prose) in prose(&text) {
        let inside = links(prose)
            .into_iter()
            .filter(|target| !target.contains("://"));
        for target in inside.filter(|target| !repository.join(target).exists()) {
            faults.push(Fault::new(
                &path,
                line,
                format!("link {target}: there is no such file"),
            ));
        }
    }
    Ok(faults)
}

fn has_command(text: &str, command: &str) -> bool {
    let typed = blocks(text)
        .into_iter()
        .filter(|block| block.language == "sh");
    typed
        .flat_map(|block| block.lines)
        .any(|line| line == command)
}
