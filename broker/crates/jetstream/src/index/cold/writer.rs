//! Writing a table, front to back: the messages in order, then the subjects in order.

use super::bloom::TextHash;
use super::page::{self, MessagesDraft, SubjectsDraft};
use super::shape::{MessagesRef, Place, Shape, SubjectsRef};
use crate::MessageMeta;
use crate::numbers::shared_len;

/// A table that is being written. Holds one page, and what [`Shape`] keeps of those before.
pub(super) struct TableWriter<'a, E> {
    write: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
    offset: u64,
    shape: Shape,
    messages: MessagesDraft,
    /// The first sequence of the page.
    page_first: u64,
    page_last_at: i64,
    subjects: SubjectsDraft,
    page_name: String,
    page_seqs: Option<[u64; 2]>,
    page_messages: u32,
    /// The subject before, all beginnings of which are known.
    subject: String,
}

impl<'a, E> TableWriter<'a, E> {
    /// `keys` is how many subjects and beginnings of subjects there will be; with more the table is right, and
    /// read more often than it need be.
    pub(super) fn new(keys: u64, write: &'a mut dyn FnMut(&[u8]) -> Result<(), E>) -> Self {
        Self {
            write,
            offset: 0,
            shape: Shape::new(keys),
            messages: MessagesDraft::default(),
            page_first: 0,
            page_last_at: 0,
            subjects: SubjectsDraft::default(),
            page_name: String::new(),
            page_seqs: None,
            page_messages: 0,
            subject: String::new(),
        }
    }

    /// Adds a message behind all others.
    pub(super) fn message(&mut self, meta: &MessageMeta) -> Result<(), E> {
        if self.shape.messages == 0 {
            self.shape.first = meta.seq.0;
        }
        if self.messages.len() == 0 {
            self.page_first = meta.seq.0;
        }
        self.messages.push(meta, self.shape.first);
        self.page_last_at = meta.at.unix_nanos();
        self.shape.last = meta.seq.0;
        self.shape.messages += 1;
        self.shape.bytes += meta.bytes;
        self.shape.lifetimes += u64::from(meta.lifetime.is_some());
        match self.messages.is_complete() {
            true => self.end_messages(),
            false => Ok(()),
        }
    }

    /// All messages were added: subjects follow.
    pub(super) fn end_messages(&mut self) -> Result<(), E> {
        let draft = std::mem::take(&mut self.messages);
        if draft.len() == 0 {
            return Ok(());
        }
        let messages = u32::try_from(draft.len()).expect("a page holds few messages");
        let place = self.put_page(draft.finish())?;
        let page = MessagesRef {
            place,
            first: self.above(self.page_first),
            messages,
            last_at: self.page_last_at,
        };
        self.shape.by_seq.push(page);
        Ok(())
    }

    /// Adds a subject behind all others with its messages, which ascend.
    pub(super) fn subject(&mut self, subject: &str, mut seqs: &[u64]) -> Result<(), E> {
        self.note_beginnings(subject);
        while !seqs.is_empty() {
            if self.subjects.room() == 0 {
                self.end_subjects()?;
            }
            let (now, later) = seqs.split_at(seqs.len().min(self.subjects.room()));
            if self.subjects.is_empty() {
                subject.clone_into(&mut self.page_name);
            }
            self.subjects
                .push(subject.as_bytes(), now, self.shape.first);
            self.page_messages += u32::try_from(now.len()).expect("a page holds few messages");
            if let [first, ..] = now
                && let [.., last] = now
            {
                let seqs = self.page_seqs.get_or_insert([*first, 0]);
                seqs[1] = seqs[1].max(*last);
            }
            seqs = later;
        }
        Ok(())
    }

    fn end_subjects(&mut self) -> Result<(), E> {
        let Some([first, newest]) = self.page_seqs.take() else {
            return Ok(());
        };
        let draft = std::mem::take(&mut self.subjects);
        let place = self.put_page(draft.finish())?;
        let seqs = [self.above(first), self.above(newest)];
        let messages = std::mem::take(&mut self.page_messages);
        let page = SubjectsRef::new(place, seqs, messages);
        self.shape.push_subjects(&self.page_name, page);
        Ok(())
    }

    /// Completes the table.
    pub(super) fn finish(mut self) -> Result<Shape, E> {
        self.end_subjects()?;
        let end = self.shape.encode(self.offset);
        (self.write)(&end)?;
        Ok(self.shape)
    }

    /// The subject and those of its beginnings that the one before does not have.
    fn note_beginnings(&mut self, subject: &str) {
        for key in new_keys(subject, &self.subject) {
            self.shape.bloom.insert(key);
        }
        subject.clone_into(&mut self.subject);
    }

    fn put_page(&mut self, mut page: Vec<u8>) -> Result<Place, E> {
        page::seal(&mut page, self.offset);
        (self.write)(&page)?;
        let place = Place {
            offset: self.offset,
            len: u32::try_from(page.len()).expect("a page is small"),
        };
        self.offset += page.len() as u64;
        Ok(place)
    }

    fn above(&self, seq: u64) -> u32 {
        u32::try_from(seq - self.shape.first).expect("a table spans fewer than 2^32 sequences")
    }
}

/// The keys a subject adds to those of the one before it in order: itself, and its beginnings up to each dot that
/// the one before does not have.
pub(super) fn new_keys(subject: &str, before: &str) -> impl Iterator<Item = TextHash> {
    let shared = shared_len(subject.as_bytes(), before.as_bytes());
    let dots = subject.match_indices('.').map(|(dot, _)| dot + 1);
    let whole = subject.len();
    let beginnings = dots.chain([whole]);
    let keys = beginnings.scan((TextHash::EMPTY, 0), move |(hash, start), end| {
        *hash = hash.with(&subject.as_bytes()[*start..end]);
        *start = end;
        Some((*hash, end > shared || end == whole))
    });
    keys.filter_map(|(key, is_new)| is_new.then_some(key))
}
