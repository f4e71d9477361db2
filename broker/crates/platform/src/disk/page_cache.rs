//! What the machine's memory holds of a file.

use std::fs::File;
use std::io;

use rustix::fs::Advice;

/// Drops the pages that are clean, those of a failed sync among them.
pub(super) fn forget(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?)
}
