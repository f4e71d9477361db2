//! Links between pages.

use std::path::Path;

use crate::fault::Fault;
use crate::markdown::{heading_ids, links, prose};
use crate::pages::Page;

/// Finds links that lead nowhere. Links out of the book are not followed.
pub(crate) fn dead(pages: &[Page]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for page in pages {
        for (line, text) in prose(&page.text) {
            let inside = links(text)
                .into_iter()
                .filter(|target| !target.contains("://"));
            let dead = inside.filter_map(|target| Some((target, problem(page, target, pages)?)));
            faults.extend(
                dead.map(|(target, what)| page.fault(line, format!("link {target}: {what}"))),
            );
        }
    }
    faults
}

fn problem(page: &Page, target: &str, pages: &[Page]) -> Option<&'static str> {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() {
        page.path.clone()
    } else {
        page.folder().join(file)
    };
    if !path.is_file() {
        return Some("there is no such file");
    }
    if heading.is_empty() {
        return None;
    }
    let same = |other: &&Page| same_file(&other.path, &path);
    let known = pages
        .iter()
        .find(same)
        .is_some_and(|target| has_heading(target, heading));
    (!known).then_some("there is no such heading")
}

fn has_heading(page: &Page, id: &str) -> bool {
    heading_ids(&page.text).iter().any(|heading| heading == id)
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
