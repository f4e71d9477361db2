//! The book is in order, and builds.

use std::fs;

use anyhow::{Result, ensure};

#[test]
fn snippets_includes_links_and_readme_are_in_order() -> Result<()> {
    let faults: Vec<String> = hitherto_book::check()?
        .iter()
        .map(ToString::to_string)
        .collect();
    ensure!(faults.is_empty(), "\n{}", faults.join("\n"));
    Ok(())
}

#[test]
fn the_book_builds_with_its_snippets_in_it() -> Result<()> {
    let dest = tempfile::tempdir()?;
    let pages = hitherto_book::build(Some(dest.path()))?;
    let tutorial = fs::read_to_string(pages.join("tutorial/first-order.html"))?;
    ensure!(tutorial.contains("AlreadyPaid"), "the rejections are shown");
    ensure!(
        !tutorial.contains("{{#include"),
        "every include is resolved"
    );
    ensure!(!tutorial.contains("ANCHOR"), "no anchor is shown");
    Ok(())
}
