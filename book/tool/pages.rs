//! The pages of the book, and whether the table of contents knows them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::fault::Fault;
use crate::markdown;

const CONTENTS: &str = "SUMMARY.md";

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The same within the book's sources.
    pub(crate) name: PathBuf,
    pub(crate) text: String,
}

impl Page {
    /// Returns the folder it is in.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    pub(crate) fn fault(&self, line: usize, what: impl Into<String>) -> Fault {
        Fault::new(&self.path, line, what)
    }
}

/// Reads every page below a folder, sorted by name.
pub(crate) fn read_all(folder: &Path) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                let name = path.strip_prefix(folder)?.to_owned();
                pages.push(Page { path, name, text });
            }
        }
    }
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pages)
}

/// Finds pages that the table of contents does not name: mdBook would leave them out.
pub(crate) fn unlisted(pages: &[Page]) -> Vec<Fault> {
    let contents = pages.iter().find(|page| page.name == Path::new(CONTENTS));
    let text = contents.map_or("", |page| page.text.as_str());
    let listed: Vec<&str> = markdown::prose(text)
        .flat_map(|(_, line)| markdown::links(line))
        .collect();
    let is_listed = |page: &&Page| {
        let mut targets = listed.iter().map(|target| target.trim_start_matches("./"));
        targets.any(|target| Path::new(target) == page.name)
    };
    pages
        .iter()
        .filter(|page| page.name != Path::new(CONTENTS))
        .filter(|page| !is_listed(page))
        .map(|page| page.fault(0, format!("{CONTENTS} does not name this page")))
        .collect()
}
