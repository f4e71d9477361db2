//! Reading a whole table to see whether it is what was written.

use std::sync::Arc;

use super::cache::TableCache;
use super::table::{Pages, TableBytes};
use super::unreadable::Unreadable;

/// Reads every page of a table and verifies its checksum.
///
/// # Errors
/// The first page that is damaged or cannot be read.
pub fn check_table(source: &Arc<dyn TableBytes>) -> Result<(), Unreadable> {
    Pages::open(Arc::clone(source), TableCache::default())?.check()
}
