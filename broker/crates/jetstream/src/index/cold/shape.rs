//! What is kept in memory of a table: where its pages are, how far each reaches, and which subjects it may have.
//!
//! Some 2 bytes a subject. It stands at the end of the table:
//!
//! ```text
//! pages by sequence, pages by subject   see `page`
//! directory                             what `Shape` holds
//! trailer (32 bytes)                    directory offset u64, directory bytes u64, version u32,
//!                                       CRC-32C of the directory and the trailer before it u32, magic u64
//! ```

use super::bloom::{Bloom, TextHash};
use crate::numbers::{Reader, put, put_signed};

pub(super) const TRAILER_BYTES: usize = 32;
const MAGIC: [u8; 8] = *b"HITHIDX\0";
const VERSION: u32 = 1;

/// Where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// With its checksum.
    pub(super) len: u32,
}

/// A page by sequence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MessagesRef {
    pub(super) place: Place,
    /// Above the table's first sequence, as below.
    pub(super) first: u32,
    pub(super) messages: u32,
    pub(super) last_at: i64,
}

/// A page by subject. The messages of a subject may go on in the next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SubjectsRef {
    pub(super) place: Place,
    /// Where the text of its first subject ends in `names`.
    name_end: u32,
    /// The first message of its first subject.
    pub(super) first: u32,
    /// Its newest message.
    pub(super) newest: u32,
    pub(super) messages: u32,
}

/// What is kept in memory of a table that does not change.
#[derive(Debug)]
pub(super) struct Shape {
    /// The first message when the table was written.
    pub(super) first: u64,
    /// The last message when the table was written.
    pub(super) last: u64,
    pub(super) messages: u64,
    /// The sum of the sizes of the messages.
    pub(super) bytes: u64,
    /// Messages that say themselves how long they stay.
    pub(super) lifetimes: u64,
    /// What `bloom` holds.
    pub(super) keys: u64,
    pub(super) by_seq: Vec<MessagesRef>,
    pub(super) by_subject: Vec<SubjectsRef>,
    /// The first subjects of the pages by subject, one after the other.
    names: String,
    pub(super) bloom: Bloom,
}

impl Shape {
    pub(super) fn new(keys: u64) -> Self {
        Self {
            first: 0,
            last: 0,
            messages: 0,
            bytes: 0,
            lifetimes: 0,
            keys,
            by_seq: Vec::new(),
            by_subject: Vec::new(),
            names: String::new(),
            bloom: Bloom::new(keys),
        }
    }

    pub(super) fn push_subjects(&mut self, name: &str, mut page: SubjectsRef) {
        self.names.push_str(name);
        page.name_end =
            u32::try_from(self.names.len()).expect("a table has less than 4 GiB of names");
        self.by_subject.push(page);
    }

    /// The first subject of a page.
    pub(super) fn name(&self, page: usize) -> &str {
        let end = |page: usize| self.by_subject[page].name_end as usize;
        let start = page.checked_sub(1).map_or(0, end);
        &self.names[start..end(page)]
    }

    /// Tells whether the table may have a subject, or subjects with this beginning when it ends with a dot.
    pub(super) fn may_have(&self, subject: &str) -> bool {
        self.bloom
            .may_have(TextHash::EMPTY.with(subject.as_bytes()))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.by_seq.capacity() * size_of::<MessagesRef>()
            + self.by_subject.capacity() * size_of::<SubjectsRef>()
            + self.names.capacity()
            + self.bloom.heap_bytes()
    }

    /// The directory and the trailer, to stand at `offset`.
    pub(super) fn encode(&self, offset: u64) -> Vec<u8> {
        let mut buf = Vec::new();
        for number in [
            self.first,
            self.last,
            self.messages,
            self.bytes,
            self.lifetimes,
            self.keys,
        ] {
            put(&mut buf, number);
        }
        put(&mut buf, self.by_seq.len() as u64);
        for page in &self.by_seq {
            put_place(&mut buf, page.place);
            put(&mut buf, u64::from(page.first));
            put(&mut buf, u64::from(page.messages));
            put_signed(&mut buf, page.last_at);
        }
        put(&mut buf, self.by_subject.len() as u64);
        for page in &self.by_subject {
            put_place(&mut buf, page.place);
            for number in [page.name_end, page.first, page.newest, page.messages] {
                put(&mut buf, u64::from(number));
            }
        }
        put(&mut buf, self.names.len() as u64);
        buf.extend_from_slice(self.names.as_bytes());
        self.bloom.encode(&mut buf);

        let len = buf.len() as u64;
        buf.extend_from_slice(&offset.to_le_bytes());
        buf.extend_from_slice(&len.to_le_bytes());
        buf.extend_from_slice(&VERSION.to_le_bytes());
        let crc = crc32c::crc32c(&buf);
        buf.extend_from_slice(&crc.to_le_bytes());
        buf.extend_from_slice(&MAGIC);
        buf
    }

    /// Where the directory of a table of `len` bytes with this trailer begins.
    pub(super) fn directory(trailer: &[u8; TRAILER_BYTES], len: u64) -> Result<u64, &'static str> {
        let (numbers, magic) = trailer.split_at(TRAILER_BYTES - MAGIC.len());
        if magic != MAGIC {
            return Err("it does not end like a table of the index");
        }
        let version = numbers[16..].first_chunk().copied().unwrap_or_default();
        if u32::from_le_bytes(version) != VERSION {
            return Err("it is of another version");
        }
        let number = |at: usize| {
            let bytes = numbers[at..].first_chunk().copied().unwrap_or_default();
            u64::from_le_bytes(bytes)
        };
        let (offset, bytes) = (number(0), number(8));
        let end = offset.checked_add(bytes);
        let end = end.and_then(|end| end.checked_add(TRAILER_BYTES as u64));
        match end == Some(len) {
            true => Ok(offset),
            false => Err("its directory is not where it should be"),
        }
    }

    /// Reads the directory and the trailer.
    pub(super) fn decode(end: &[u8]) -> Result<Self, &'static str> {
        let (checked, rest) = end
            .split_at_checked(end.len().saturating_sub(MAGIC.len() + 4))
            .ok_or("it is too short")?;
        let crc = rest.first_chunk().copied().unwrap_or_default();
        if crc32c::crc32c(checked) != u32::from_le_bytes(crc) {
            return Err("the checksum of its directory is wrong");
        }
        let directory = checked.len().saturating_sub(20);
        let mut reader = Reader(&checked[..directory]);
        let shape = Self::read(&mut reader).filter(|_| reader.0.is_empty());
        shape.ok_or("its directory makes no sense")
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut numbers = [0; 6];
        for number in &mut numbers {
            *number = reader.number()?;
        }
        let [first, last, messages, bytes, lifetimes, keys] = numbers;
        let mut by_seq = Vec::new();
        for _ in 0..reader.length()? {
            by_seq.push(MessagesRef {
                place: read_place(reader)?,
                first: reader.narrow()?,
                messages: reader.narrow()?,
                last_at: reader.signed()?,
            });
        }
        by_seq.shrink_to_fit();
        let mut by_subject: Vec<SubjectsRef> = Vec::new();
        for _ in 0..reader.length()? {
            by_subject.push(SubjectsRef {
                place: read_place(reader)?,
                name_end: reader.narrow()?,
                first: reader.narrow()?,
                newest: reader.narrow()?,
                messages: reader.narrow()?,
            });
        }
        by_subject.shrink_to_fit();
        let names = reader.length()?;
        let names = std::str::from_utf8(reader.bytes(names)?).ok()?.to_owned();
        let ends = by_subject.iter().map(|page| page.name_end as usize);
        let fits = ends.clone().is_sorted() && ends.clone().all(|end| names.is_char_boundary(end));
        fits.then_some(())?;
        Some(Self {
            first,
            last,
            messages,
            bytes,
            lifetimes,
            keys,
            by_seq,
            by_subject,
            names,
            bloom: Bloom::decode(reader)?,
        })
    }
}

impl SubjectsRef {
    /// A page whose place among the names is not known yet.
    pub(super) fn new(place: Place, seqs: [u32; 2], messages: u32) -> Self {
        let [first, newest] = seqs;
        Self {
            place,
            name_end: 0,
            first,
            newest,
            messages,
        }
    }
}

fn put_place(buf: &mut Vec<u8>, place: Place) {
    put(buf, place.offset);
    put(buf, u64::from(place.len));
}

fn read_place(reader: &mut Reader<'_>) -> Option<Place> {
    Some(Place {
        offset: reader.number()?,
        len: reader.narrow()?,
    })
}
