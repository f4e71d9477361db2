//! Reading single frames back while the log is written to.
//!
//! For entries whose position is known. Nothing keeps the files from being released meanwhile: who reads must
//! not let go of what it still wants, and finds `None` otherwise.

use std::path::PathBuf;
use std::sync::Arc;

use hitherto_platform::Disk;

use super::file::FrameReader;
use super::replay::{self, Entry};
use crate::Error;

/// Opens files of the log for reading. Clones are cheap.
#[derive(Debug, Clone)]
pub struct WalReader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

/// One file of the log, for the frames that were written before it was opened.
#[derive(Debug)]
pub struct WalFileReader {
    number: u64,
    frames: FrameReader,
}

impl WalReader {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self { disk, dir }
    }

    /// Opens a file by its number; `None` when it was released.
    ///
    /// # Errors
    /// [`Error::Damaged`] when its header is unreadable, and [`Error::Io`].
    pub fn open(&self, number: u64) -> Result<Option<WalFileReader>, Error> {
        match FrameReader::open(&*self.disk, &self.dir, number) {
            Ok(frames) => Ok(Some(WalFileReader { number, frames })),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl WalFileReader {
    /// Its number, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Reads the entries of the frame that starts at `offset`. Cheapest in ascending order.
    ///
    /// # Errors
    /// [`Error::Damaged`] when no intact frame starts there, and [`Error::Io`].
    pub fn entries_at(&mut self, offset: u64) -> Result<Vec<Entry>, Error> {
        let path = self.frames.path().to_owned();
        let damaged = |what| Error::damaged(&path, offset, what);
        let frame = self.frames.frame_at(offset)?;
        let frame = frame.ok_or_else(|| damaged("a frame is unreadable"))?;
        let mut entries = Vec::new();
        replay::take_entries(&frame, self.number, &mut entries)
            .ok_or_else(|| damaged(replay::ENTRIES_DO_NOT_ADD_UP))?;
        Ok(entries)
    }
}
