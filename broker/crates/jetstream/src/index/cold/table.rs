//! One table: pages that never change, which of their messages are still there, and the answers of one table.
//!
//! How many messages of each page are there is counted in memory, for both kinds of pages, so that taking a
//! message out reads at most the page that tells its subject, and a count reads the pages at its ends.

use std::collections::BinaryHeap;
use std::fmt;
use std::iter::successors;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::cache::{Page, PageKey, TableCache};
use super::dead::Dead;
use super::page::{self, SubjectsPage};
use super::range::SubjectRange;
use super::shape::{Place, Shape, TRAILER_BYTES};
use super::unreadable::Unreadable;
use crate::MessageMeta;
use crate::index::{Removed, Selection};

/// The bytes of a table, wherever they are kept.
pub trait TableBytes: fmt::Debug + Send + Sync {
    /// The number of the table, which no other of its stream has.
    fn number(&self) -> u64;

    /// What to call it when something is wrong with it.
    fn name(&self) -> String;

    /// How many bytes it has.
    fn len(&self) -> u64;

    /// Tells whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Why that is not possible.
    fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), String>;
}

/// The part of a table that does not change; shared with whoever merges it.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) source: Arc<dyn TableBytes>,
    pub(super) shape: Shape,
    cache: TableCache,
    /// Distinguishes it in the cache.
    key: u64,
}

/// A table with what was removed from it since.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) pages: Arc<Pages>,
    pub(super) dead: Dead,
    /// The first message that is still there, with its time; any while there is none.
    pub(super) first: (u64, i64),
    pub(super) live: u64,
    pub(super) live_bytes: u64,
    live_by_seq: Vec<u32>,
    live_by_subject: Vec<u32>,
}

impl Pages {
    pub(super) fn new(source: Arc<dyn TableBytes>, shape: Shape, cache: TableCache) -> Self {
        Self {
            source,
            shape,
            key: cache.register(),
            cache,
        }
    }

    /// Reads the directory of a table.
    pub(super) fn open(source: Arc<dyn TableBytes>, cache: TableCache) -> Result<Self, Unreadable> {
        let len = source.len();
        let fault = |offset, problem: &str| fault(&*source, offset, problem.to_owned());
        let at = len.checked_sub(TRAILER_BYTES as u64);
        let at = at.ok_or_else(|| fault(0, "it is too short"))?;
        let mut trailer = [0; TRAILER_BYTES];
        let read = source.read(&mut trailer, at);
        read.map_err(|problem| fault(at, &problem))?;
        let start = Shape::directory(&trailer, len).map_err(|problem| fault(at, problem))?;
        let bytes = usize::try_from(len - start).map_err(|_| fault(at, "it is too long"))?;
        let mut end = vec![0; bytes];
        let read = source.read(&mut end, start);
        read.map_err(|problem| fault(start, &problem))?;
        let shape = Shape::decode(&end).map_err(|problem| fault(start, problem))?;
        Ok(Self::new(source, shape, cache))
    }

    /// The messages of a page.
    pub(super) fn messages(&self, page: usize) -> Result<Arc<Vec<MessageMeta>>, Unreadable> {
        let key = self.key_of(page, false);
        if let Some(Page::Messages(messages)) = self.cache.get(key) {
            return Ok(messages);
        }
        let read = self.load(self.shape.by_seq[page].place, page::read_messages)?;
        self.cache.insert(key, Page::Messages(Arc::clone(&read)));
        Ok(read)
    }

    /// The subjects of a page.
    pub(super) fn subjects(&self, page: usize) -> Result<Arc<SubjectsPage>, Unreadable> {
        let key = self.key_of(page, true);
        if let Some(Page::Subjects(subjects)) = self.cache.get(key) {
            return Ok(subjects);
        }
        let read = self.load(self.shape.by_subject[page].place, SubjectsPage::read)?;
        self.cache.insert(key, Page::Subjects(Arc::clone(&read)));
        Ok(read)
    }

    fn key_of(&self, page: usize, by_subject: bool) -> PageKey {
        PageKey {
            table: self.key,
            by_subject,
            page,
        }
    }

    /// Reads every page and verifies its checksum.
    pub(super) fn check(&self) -> Result<(), Unreadable> {
        let by_seq = self.shape.by_seq.iter().map(|page| page.place);
        let by_subject = self.shape.by_subject.iter().map(|page| page.place);
        let mut places = by_seq.chain(by_subject);
        places.try_for_each(|place| self.load(place, |_, _| Some(())).map(drop))
    }

    /// Reads a page from the table; `parse` gets its bytes and the table's first sequence.
    fn load<T>(
        &self,
        place: Place,
        parse: impl FnOnce(&[u8], u64) -> Option<T>,
    ) -> Result<Arc<T>, Unreadable> {
        let fault = |problem| fault(&*self.source, place.offset, problem);
        let mut bytes = vec![0; place.len as usize];
        let read = self.source.read(&mut bytes, place.offset);
        read.map_err(fault)?;
        let page = page::unseal(&bytes, place.offset);
        let parsed = page.and_then(|page| parse(page, self.shape.first));
        let parsed = parsed.ok_or_else(|| fault("the page is damaged".to_owned()))?;
        Ok(Arc::new(parsed))
    }

    /// The pages by subject that may hold subjects of a range.
    pub(super) fn pages_of(&self, range: &SubjectRange) -> Range<usize> {
        let all = self.shape.by_subject.len();
        let first = partition(all, |page| self.shape.name(page) < range.lower());
        let end = partition(all, |page| range.reaches(self.shape.name(page)));
        // A subject may begin in the page before, and go on at the beginning of the first.
        first.saturating_sub(1)..end
    }

    /// The page by subject that holds this message of a subject, if any does.
    pub(super) fn page_with(&self, subject: &str, seq: u64) -> Option<usize> {
        let above = seq.checked_sub(self.shape.first)?;
        let pages = &self.shape.by_subject;
        let end = partition(pages.len(), |page| {
            (self.shape.name(page), u64::from(pages[page].first)) <= (subject, above)
        });
        end.checked_sub(1)
    }

    /// The page by sequence that would hold `seq`, or the first one behind it.
    pub(super) fn page_from(&self, seq: u64) -> usize {
        let above = seq.saturating_sub(self.shape.first);
        let pages = &self.shape.by_seq;
        let end = pages.partition_point(|page| u64::from(page.first) <= above);
        end.saturating_sub(1)
    }
}

impl Table {
    pub(super) fn new(pages: Arc<Pages>) -> Self {
        let shape = &pages.shape;
        let first_at = i64::MIN;
        Self {
            dead: Dead::default(),
            first: (shape.first, first_at),
            live: shape.messages,
            live_bytes: shape.bytes,
            live_by_seq: shape.by_seq.iter().map(|page| page.messages).collect(),
            live_by_subject: shape.by_subject.iter().map(|page| page.messages).collect(),
            pages,
        }
    }

    fn messages(&self, page: usize) -> Arc<Vec<MessageMeta>> {
        self.pages
            .messages(page)
            .unwrap_or_else(|error| error.unwind())
    }

    fn subjects(&self, page: usize) -> Arc<SubjectsPage> {
        self.pages
            .subjects(page)
            .unwrap_or_else(|error| error.unwind())
    }

    pub(super) fn last(&self) -> u64 {
        self.pages.shape.last
    }

    /// Looks for the first message that is still there. Before it `first` says nothing of a time.
    pub(super) fn find_first(&mut self) {
        if let Some(first) = self.next_from(self.first.0) {
            self.first = (first.seq.0, first.at.unix_nanos());
            self.dead.raise_floor(first.seq.0.saturating_sub(1));
        }
    }

    /// What is known of a message; `None` when it is not there.
    pub(super) fn get(&self, seq: u64) -> Option<MessageMeta> {
        if seq < self.first.0 || seq > self.last() || self.dead.contains(seq) {
            return None;
        }
        let messages = self.messages(self.pages.page_from(seq));
        let place = messages.binary_search_by_key(&seq, |meta| meta.seq.0);
        messages.get(place.ok()?).cloned()
    }

    /// Takes a message out; `None` when it is not there.
    pub(super) fn remove(&mut self, seq: u64) -> Option<Removed> {
        let meta = self.get(seq)?;
        let by_subject = self.pages.page_with(meta.subject.as_str(), seq);
        let by_subject = by_subject.expect("every message has its subject");
        self.dead.insert(seq);
        self.live -= 1;
        self.live_bytes -= meta.bytes;
        self.live_by_seq[self.pages.page_from(seq)] -= 1;
        self.live_by_subject[by_subject] -= 1;
        if seq == self.first.0 && self.live > 0 {
            self.find_first();
        }
        Some(Removed {
            at: meta.at,
            bytes: meta.bytes,
            subject: meta.subject,
        })
    }

    /// Takes out the messages up to `floor`.
    pub(super) fn remove_through(&mut self, floor: u64) {
        for seq in self.seqs_in(self.first.0..=floor) {
            self.remove(seq);
        }
    }

    /// The first message from `from` on.
    pub(super) fn next_from(&self, from: u64) -> Option<MessageMeta> {
        self.find_from(from, |_| true)
    }

    /// The first message from `from` on that is wanted: a scan.
    fn find_from(
        &self,
        from: u64,
        is_wanted: impl Fn(&MessageMeta) -> bool,
    ) -> Option<MessageMeta> {
        let from = from.max(self.first.0);
        if from > self.last() {
            return None;
        }
        for page in self.pages.page_from(from)..self.live_by_seq.len() {
            if self.live_by_seq[page] == 0 {
                continue;
            }
            let messages = self.messages(page);
            let skipped = messages.partition_point(|meta| meta.seq.0 < from);
            let mut behind = messages[skipped..].iter();
            let found = behind.find(|meta| !self.dead.contains(meta.seq.0) && is_wanted(meta));
            if let Some(found) = found {
                return Some(found.clone());
            }
        }
        None
    }

    /// The newest message.
    pub(super) fn newest(&self) -> Option<MessageMeta> {
        let pages = (0..self.live_by_seq.len()).rev();
        let page = pages.into_iter().find(|page| self.live_by_seq[*page] > 0)?;
        let messages = self.messages(page);
        let mut live = messages.iter().rev();
        live.find(|meta| !self.dead.contains(meta.seq.0)).cloned()
    }

    /// How many messages there are from `from` on.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        if from <= self.first.0 {
            return self.live;
        }
        if from > self.last() {
            return 0;
        }
        let page = self.pages.page_from(from);
        let cut = match self.live_by_seq[page] {
            0 => 0,
            _ => {
                let messages = self.messages(page);
                let behind = messages.iter().filter(|meta| meta.seq.0 >= from);
                behind
                    .filter(|meta| !self.dead.contains(meta.seq.0))
                    .count() as u64
            }
        };
        let whole = self.live_by_seq[page + 1..].iter();
        cut + whole.map(|live| u64::from(*live)).sum::<u64>()
    }

    /// A sequence before which every message is earlier than `at`, provided that times ascend; `None` when all
    /// messages are.
    pub(super) fn not_earlier(&self, at: i64) -> Option<u64> {
        let pages = &self.pages.shape.by_seq;
        let page = pages.partition_point(|page| page.last_at < at);
        if page == pages.len() {
            return None;
        }
        let messages = self.messages(page);
        let place = messages.partition_point(|meta| meta.at.unix_nanos() < at);
        let found = messages.get(place).or(messages.last());
        found.map(|meta| meta.seq.0)
    }

    fn live_seqs<'a>(&'a self, seqs: &'a [u64]) -> impl DoubleEndedIterator<Item = u64> + 'a {
        let live = seqs.iter().filter(|seq| !self.dead.contains(**seq));
        live.copied()
    }

    /// The pages of a range that hold messages, none when the table cannot have any of it.
    fn live_pages(&self, range: &SubjectRange) -> impl DoubleEndedIterator<Item = usize> {
        let pages = match range.may_be_in(&self.pages.shape) {
            true => self.pages.pages_of(range),
            false => 0..0,
        };
        pages.filter(|page| self.live_by_subject[*page] > 0)
    }

    /// Tells whether every subject of a page is in a range.
    fn is_whole(&self, page: usize, range: &SubjectRange) -> bool {
        let shape = &self.pages.shape;
        shape.name(page) >= range.lower()
            && match page + 1 < shape.by_subject.len() {
                // The last subject of the page is not behind the first of the next.
                true => range.reaches(shape.name(page + 1)),
                false => range.is_open(),
            }
    }

    /// How many messages the subjects of a range have.
    pub(super) fn count(&self, range: &SubjectRange) -> u64 {
        let counts = self.live_pages(range).map(|page| {
            if self.is_whole(page, range) {
                return u64::from(self.live_by_subject[page]);
            }
            let subjects = self.subjects(page);
            let entries = subjects.entries().filter(|(name, _)| range.contains(name));
            entries
                .map(|(_, seqs)| self.live_seqs(seqs).count() as u64)
                .sum()
        });
        counts.sum()
    }

    /// The message of this one subject that has `place` older ones in this table; when there are not as many, how
    /// many there are.
    pub(super) fn nth(&self, subject: &SubjectRange, mut place: usize) -> Result<u64, usize> {
        let mut passed = 0;
        for page in self.live_pages(subject) {
            let live = self.live_by_subject[page] as usize;
            if self.is_whole(page, subject) && place >= live {
                place -= live;
                passed += live;
                continue;
            }
            let subjects = self.subjects(page);
            let entries = subjects
                .entries()
                .filter(|(name, _)| subject.contains(name));
            for seq in entries.flat_map(|(_, seqs)| self.live_seqs(seqs)) {
                if place == 0 {
                    return Ok(seq);
                }
                place -= 1;
                passed += 1;
            }
        }
        Err(passed)
    }

    /// The newest message of the wanted subjects of a range. Pages are read from the one that may have the newest on.
    pub(super) fn last_of(
        &self,
        range: &SubjectRange,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Option<u64> {
        let shape = &self.pages.shape;
        let newest = |page: usize| shape.first + u64::from(shape.by_subject[page].newest);
        let pages = self.live_pages(range).map(|page| (newest(page), page));
        let mut pages: BinaryHeap<(u64, usize)> = pages.collect();
        let mut best = None;
        while let Some((bound, page)) = pages.pop() {
            if best.is_some_and(|best| best >= bound) {
                break;
            }
            let subjects = self.subjects(page);
            let entries = subjects.entries();
            let selected = entries.filter(|(name, _)| range.contains(name) && is_wanted(name));
            let lasts = selected.filter_map(|(_, seqs)| self.live_seqs(seqs).next_back());
            best = best.max(lasts.max());
        }
        best
    }

    /// The first message of this one subject from `from` on.
    pub(super) fn next_on(&self, subject: &SubjectRange, from: u64) -> Option<u64> {
        let from = from.max(self.first.0);
        if from > self.last() || !subject.may_be_in(&self.pages.shape) {
            return None;
        }
        let pages = self.pages.pages_of(subject);
        let start = self.pages.page_with(subject.lower(), from).unwrap_or(0);
        for page in start.max(pages.start)..pages.end {
            if self.live_by_subject[page] == 0 {
                continue;
            }
            let subjects = self.subjects(page);
            let entries = subjects
                .entries()
                .filter(|(name, _)| subject.contains(name));
            let mut seqs = entries.flat_map(|(_, seqs)| self.live_seqs(seqs));
            if let Some(seq) = seqs.find(|seq| *seq >= from) {
                return Some(seq);
            }
        }
        None
    }

    /// The first selected message from `from` on: by the subjects where they fill few pages, by a scan where
    /// the next one is near.
    pub(super) fn next_selected(
        &self,
        from: u64,
        selection: &Selection,
        ranges: &[SubjectRange],
    ) -> Option<u64> {
        let from = from.max(self.first.0);
        if from > self.last() {
            return None;
        }
        let pages = self.pages_at_most(ranges);
        if pages == 0 {
            return None;
        }
        let behind = self.live_by_seq.len() - self.pages.page_from(from);
        if pages.saturating_mul(pages) > behind.max(WALKED_PAGES_MIN) {
            let found = self.find_from(from, |meta| selection.matches(meta.subject.as_str()));
            return found.map(|meta| meta.seq.0);
        }
        let nexts = self.pages_of_all(ranges).into_iter().filter_map(|page| {
            let subjects = self.subjects(page);
            let selected = subjects
                .entries()
                .filter(|(name, _)| selection.matches(name));
            let nexts =
                selected.filter_map(|(_, seqs)| self.live_seqs(seqs).find(|seq| *seq >= from));
            nexts.min()
        });
        nexts.min()
    }

    /// How many messages from `from` on are selected.
    pub(super) fn count_selected(
        &self,
        from: u64,
        selection: &Selection,
        ranges: &[SubjectRange],
    ) -> u64 {
        if from > self.last() {
            return 0;
        }
        let is_whole = from <= self.first.0;
        if is_whole && selection.disjoint && selection.has_no_star() {
            return ranges.iter().map(|range| self.count(range)).sum();
        }
        let first = self.pages.page_from(from);
        let behind = first..self.live_by_seq.len();
        if self.pages_at_most(ranges) > behind.len() {
            let counts = behind
                .filter(|page| self.live_by_seq[*page] > 0)
                .map(|page| {
                    let messages = self.messages(page);
                    let live = messages.iter().filter(|meta| {
                        meta.seq.0 >= from
                            && !self.dead.contains(meta.seq.0)
                            && selection.matches(meta.subject.as_str())
                    });
                    live.count() as u64
                });
            return counts.sum();
        }
        let counts = self.pages_of_all(ranges).into_iter().map(|page| {
            let subjects = self.subjects(page);
            let selected = subjects
                .entries()
                .filter(|(name, _)| selection.matches(name));
            let seqs = selected.flat_map(|(_, seqs)| self.live_seqs(seqs));
            seqs.filter(|seq| *seq >= from).count() as u64
        });
        counts.sum()
    }

    /// How many pages the subjects of some ranges may be in, without a look at each.
    fn pages_at_most(&self, ranges: &[SubjectRange]) -> usize {
        let may_have = |range: &&SubjectRange| range.may_be_in(&self.pages.shape);
        let ranges = ranges.iter().filter(may_have);
        ranges.map(|range| self.pages.pages_of(range).len()).sum()
    }

    /// The pages of some ranges that hold messages, each once.
    fn pages_of_all(&self, ranges: &[SubjectRange]) -> Vec<usize> {
        let mut pages: Vec<usize> = ranges
            .iter()
            .flat_map(|range| self.live_pages(range))
            .collect();
        if ranges.len() > 1 {
            pages.sort_unstable();
            pages.dedup();
        }
        pages
    }

    /// The subjects of a range that have messages, in order.
    pub(super) fn cursor<'a>(&'a self, range: &'a SubjectRange) -> SubjectCursor<'a> {
        let pages = self.live_pages(range).collect::<Vec<_>>();
        let mut cursor = SubjectCursor {
            table: self,
            range,
            pages: pages.into_iter(),
            page: None,
            subject: None,
            seqs: Vec::new(),
        };
        cursor.advance();
        cursor
    }

    /// The table as it is now, for whoever merges it.
    pub(super) fn share(&self) -> Self {
        Self {
            pages: Arc::clone(&self.pages),
            dead: self.dead.clone(),
            live_by_seq: self.live_by_seq.clone(),
            live_by_subject: self.live_by_subject.clone(),
            ..*self
        }
    }

    /// Gives `each` every message, ascending, until it fails.
    pub(super) fn try_each<E>(
        &self,
        mut each: impl FnMut(&MessageMeta) -> Result<(), E>,
    ) -> Result<(), E> {
        for page in 0..self.live_by_seq.len() {
            if self.live_by_seq[page] > 0 {
                let messages = self.messages(page);
                let mut live = messages
                    .iter()
                    .filter(|meta| !self.dead.contains(meta.seq.0));
                live.try_for_each(&mut each)?;
            }
        }
        Ok(())
    }

    /// The messages in a range of sequences.
    pub(super) fn seqs_in(&self, seqs: RangeInclusive<u64>) -> Vec<u64> {
        let next = |from| self.next_from(from).map(|meta| meta.seq.0);
        let all = successors(next(*seqs.start()), |seq| next(seq + 1));
        all.take_while(|seq| seqs.contains(seq)).collect()
    }

    /// What the table takes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let counts = self.live_by_seq.capacity() + self.live_by_subject.capacity();
        self.pages.shape.heap_bytes() + counts * size_of::<u32>() + self.dead.heap_bytes()
    }
}

/// Pages whose number squared is not more are read rather than that messages are scanned.
const WALKED_PAGES_MIN: usize = 16;

/// The subjects of a table in order, those with messages only.
pub(super) struct SubjectCursor<'a> {
    table: &'a Table,
    range: &'a SubjectRange,
    pages: std::vec::IntoIter<usize>,
    /// The page under the cursor, and the entry there that comes next.
    page: Option<(Arc<SubjectsPage>, usize)>,
    subject: Option<String>,
    seqs: Vec<u64>,
}

impl SubjectCursor<'_> {
    /// The subject under the cursor; `None` at the end.
    pub(super) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Its messages, ascending.
    pub(super) fn seqs(&self) -> &[u64] {
        &self.seqs
    }

    /// Goes to the next subject.
    pub(super) fn advance(&mut self) {
        self.subject = None;
        self.seqs.clear();
        loop {
            let Some((page, at)) = &mut self.page else {
                let Some(next) = self.pages.next() else {
                    return;
                };
                self.page = Some((self.table.subjects(next), 0));
                continue;
            };
            let Some((name, seqs)) = page.entry(*at) else {
                self.page = None;
                continue;
            };
            match &self.subject {
                Some(subject) if subject != name => return,
                Some(_) => {}
                None if !self.range.contains(name) => {
                    *at += 1;
                    continue;
                }
                None => {
                    let live = self.table.live_seqs(seqs).next();
                    self.subject = live.map(|_| name.to_owned());
                }
            }
            *at += 1;
            if self.subject.is_some() {
                self.seqs.extend(self.table.live_seqs(seqs));
            }
        }
    }
}

fn fault(source: &dyn TableBytes, offset: u64, problem: String) -> Unreadable {
    Unreadable {
        table: source.name(),
        offset,
        problem,
    }
}

/// How many of `0..len` come before the first for which `is_before` says no.
fn partition(len: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low.midpoint(high);
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
