//! As much of Markdown as the checks need: fenced blocks, links, headings.

/// A fenced block of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    /// Line of the opening fence, counted from 1.
    pub(crate) line: usize,
    /// What stands behind the opening fence, up to the first comma.
    pub(crate) language: &'a str,
    /// The lines between the fences.
    pub(crate) lines: Vec<&'a str>,
}

/// Returns all fenced blocks.
pub(crate) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (at, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        open = match (open.take(), fence) {
            (None, Some(info)) => {
                let language = info.split([',', ' ']).next().unwrap_or_default();
                Some(Block {
                    line: at + 1,
                    language,
                    lines: Vec::new(),
                })
            }
            (Some(block), Some(_)) => {
                blocks.push(block);
                None
            }
            (Some(mut block), None) => {
                block.lines.push(line);
                Some(block)
            }
            (None, None) => None,
        };
    }
    // A block nobody closed reaches to the end of the page.
    blocks.extend(open);
    blocks
}

/// Returns every line that is not in a fenced block, with its number counted from 1.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((at + 1, line))
    })
}

/// Returns the targets of all links of the form `[text](target)` in one line.
pub(crate) fn links(line: &str) -> Vec<&str> {
    let behind = line.split("](").skip(1);
    behind
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

/// Returns the ids mdBook gives to the headings of a page.
pub(crate) fn heading_ids(text: &str) -> Vec<String> {
    prose(text)
        .filter_map(|(_, line)| line.strip_prefix('#'))
        .map(|heading| heading_id(heading.trim_start_matches('#').trim()))
        .collect()
}

fn heading_id(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# One page\n\n```rust,ignore\nlet a = 1;\n```\n\nSee [it](a.md#b) [and](c.md).\n\n## `Code`, here\n```\nend";

    #[test]
    fn blocks_have_a_language_and_lines() {
        let expected = [
            Block {
                line: 3,
                language: "rust",
                lines: vec!["let a = 1;"],
            },
            Block {
                line: 10,
                language: "",
                lines: vec!["end"],
            },
        ];
        assert_eq!(blocks(PAGE), expected);
    }

    #[test]
    fn links_and_headings_are_found_outside_of_blocks() {
        let found: Vec<_> = prose(PAGE).flat_map(|(_, line)| links(line)).collect();
        assert_eq!(found, ["a.md#b", "c.md"]);
        assert_eq!(heading_ids(PAGE), ["one-page", "code-here"]);
    }
}
