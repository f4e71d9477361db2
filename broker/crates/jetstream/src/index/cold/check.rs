//! Reading a whole table to see whether it is what was written.

use std::sync::Arc;

use super::cache::TableCache;
use super::page;
use super::table::{Pages, TableBytes};
use super::unreadable::Unreadable;

/// Reads every page of a table and verifies its checksum.
///
/// # Errors
/// The first page that is damaged or cannot be read.
pub fn check_table(source: &Arc<dyn TableBytes>) -> Result<(), Unreadable> {
    let pages = Pages::open(Arc::clone(source), TableCache::default())?;
    let by_seq = pages.shape.by_seq.iter().map(|page| page.place);
    let by_subject = pages.shape.by_subject.iter().map(|page| page.place);
    for place in by_seq.chain(by_subject) {
        let bytes = pages.read(place)?;
        if page::unseal(&bytes, place.offset).is_none() {
            return Err(pages.damaged(place));
        }
    }
    Ok(())
}
