//! Code blocks: Rust is never typed into a page, it is included from compiled code by an anchor.

use std::fs;

use crate::fault::Fault;
use crate::markdown::{Block, blocks};
use crate::pages::Page;

/// What may be typed: what a reader types or sees.
const TYPED: &[&str] = &["sh", "text", "json", "toml"];

/// Finds blocks that break the rule, and includes that lead nowhere.
pub(crate) fn faults(page: &Page) -> Vec<Fault> {
    let mut faults = Vec::new();
    for block in blocks(&page.text) {
        if block.language == "rust" {
            let not_included = block.lines.iter().filter(|line| include(line).is_none());
            let typed = not_included.filter(|line| !line.trim().is_empty()).count();
            if typed > 0 || block.lines.is_empty() {
                let what = "Rust is included as `{{#include path:anchor}}`, not typed";
                faults.push(page.fault(block.line, what));
            }
        } else if !TYPED.contains(&block.language) {
            let what = format!(
                "a block is rust or one of {TYPED:?}, not {:?}",
                block.language
            );
            faults.push(page.fault(block.line, what));
        }
        faults.extend(dead_includes(page, &block));
    }
    faults
}

fn dead_includes(page: &Page, block: &Block<'_>) -> Vec<Fault> {
    let numbered = block.lines.iter().zip(block.line + 1..);
    let includes = numbered.filter_map(|(line, at)| Some((include(line)?, at)));
    includes
        .filter_map(|(target, at)| {
            let what = problem(page, target)?;
            Some(page.fault(at, format!("include {target}: {what}")))
        })
        .collect()
}

fn problem(page: &Page, target: &str) -> Option<&'static str> {
    let Some((file, anchor)) = target.split_once(':') else {
        return Some("name an anchor; line numbers and whole files grow stale");
    };
    let Ok(text) = fs::read_to_string(page.folder().join(file)) else {
        return Some("there is no such file");
    };
    match anchored(&text, anchor) {
        None => Some("the file has no such anchor"),
        Some(lines) if lines.iter().all(|line| line.trim().is_empty()) => {
            Some("the anchor is around nothing")
        }
        Some(_) => None,
    }
}

/// Returns the lines between `ANCHOR: name` and `ANCHOR_END: name`.
fn anchored<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let marks = |line: &str, mark: &str| {
        line.trim_start_matches([' ', '/', '#']) == format!("{mark}: {name}")
    };
    let lines: Vec<&str> = text.lines().collect();
    let begin = lines.iter().position(|line| marks(line, "ANCHOR"))?;
    let end = lines.iter().position(|line| marks(line, "ANCHOR_END"))?;
    lines.get(begin + 1..end).map(<[&str]>::to_vec)
}

/// Returns the target of a line that is an include and nothing else.
fn include(line: &str) -> Option<&str> {
    line.trim()
        .strip_prefix("{{#include ")?
        .strip_suffix("}}")
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn page(text: &str) -> Page {
        let path = crate::folder().join("src/page.md");
        Page {
            path,
            name: PathBuf::from("page.md"),
            text: text.to_owned(),
        }
    }

    fn found(text: &str) -> Vec<String> {
        faults(&page(text))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn typed_rust_is_found() {
        assert!(found("```rust\nfn main() {}\n```")[0].contains(":1: Rust is included"));
        assert!(found("```\nfn main() {}\n```")[0].contains("not \"\""));
        assert!(found("```sh\ncargo test\n```").is_empty());
    }

    #[test]
    fn an_include_must_lead_to_an_anchor() {
        let include = |target: &str| found(&format!("```rust\n{{{{#include {target}}}}}\n```"));
        assert!(include("../../examples/order-service/src/order.rs:events").is_empty());
        assert!(include("../../examples/order-service/src/order.rs:nothing")[0].contains("anchor"));
        assert!(include("../../examples/order-service/src/order.rs")[0].contains("name an anchor"));
        assert!(include("../../nowhere.rs:events")[0].contains(":2: include"));
    }

    #[test]
    fn an_anchor_ends_at_its_own_end() {
        let text = "a\n// ANCHOR: x\nb\n// ANCHOR_END: x\nc";
        assert_eq!(anchored(text, "x"), Some(vec!["b"]));
        assert_eq!(anchored("// ANCHOR: x\nb", "x"), None);
    }
}
