//! Something on a page that is not as it should be.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

/// Where, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    page: PathBuf,
    /// Counted from 1; 0: the page as a whole.
    line: usize,
    what: String,
}

impl Fault {
    pub(crate) fn new(page: &Path, line: usize, what: impl Into<String>) -> Self {
        Self {
            page: page.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.page.display(), self.line, self.what)
    }
}
