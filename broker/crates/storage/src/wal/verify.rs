//! Reading the whole log to see whether it is what was written, without changing anything.

use std::path::Path;

use hitherto_platform::Disk;

use super::file::{FrameReader, wal_path};
use super::frame::{self, Link};
use super::{WalPosition, WalRange, recovery};
use crate::Error;
use crate::stream_store::Finding;

/// What a log holds, and what is damaged in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalSummary {
    /// The files in order.
    pub files: Vec<WalFileSummary>,
    /// What is damaged.
    pub findings: Vec<Finding>,
}

/// One file of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalFileSummary {
    /// Its number, from 1.
    pub number: u64,
    /// Bytes up to the end of its last intact frame.
    pub used_bytes: u64,
    /// Its length on disk.
    pub len: u64,
    /// Intact frames, marks without entries included.
    pub frames: u64,
    /// Entries in them.
    pub entries: u64,
}

impl WalSummary {
    /// Reads the log in `dir`. `pace` gets the number of bytes of each file once it is read, and ends the
    /// walk with `false`.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be listed. What is wrong with the files is a finding.
    pub fn read(
        disk: &dyn Disk,
        dir: &Path,
        checkpointed: Option<WalRange>,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Self, Error> {
        let numbers = recovery::list(disk, dir)?.logs;
        let mut summary = Self::default();
        if let Err(error) = recovery::check_files(dir, &numbers, checkpointed) {
            summary.add(&error, dir);
        }
        let mut before: Option<End> = None;
        for number in &numbers {
            match summary.read_file(disk, dir, *number, before.take()) {
                Ok(end) => before = Some(end),
                Err(error) => summary.add(&error, &wal_path(dir, *number)),
            }
            let len = summary.files.last().map_or(0, |file| file.len);
            if !pace(len) {
                return Ok(summary);
            }
        }
        summary.check_end(dir, before, checkpointed);
        Ok(summary)
    }

    fn read_file(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        number: u64,
        before: Option<End>,
    ) -> Result<End, Error> {
        let mut reader = FrameReader::open(disk, dir, number)?;
        let first = reader.header().first;
        if let Some(before) = before
            && !before.is_followed_by(first)
        {
            let what = "the log file before does not end with the frame this one follows";
            self.add(&Error::damaged(reader.path(), 0, what), dir);
        }
        let mut file = WalFileSummary {
            number,
            len: reader.file_len(),
            ..WalFileSummary::default()
        };
        let path = reader.path().to_owned();
        while let Some(frame) = reader.next_frame()? {
            file.frames += 1;
            let mut payload = frame::payload(frame.bytes);
            for _ in 0..frame.entries {
                if frame::take_entry(&mut payload, frame.layout).is_none() {
                    let what = "a frame's entries do not add up";
                    self.add(&Error::damaged(&path, frame.offset, what), dir);
                    break;
                }
                file.entries += 1;
            }
        }
        file.used_bytes = reader.offset();
        self.files.push(file);
        let (offset, link) = (reader.offset(), reader.next_link());
        // Without a later frame in this file or a file behind it, it is one under way at a crash.
        if reader.later_frame_exists()? {
            let what = "a frame is unreadable although later frames are there";
            self.add(&Error::damaged(&path, offset, what), dir);
            return Ok(End { link: None, offset });
        }
        Ok(End {
            link: Some(link),
            offset,
        })
    }

    fn check_end(&mut self, dir: &Path, end: Option<End>, checkpointed: Option<WalRange>) {
        let (Some(end), Some(range), Some(last)) = (end, checkpointed, self.files.last()) else {
            return;
        };
        let position = WalPosition {
            file: last.number,
            offset: end.offset,
        };
        if end.link.is_some() && range.to > position {
            let what = "the log ends before a position that a checkpoint knows to be durable";
            let path = wal_path(dir, last.number);
            self.add(&Error::damaged(&path, end.offset, what), dir);
        }
    }

    fn add(&mut self, error: &Error, file: &Path) {
        self.findings.push(Finding::new(error, file));
    }
}

/// Where a file ends.
struct End {
    /// What the next frame carries; `None` when damage hides it, which is reported already.
    link: Option<Link>,
    offset: u64,
}

impl End {
    fn is_followed_by(&self, first: Link) -> bool {
        self.link.is_none_or(|link| {
            link.number == first.number && link.previous_crc == first.previous_crc
        })
    }
}
