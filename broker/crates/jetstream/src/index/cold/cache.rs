//! Pages of tables that were read lately, for all streams of a node.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::page::SubjectsPage;
use crate::MessageMeta;

/// Pages kept at most: 512, some 10 MiB.
const PAGES_MAX: usize = 512;

/// Pages of tables that were read lately; clones share them.
#[derive(Debug, Clone, Default)]
pub struct TableCache(Arc<Mutex<Pages>>);

/// Two generations: what the younger does not hold is sought in the elder and moves over; when the younger is
/// full it becomes the elder, and what was not asked for since goes.
#[derive(Debug, Default)]
struct Pages {
    young: HashMap<PageKey, Page>,
    old: HashMap<PageKey, Page>,
    tables: u64,
}

/// A page of a table, by the number the cache gave the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    pub(super) table: u64,
    pub(super) by_subject: bool,
    pub(super) page: usize,
}

/// A page that was read and is whole.
#[derive(Debug, Clone)]
pub(super) enum Page {
    Messages(Arc<Vec<MessageMeta>>),
    Subjects(Arc<SubjectsPage>),
}

impl TableCache {
    /// A number for a table, which no other has.
    pub(super) fn register(&self) -> u64 {
        let mut pages = self.lock();
        pages.tables += 1;
        pages.tables
    }

    pub(super) fn get(&self, key: PageKey) -> Option<Page> {
        let mut pages = self.lock();
        if let Some(page) = pages.young.get(&key) {
            return Some(page.clone());
        }
        let page = pages.old.remove(&key)?;
        pages.insert(key, page.clone());
        Some(page)
    }

    pub(super) fn insert(&self, key: PageKey, page: Page) {
        self.lock().insert(key, page);
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn insert(&mut self, key: PageKey, page: Page) {
        if self.young.len() >= PAGES_MAX / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(page: usize) -> PageKey {
        PageKey {
            table: 1,
            by_subject: false,
            page,
        }
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let cache = TableCache::default();
        assert_ne!(cache.register(), cache.register());
        for page in 0..PAGES_MAX * 3 {
            cache.insert(key(page), Page::Messages(Arc::default()));
            assert!(cache.get(key(0)).is_some());
        }
        let pages = cache.lock();
        assert!(pages.young.len() + pages.old.len() <= PAGES_MAX);
        drop(pages);
        assert!(cache.get(key(PAGES_MAX)).is_none());
    }
}
