//! Reading the log back, file by file, entry by entry.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_platform::Disk;

use super::file::{Frame, FrameReader};
use super::frame::{self, Link};
use super::{EntryKind, WalPosition};
use crate::Error;

/// One entry read back from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The group the entry belongs to.
    pub group: GroupId,
    /// Its index in the group's log.
    pub index: LogIndex,
    /// Its term, as appended.
    pub term: u64,
    /// What sort of entry it is, as appended.
    pub kind: EntryKind,
    /// What was appended.
    pub body: Bytes,
    /// The frame that holds it.
    pub position: WalPosition,
}

/// Said of an intact frame behind the place where the next file's frames begin.
pub(super) const FRAME_BEHIND_END: &str =
    "the file has an intact frame that the next file does not know of";

/// Said of a frame whose crc is right and whose content is not.
pub(super) const ENTRIES_DO_NOT_ADD_UP: &str = "a frame's entries do not add up";

/// The entries of the log in the order they were appended; ends after the first error.
///
/// Memory: one frame at a time. Must be read before [`Wal::release`](super::Wal::release) is
/// called, which recycles the files.
#[derive(Debug)]
pub struct Replay {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    files: VecDeque<ReplayFile>,
    /// Where the first file is read from; what lies before it nobody needs.
    from: Option<WalPosition>,
    reader: Option<FrameReader>,
    entries: VecDeque<Entry>,
    failed: bool,
}

/// A file to read, and where its frames end.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReplayFile {
    pub(super) number: u64,
    /// What the frame after the last one of this file carries.
    pub(super) end: Link,
}

impl Replay {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        files: VecDeque<ReplayFile>,
        from: Option<WalPosition>,
    ) -> Self {
        Self {
            disk,
            dir,
            files,
            from,
            reader: None,
            entries: VecDeque::new(),
            failed: false,
        }
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Ok(Some(entry));
            }
            let Some(file) = self.files.front().copied() else {
                return Ok(None);
            };
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => none.insert(open_at(&*self.disk, &self.dir, file.number, self.from)?),
            };
            if reader.next_link().number == file.end.number {
                check_end(reader, file.end, self.files.len() > 1)?;
                self.files.pop_front();
                self.reader = None;
                continue;
            }
            read_frame(reader, file.number, &mut self.entries)?;
        }
    }
}

impl Iterator for Replay {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.next_entry();
        self.failed = entry.is_err();
        entry.transpose()
    }
}

/// Opens a file, standing at `from` if that is in it.
pub(super) fn open_at(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    from: Option<WalPosition>,
) -> Result<FrameReader, Error> {
    let mut reader = FrameReader::open(disk, dir, number)?;
    if let Some(from) = from.filter(|from| from.file == number)
        && !reader.seek(from.offset)?
    {
        let what = "a frame is unreadable, and with it where the log goes on";
        return Err(Error::damaged(reader.path(), reader.offset(), what));
    }
    Ok(reader)
}

/// The files are chained: the next file begins with the crc this one ends with, and this one goes no
/// further. The last file may: it is written to by now.
fn check_end(reader: &mut FrameReader, end: Link, has_next: bool) -> Result<(), Error> {
    if reader.next_link().previous_crc != end.previous_crc {
        let what = "the file does not end with the frame the next one follows";
        return Err(Error::damaged(reader.path(), reader.offset(), what));
    }
    let (path, offset) = (reader.path().to_owned(), reader.offset());
    match has_next && reader.next_frame()?.is_some() {
        false => Ok(()),
        true => Err(Error::damaged(&path, offset, FRAME_BEHIND_END)),
    }
}

fn read_frame(
    reader: &mut FrameReader,
    file: u64,
    entries: &mut VecDeque<Entry>,
) -> Result<(), Error> {
    let (path, offset) = (reader.path().to_owned(), reader.offset());
    let Some(frame) = reader.next_frame()? else {
        let what = "a frame is unreadable although later frames are there";
        return Err(Error::damaged(&path, offset, what));
    };
    match take_entries(&frame, file, entries) {
        Some(()) => Ok(()),
        None => Err(Error::damaged(&path, offset, ENTRIES_DO_NOT_ADD_UP)),
    }
}

/// Copies the entries out of a frame; `None` when they are malformed, which the writer never makes.
pub(super) fn take_entries(
    frame: &Frame<'_>,
    file: u64,
    entries: &mut impl Extend<Entry>,
) -> Option<()> {
    let position = WalPosition {
        file,
        offset: frame.offset,
    };
    let mut payload = frame::payload(frame.bytes);
    for _ in 0..frame.entries {
        let entry = frame::take_entry(&mut payload, frame.layout)?;
        entries.extend([Entry {
            group: entry.group,
            index: entry.index,
            term: entry.term,
            kind: entry.kind,
            body: Bytes::copy_from_slice(entry.body),
            position,
        }]);
    }
    Some(())
}
