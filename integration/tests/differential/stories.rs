//! Rounds that once differed, kept as texts in `stories/`, one file each.
//!
//! A file begins with lines after `#` that say what was wrong; each other line is an operation as
//! [`Op::parse`] reads it, and as a failed run shows it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::op::Op;

/// One of them.
pub(crate) struct Story {
    pub(crate) name: String,
    pub(crate) ops: Vec<Op>,
}

/// All of them, by name.
pub(crate) fn all() -> Result<Vec<Story>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/stories");
    let mut stories = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path).with_context(|| name.clone())?;
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let ops: Result<_> = lines.map(Op::parse).collect();
        let ops = ops.with_context(|| name.clone())?;
        stories.push(Story { name, ops });
    }
    stories.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(stories)
}
