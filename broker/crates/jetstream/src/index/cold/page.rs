//! The pages of a table: messages in order of sequence, and subjects in order with their messages.
//!
//! ```text
//! by sequence   messages; per message: seq above the one before (at first, above the table's first),
//!               time above the one before, signed; size; subject as what it does not share with the
//!               beginning of the one before; 0, or how long it stays: 1 + bit 1 for a marker, bit 2 when
//!               it expires, and then the time above its own, signed
//! by subject    entries; per entry: subject, as above; messages; their seqs, each above the one before
//!               (at first, above the table's first)
//! ```
//! Behind each page stands the CRC-32C of its place in the table and of its bytes, so that a page read from the
//! wrong place is damage too.

use std::ops::Range;

use hitherto_protocol::Timestamp;

use crate::numbers::{Reader, put, put_signed, put_text};
use crate::{Lifetime, MessageMeta, MetaPart};

/// Messages in one page by sequence.
pub(super) const MESSAGES_MAX: usize = 256;

/// A page that reached so many bytes is complete: 4 KiB.
pub(super) const PAGE_BYTES: usize = 4 * 1024;

/// So much text in one page completes it, as it takes memory when the page is read: 16 KiB.
pub(super) const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Messages of the subjects of one page.
pub(super) const POSTINGS_MAX: usize = 1024;

pub(super) const CRC_BYTES: usize = 4;

const IS_MARKER: u64 = 1;
const EXPIRES: u64 = 2;

/// Completes the bytes of a page that will stand at `offset`.
pub(super) fn seal(page: &mut Vec<u8>, offset: u64) {
    let crc = checksum(page, offset);
    page.extend_from_slice(&crc.to_le_bytes());
}

/// What was sealed; `None` when it is damaged.
pub(super) fn unseal(page: &[u8], offset: u64) -> Option<&[u8]> {
    let (bytes, crc) = page.split_last_chunk::<CRC_BYTES>()?;
    (u32::from_le_bytes(*crc) == checksum(bytes, offset)).then_some(bytes)
}

fn checksum(bytes: &[u8], offset: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&offset.to_le_bytes()), bytes)
}

/// A page by sequence that is being written.
#[derive(Debug, Default)]
pub(super) struct MessagesDraft {
    buf: Vec<u8>,
    messages: usize,
    text_bytes: usize,
    seq: u64,
    at: i64,
    subject: Vec<u8>,
}

impl MessagesDraft {
    /// Adds a message behind all others; `base` is the table's first sequence.
    pub(super) fn push(&mut self, meta: &MessageMeta, base: u64) {
        let before = if self.messages == 0 { base } else { self.seq };
        put(&mut self.buf, meta.seq.0 - before);
        let at = meta.at.unix_nanos();
        put_signed(&mut self.buf, at.wrapping_sub(self.at));
        put(&mut self.buf, meta.bytes);
        let subject = meta.subject.as_str().as_bytes();
        put_text(&mut self.buf, subject, &self.subject);
        put_lifetime(&mut self.buf, meta.lifetime, at);
        subject.clone_into(&mut self.subject);
        self.text_bytes += subject.len();
        (self.seq, self.at) = (meta.seq.0, at);
        self.messages += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.messages
    }

    pub(super) fn is_complete(&self) -> bool {
        self.messages >= MESSAGES_MAX || self.text_bytes >= TEXT_BYTES_MAX
    }

    /// The bytes, with the number of messages in front.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut page = Vec::with_capacity(self.buf.len() + 8);
        put(&mut page, self.messages as u64);
        page.extend_from_slice(&self.buf);
        page
    }
}

fn put_lifetime(buf: &mut Vec<u8>, lifetime: Option<Lifetime>, at: i64) {
    let Some(Lifetime { expires, is_marker }) = lifetime else {
        return put(buf, 0);
    };
    let marker = if is_marker { IS_MARKER } else { 0 };
    match expires {
        None => put(buf, 1 + marker),
        Some(expires) => {
            put(buf, 1 + (marker | EXPIRES));
            put_signed(buf, expires.unix_nanos().wrapping_sub(at));
        }
    }
}

fn read_lifetime(reader: &mut Reader<'_>, at: i64) -> Option<Option<Lifetime>> {
    let Some(flags) = reader.number()?.checked_sub(1) else {
        return Some(None);
    };
    let expires = match flags & EXPIRES {
        0 => None,
        _ => Some(Timestamp::from_unix_nanos(
            at.wrapping_add(reader.signed()?),
        )),
    };
    let is_marker = flags & IS_MARKER != 0;
    Some(Some(Lifetime { expires, is_marker }))
}

/// Reads a page by sequence; `None` when it holds anything else.
pub(super) fn read_messages(page: &[u8], base: u64) -> Option<Vec<MessageMeta>> {
    let mut reader = Reader(page);
    let len = reader.length().filter(|len| *len <= MESSAGES_MAX)?;
    let mut text = Vec::new();
    let mut parts = Vec::with_capacity(len);
    let (mut seq, mut at, mut subject) = (base, 0_i64, 0..0);
    for _ in 0..len {
        seq = seq.checked_add(reader.number()?)?;
        at = at.wrapping_add(reader.signed()?);
        let bytes = reader.number()?;
        subject = reader.text(&mut text, subject)?;
        let lifetime = read_lifetime(&mut reader, at)?;
        parts.push(MetaPart {
            seq,
            at,
            bytes,
            subject: subject.clone(),
            lifetime,
        });
    }
    if !reader.0.is_empty() {
        return None;
    }
    MessageMeta::join(text, parts)
}

/// A page by subject that is being written.
#[derive(Debug, Default)]
pub(super) struct SubjectsDraft {
    buf: Vec<u8>,
    entries: usize,
    postings: usize,
    text_bytes: usize,
    subject: Vec<u8>,
}

impl SubjectsDraft {
    /// Adds messages of a subject behind all others; `base` is the table's first sequence.
    pub(super) fn push(&mut self, subject: &[u8], seqs: &[u64], base: u64) {
        put_text(&mut self.buf, subject, &self.subject);
        put(&mut self.buf, seqs.len() as u64);
        let mut before = base;
        for seq in seqs {
            put(&mut self.buf, seq - before);
            before = *seq;
        }
        subject.clone_into(&mut self.subject);
        self.text_bytes += subject.len();
        self.postings += seqs.len();
        self.entries += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// How many messages there still is room for.
    pub(super) fn room(&self) -> usize {
        let is_complete = self.buf.len() >= PAGE_BYTES || self.text_bytes >= TEXT_BYTES_MAX;
        if is_complete {
            0
        } else {
            POSTINGS_MAX - self.postings
        }
    }

    /// The bytes, with the number of entries in front.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut page = Vec::with_capacity(self.buf.len() + 8);
        put(&mut page, self.entries as u64);
        page.extend_from_slice(&self.buf);
        page
    }
}

/// A page by subject that was read.
#[derive(Debug)]
pub(super) struct SubjectsPage {
    text: Vec<u8>,
    seqs: Vec<u64>,
    entries: Vec<(Range<usize>, Range<usize>)>,
}

impl SubjectsPage {
    /// Reads a page; `None` when it holds anything else.
    pub(super) fn read(page: &[u8], base: u64) -> Option<Self> {
        let mut reader = Reader(page);
        let len = reader.length().filter(|len| *len <= POSTINGS_MAX)?;
        let (mut text, mut seqs) = (Vec::new(), Vec::new());
        let mut entries = Vec::with_capacity(len);
        let mut subject = 0..0;
        for _ in 0..len {
            subject = reader.text(&mut text, subject)?;
            std::str::from_utf8(&text[subject.clone()]).ok()?;
            let (start, mut seq) = (seqs.len(), base);
            for _ in 0..reader.length().filter(|len| *len <= POSTINGS_MAX)? {
                seq = seq.checked_add(reader.number()?)?;
                seqs.push(seq);
            }
            entries.push((subject.clone(), start..seqs.len()));
        }
        reader.0.is_empty().then_some(Self {
            text,
            seqs,
            entries,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The subject in place `at`, and its messages here, ascending.
    pub(super) fn entry(&self, at: usize) -> Option<(&str, &[u64])> {
        let (text, seqs) = self.entries.get(at)?;
        let text = std::str::from_utf8(&self.text[text.clone()]);
        Some((
            text.expect("was checked when it was read"),
            &self.seqs[seqs.clone()],
        ))
    }

    /// All of them, ascending.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &[u64])> {
        (0..self.len()).filter_map(|at| self.entry(at))
    }
}

#[cfg(test)]
mod tests {
    use hitherto_protocol::Subject;

    use super::*;
    use crate::StreamSeq;

    fn meta(seq: u64, at: i64, subject: &str, lifetime: Option<Lifetime>) -> MessageMeta {
        MessageMeta {
            seq: StreamSeq(seq),
            at: Timestamp::from_unix_nanos(at),
            subject: Subject::new(subject.to_owned()).unwrap(),
            bytes: seq * 3,
            lifetime,
        }
    }

    #[test]
    fn messages_come_back_as_they_went_in() {
        let until = |at, is_marker| Lifetime {
            expires: Some(Timestamp::from_unix_nanos(at)),
            is_marker,
        };
        let forever = Lifetime {
            expires: None,
            is_marker: true,
        };
        let metas = [
            meta(7, 10, "a.b.c", None),
            meta(8, i64::MIN, "a.b", Some(until(i64::MAX, false))),
            meta(400, i64::MAX, "a.bc.d", Some(forever)),
            meta(401, 0, "x", Some(until(-3, true))),
        ];
        let mut draft = MessagesDraft::default();
        for meta in &metas {
            draft.push(meta, 5);
        }
        let page = draft.finish();
        assert_eq!(read_messages(&page, 5).unwrap(), metas);
        for len in 0..page.len() {
            assert_eq!(read_messages(&page[..len], 5), None);
        }
    }

    #[test]
    fn subjects_come_back_as_they_went_in() {
        let mut draft = SubjectsDraft::default();
        draft.push(b"a.b", &[9, 11, 4_000_000], 9);
        draft.push(b"a.b.c", &[10], 9);
        let page = draft.finish();
        let read = SubjectsPage::read(&page, 9).unwrap();
        let entries: Vec<_> = read.entries().collect();
        assert_eq!(
            entries,
            [
                ("a.b", [9, 11, 4_000_000].as_slice()),
                ("a.b.c", [10].as_slice())
            ]
        );
        for len in 0..page.len() {
            assert!(SubjectsPage::read(&page[..len], 9).is_none());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_other_place_is_damage() {
        let mut page = b"some bytes".to_vec();
        seal(&mut page, 4_096);
        assert_eq!(unseal(&page, 4_096), Some(&b"some bytes"[..]));
        assert_eq!(unseal(&page, 8_192), None);
        for bit in 0..page.len() * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&page, 4_096), None);
            page[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(unseal(&[1, 2, 3], 0), None);
    }
}
