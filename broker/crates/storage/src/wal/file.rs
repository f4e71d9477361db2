//! One file of the log: its names, its header sector, and reading frames off it.
//!
//! A file is prepared under a `spare-` name, its header synced, and only then renamed to `wal-`:
//! a `wal-` file with a bad header is damage, never an accident of timing.

use std::path::{Path, PathBuf};

use hitherto_platform::{Disk, DiskFile, OpenMode};

use super::frame::{self, ALIGN, FrameHeader, HEADER_BYTES, Layout, Link};
use crate::Error;
use crate::files::{self, u32_at, u64_at};

/// Where the first frame of a file starts: behind the header sector.
pub(super) const FRAMES_START: u64 = ALIGN as u64;

const MAGIC: u64 = u64::from_le_bytes(*b"HITHWAL\0");

/// Bytes read ahead while frames are scanned.
const READ_AHEAD_BYTES: usize = 256 * 1024;

pub(super) fn wal_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("wal-{number:010}.log"))
}

pub(super) fn spare_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("spare-{number:010}.log"))
}

/// The header sector: which file of the log this is, and what its first frame must carry.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileHeader {
    pub(super) number: u64,
    pub(super) first: Link,
    /// Of all its frames.
    pub(super) layout: Layout,
}

impl FileHeader {
    pub(super) fn encode(&self) -> [u8; ALIGN] {
        let mut sector = [0; ALIGN];
        sector[0..8].copy_from_slice(&MAGIC.to_le_bytes());
        sector[8..12].copy_from_slice(&u32::from(self.layout.version()).to_le_bytes());
        sector[16..24].copy_from_slice(&self.number.to_le_bytes());
        sector[24..32].copy_from_slice(&self.first.generation.to_le_bytes());
        sector[32..40].copy_from_slice(&self.first.number.to_le_bytes());
        sector[40..44].copy_from_slice(&self.first.previous_crc.to_le_bytes());
        let crc = crc32c::crc32c(&sector[..44]);
        sector[44..48].copy_from_slice(&crc.to_le_bytes());
        sector
    }

    fn load(file: &dyn DiskFile, path: &Path, number: u64) -> Result<Self, Error> {
        let mut sector = [0; ALIGN];
        let read = file
            .read_at(&mut sector, 0)
            .map_err(|error| Error::io("read", path, error))?;
        let intact = read == ALIGN
            && u64_at(&sector, 0) == MAGIC
            && u32_at(&sector, 44) == crc32c::crc32c(&sector[..44]);
        if !intact {
            return Err(Error::damaged(
                path,
                0,
                "the header of the log file is unreadable",
            ));
        }
        let found = u32_at(&sector, 8);
        let layouts = [Layout::Plain, Layout::Kinds];
        let layout = layouts
            .into_iter()
            .find(|layout| u32::from(layout.version()) == found)
            .ok_or_else(|| Error::NewerFormat {
                file: path.to_owned(),
                found,
                supported: u32::from(Layout::Kinds.version()),
            })?;
        if u64_at(&sector, 16) != number {
            return Err(Error::damaged(
                path,
                0,
                "the header names another file of the log",
            ));
        }
        let first = Link {
            generation: u64_at(&sector, 24),
            number: u64_at(&sector, 32),
            previous_crc: u32_at(&sector, 40),
        };
        Ok(Self {
            number,
            first,
            layout,
        })
    }
}

/// Reads the frames of one file in order.
#[derive(Debug)]
pub(super) struct FrameReader {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    header: FileHeader,
    file_len: u64,
    next: Link,
    offset: u64,
    window: Vec<u8>,
    window_start: u64,
}

/// One intact frame.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) offset: u64,
    pub(super) number: u64,
    /// The first frame that was not known to be durable when this one was written.
    pub(super) first_doubtful: u64,
    pub(super) entries: u32,
    pub(super) layout: Layout,
    /// Header, payload and crc, without padding.
    pub(super) bytes: &'a [u8],
}

impl FrameReader {
    pub(super) fn open(disk: &dyn Disk, dir: &Path, number: u64) -> Result<Self, Error> {
        let path = wal_path(dir, number);
        let file = files::open(disk, &path, OpenMode::Read)?;
        let header = FileHeader::load(&*file, &path, number)?;
        let file_len = file
            .len()
            .map_err(|error| Error::io("measure", &path, error))?;
        Ok(Self {
            file,
            path,
            header,
            file_len,
            next: header.first,
            offset: FRAMES_START,
            window: Vec::new(),
            window_start: 0,
        })
    }

    pub(super) fn header(&self) -> FileHeader {
        self.header
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the next frame must carry.
    pub(super) fn next_link(&self) -> Link {
        self.next
    }

    /// Where the next frame starts.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn file_len(&self) -> u64 {
        self.file_len
    }

    /// Returns the next frame; `None` when the bytes there are not it, or not intact.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Error> {
        let offset = self.offset;
        let Some(header) = self
            .header_at(offset)?
            .filter(|header| header.link == self.next)
        else {
            return Ok(None);
        };
        let frame_len = header.frame_len();
        if offset + frame::padded(frame_len) as u64 > self.file_len {
            // A full disk refused the end of the padding: the frame was not acknowledged.
            return Ok(None);
        }
        let crc = match self.bytes_at(offset, frame_len)? {
            Some(bytes) => frame::verify(bytes),
            None => None,
        };
        let Some(crc) = crc else {
            return Ok(None);
        };
        self.next.number += 1;
        self.next.previous_crc = crc;
        self.offset += frame::padded(frame_len) as u64;
        let start = usize::try_from(offset - self.window_start).expect("lies in the window");
        let bytes = &self.window[start..start + frame_len];
        Ok(Some(Frame {
            offset,
            number: header.link.number,
            first_doubtful: header.first_doubtful(),
            entries: header.entries,
            layout: header.layout,
            bytes,
        }))
    }

    /// Returns the frame that starts at `offset` and goes on behind it; `None` when the bytes there are not a
    /// frame of this use of the file, or not intact.
    pub(super) fn frame_at(&mut self, offset: u64) -> Result<Option<Frame<'_>>, Error> {
        let generation = self.header.first.generation;
        let header = self.header_at(offset)?;
        let Some(header) = header.filter(|header| header.link.generation == generation) else {
            return Ok(None);
        };
        (self.offset, self.next) = (offset, header.link);
        self.next_frame()
    }

    /// Goes on at `target`, where a frame starts or the file ends, past frames nobody needs any more; `false`
    /// when damage hides how to.
    ///
    /// Behind an unreadable frame any intact header of this use of the file tells how the chain goes on.
    pub(super) fn seek(&mut self, target: u64) -> Result<bool, Error> {
        let mut unreadable = None;
        while self.offset < target {
            let offset = self.offset;
            if self.next_frame()?.is_some() {
                continue;
            }
            unreadable.get_or_insert(offset);
            if !self.skip_to_header(target)? {
                return Ok(false);
            }
        }
        if let Some(offset) = unreadable {
            let file = self.path.display();
            tracing::error!(%file, offset, "a frame of the log is unreadable; nobody needs it any more");
        }
        Ok(self.offset == target)
    }

    /// Finds the next intact header of a later frame that starts at `last` at the latest.
    fn skip_to_header(&mut self, last: u64) -> Result<bool, Error> {
        let mut offset = self.offset + ALIGN as u64;
        while offset <= last {
            let later = self
                .header_at(offset)?
                .filter(|header| self.is_later(header));
            if let Some(header) = later {
                (self.offset, self.next) = (offset, header.link);
                return Ok(true);
            }
            offset += ALIGN as u64;
        }
        Ok(false)
    }

    fn is_later(&self, header: &FrameHeader) -> bool {
        header.link.generation == self.next.generation && header.link.number > self.next.number
    }

    /// Tells whether a frame in this file says that the expected one was durable, and so acknowledged.
    /// Frames are written one at a time, each after the sync of those before it but for the unsynced
    /// ones it names. What is left over behind a cut tail says so of frames before the cut alone.
    pub(super) fn later_frame_exists(&mut self) -> Result<bool, Error> {
        let mut offset = self.offset;
        while let Some(header) = self.header_or_noise_at(offset)? {
            let later = header.filter(|header| {
                header.link.generation == self.next.generation
                    && header.first_doubtful() > self.next.number
            });
            if later.is_some() {
                return Ok(true);
            }
            offset += ALIGN as u64;
        }
        Ok(false)
    }

    /// Tells whether the header of the expected frame is there, and intact.
    pub(super) fn is_begun(&mut self) -> Result<bool, Error> {
        let next = self.next;
        let header = self.header_at(self.offset)?;
        Ok(header.is_some_and(|header| header.link == next))
    }

    fn header_at(&mut self, offset: u64) -> Result<Option<FrameHeader>, Error> {
        Ok(self.header_or_noise_at(offset)?.flatten())
    }

    /// Outer `None` at the end of the file, inner `None` where no header is.
    fn header_or_noise_at(&mut self, offset: u64) -> Result<Option<Option<FrameHeader>>, Error> {
        Ok(self
            .bytes_at(offset, HEADER_BYTES)?
            .map(FrameHeader::decode))
    }

    /// Returns `len` bytes at `offset`; `None` when the file ends before.
    fn bytes_at(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>, Error> {
        if self.file_len.saturating_sub(offset) < len as u64 {
            return Ok(None);
        }
        let window_end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || offset + len as u64 > window_end {
            let rest = usize::try_from(self.file_len - offset).unwrap_or(usize::MAX);
            self.window.resize(len.max(READ_AHEAD_BYTES).min(rest), 0);
            self.window_start = offset;
            self.file
                .read_exact_at(&mut self.window, offset)
                .map_err(|error| Error::io("read", &self.path, error))?;
        }
        let start = usize::try_from(offset - self.window_start).expect("lies in the window");
        Ok(Some(&self.window[start..start + len]))
    }
}
