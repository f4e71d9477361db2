//! Builds the book and proves what a reader relies on: code blocks are compiled code, includes and
//! links lead somewhere, every page is in the table of contents, and the commands of the README are
//! those the book tells.
//!
//! mdBook itself only warns about an include that leads nowhere, and prints nothing at all for an
//! anchor that does not exist; hence the checks.

#![forbid(unsafe_code)]

mod fault;
mod links;
mod markdown;
mod pages;
mod readme;
mod snippets;

use std::path::{Path, PathBuf};

use anyhow::Result;
use mdbook_driver::MDBook;

pub use self::fault::Fault;

/// Makes the pages and returns where they are: in `dest`, or in the book's own folder.
///
/// # Errors
/// When mdBook cannot read a chapter or write a page.
pub fn build(dest: Option<&Path>) -> Result<PathBuf> {
    let mut book = MDBook::load(folder())?;
    if let Some(dest) = dest {
        book.config.build.build_dir = std::path::absolute(dest)?;
    }
    book.build()?;
    Ok(book.build_dir_for("html"))
}

/// Checks the book and the README; no faults: all is well.
///
/// # Errors
/// When a file cannot be read.
pub fn check() -> Result<Vec<Fault>> {
    let pages = pages::read_all(&folder().join("src"))?;
    let mut faults = Vec::new();
    faults.extend(pages::unlisted(&pages));
    faults.extend(links::dead(&pages));
    for page in &pages {
        faults.extend(snippets::faults(page));
    }
    faults.extend(readme::faults(repository(), &pages)?);
    Ok(faults)
}

/// The folder of the book.
#[must_use]
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the repository.
///
/// # Panics
/// Never: the book is a folder of it.
#[must_use]
pub fn repository() -> &'static Path {
    folder()
        .parent()
        .expect("the book is a folder of the repository")
}
