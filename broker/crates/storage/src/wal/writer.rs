//! Writing the log: frames into the active file, new files, recycled files.

use std::io;
use std::path::{Path, PathBuf};

use hitherto_platform::{Disk, DiskDir, DiskFile, OpenMode};

use super::file::{FRAMES_START, FileHeader, spare_path, wal_path};
use super::frame::{self, Layout};
use super::{Wal, WalEntry, WalOptions, WalPosition};
use crate::Error;
use crate::error::is_full;
use crate::files;

/// A frame from this size on grows the file by itself, without zeros: 128 KiB. Zeros are bytes the drive
/// writes twice, which pays where it saves many small frames the file system's journal; a large frame takes
/// longer to write twice than the journal takes. Either way the frame is durable, and so is the length of
/// the file, when the write returns.
pub(super) const GROWING_FRAME_BYTES: usize = 128 * 1024;

/// The file frames are appended to.
#[derive(Debug)]
pub(super) struct ActiveFile {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Opened to write durably.
    pub(super) file: Box<dyn DiskFile>,
    /// Where the next frame goes.
    pub(super) offset: u64,
    /// Of all its frames.
    pub(super) layout: Layout,
    /// Bytes the file has: every one of them was written at least once.
    pub(super) len: u64,
}

/// Whether a frame is durable when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    Now,
    Later,
}

impl Wal {
    pub(super) fn check_poisoned(&self) -> Result<(), Error> {
        if self.poisoned {
            Err(Error::poisoned(&self.dir))
        } else {
            Ok(())
        }
    }

    /// Appends a frame and makes it durable with all before it.
    pub(super) fn append_frame(&mut self, entries: &[WalEntry<'_>]) -> Result<WalPosition, Error> {
        if self.unsynced_frames == 0 {
            return self.write_frame(entries, Sync::Now);
        }
        // One sync for all: a durable write would say nothing about those before it.
        let position = self.write_frame(entries, Sync::Later)?;
        self.sync_frames()?;
        Ok(position)
    }

    pub(super) fn write_frame(
        &mut self,
        entries: &[WalEntry<'_>],
        sync: Sync,
    ) -> Result<WalPosition, Error> {
        if !self.active.layout.can_hold(entries) {
            self.sync_frames()?;
            self.roll()?;
        }
        let len = frame::measure(entries, self.active.layout)?;
        let end = self.active.offset.saturating_add(len as u64);
        if end > self.options.file_bytes && self.active.offset > FRAMES_START {
            self.sync_frames()?;
            self.roll()?;
            // What is left of an old layout ends with its file.
            return self.write_frame(entries, sync);
        }
        let position = self.position();
        let zeros = self.zeros_behind(len);
        let buffer = self.buffer.take(len + zeros);
        let layout = (self.active.layout, self.unsynced_frames);
        let crc = frame::encode(&mut buffer[..len], self.next, layout, entries);
        buffer[len..].fill(0);
        if let Err(error) = write(&mut self.active, buffer, len, sync) {
            return Err(self.refuse(error));
        }

        self.active.offset += len as u64;
        self.next.number += 1;
        self.next.previous_crc = crc;
        match sync {
            Sync::Now => self.durable_end = self.position(),
            // They fit: each has 512 bytes at least, and their bytes are bounded.
            Sync::Later => self.unsynced_frames += 1,
        }
        Ok(position)
    }

    /// Makes the frames durable that are not.
    pub(super) fn sync_frames(&mut self) -> Result<(), Error> {
        if self.unsynced_frames > 0 {
            let synced = self.active.file.sync_data();
            synced.map_err(|error| self.poison("sync", error))?;
            self.unsynced_frames = 0;
        }
        self.durable_end = self.position();
        Ok(())
    }

    /// How many zeros ride on the write of a frame that crosses the end of the file: up to the next step,
    /// none on a large frame.
    fn zeros_behind(&self, frame_len: usize) -> usize {
        let end = self.active.offset + frame_len as u64;
        if end <= self.active.len || frame_len >= GROWING_FRAME_BYTES {
            return 0;
        }
        let step = end.next_multiple_of(self.options.grow_bytes.max(1));
        let zeros = step.min(self.options.file_bytes).saturating_sub(end);
        usize::try_from(zeros).unwrap_or(0)
    }

    /// Writes the last frames once more, from `start` on, and syncs them.
    ///
    /// A frame that reads back need not be on the drive: the process may have been killed before
    /// its sync, or the sync may have failed and left the page marked clean. Written again it is
    /// dirty again, and the sync says the truth.
    pub(super) fn renew_frames(&mut self, start: u64) -> Result<(), Error> {
        let ActiveFile {
            path, file, offset, ..
        } = &self.active;
        let len = usize::try_from(offset - start).expect("the frames were read before");
        let frames = self.buffer.take(len);
        file.read_exact_at(frames, start)
            .map_err(|error| Error::io("read", path, error))?;
        file.write_at(frames, start)
            .map_err(|error| Error::io("write", path, error))
    }

    /// Goes on in a new file.
    fn roll(&mut self) -> Result<(), Error> {
        let first = frame::Link {
            generation: self.options.entropy.u64(),
            ..self.next
        };
        let header = FileHeader {
            number: self.active.number + 1,
            first,
            layout: Layout::Kinds,
        };
        let prepared = prepare_file(
            &*self.disk,
            &self.dir,
            &self.options,
            header,
            &mut self.spares,
        );
        // The active file was not touched: the log goes on as if nothing had been asked of it.
        let prepared = prepared.map_err(|error| self.no_next_file(header, error))?;
        let active = prepared
            .put_in_place(&*self.disk, &*self.names, &mut self.spares)
            .inspect_err(|_| self.poisoned = true)?;
        self.older.push_back(self.active.number);
        self.active = active;
        self.next = first;
        self.durable_end = self.position();
        Ok(())
    }

    fn no_next_file(&self, header: FileHeader, error: Error) -> Error {
        match error {
            full @ Error::Full { .. } => full,
            error => Error::NoNextFile {
                file: wal_path(&self.dir, header.number),
                source: Box::new(error),
            },
        }
    }

    /// Takes a file out of the log, as a spare while there is use for one.
    ///
    /// The name is synced before the file may be written again: a crash must not find a file of
    /// the log with the content of another.
    pub(super) fn recycle(&mut self, number: u64) -> Result<(), Error> {
        let path = wal_path(&self.dir, number);
        let file = files::open(&*self.disk, &path, OpenMode::Read)?;
        let len = file
            .len()
            .map_err(|error| Error::io("measure", &path, error))?;
        let keep = self.spares.len() < self.options.spare_files && len <= self.options.file_bytes;
        let spare = spare_path(&self.dir, number);
        let moved = match keep {
            true => self.disk.rename(&path, &spare),
            false => self.disk.remove_file(&path),
        };
        moved.map_err(|error| Error::io("recycle", &path, error))?;
        let synced = self.names.sync();
        synced.map_err(|error| self.poison("sync", error))?;
        if keep {
            self.spares.push(spare);
        }
        Ok(())
    }

    /// A full disk is the only failed write the log survives, and only if the refused frame is not there all the
    /// same: the next start would replay it.
    fn refuse(&mut self, error: io::Error) -> Error {
        if !is_full(&error) {
            return self.poison("write", error);
        }
        if let Err(error) = self.wipe_refused() {
            return self.poison("wipe a refused frame in", error);
        }
        let file = self.active.path.clone();
        Error::Full { file }
    }

    /// Overwrites the header of the frame that was refused, if it can be read. File systems that write a copy
    /// and those with quotas may have kept the whole frame.
    fn wipe_refused(&self) -> io::Result<()> {
        let ActiveFile { file, offset, .. } = &self.active;
        let mut sector = [0; frame::ALIGN];
        let read = file.read_at(&mut sector, *offset)?;
        let header = frame::FrameHeader::decode(&sector[..read]);
        match header.is_some_and(|header| header.link == self.next) {
            // No more than there is: the file must not grow for it.
            true => file.write_at(&[0; frame::ALIGN][..read], *offset),
            false => Ok(()),
        }
    }

    fn poison(&mut self, action: &'static str, source: io::Error) -> Error {
        self.poisoned = true;
        Error::Io {
            action,
            file: self.active.path.clone(),
            source,
        }
    }
}

/// Writes a frame with the zeros behind it; durable when it returns, if asked for. On a disk too full for the
/// zeros it is tried without.
fn write(active: &mut ActiveFile, buffer: &[u8], frame_len: usize, sync: Sync) -> io::Result<()> {
    let write = |bytes: &[u8]| match sync {
        Sync::Now => active.file.write_at(bytes, active.offset),
        Sync::Later => active.file.write_later(bytes, active.offset),
    };
    let mut bytes = buffer;
    let mut written = write(bytes);
    if written.as_ref().is_err_and(is_full) && bytes.len() > frame_len {
        bytes = &buffer[..frame_len];
        written = write(bytes);
    }
    written?;
    active.len = active.len.max(active.offset + bytes.len() as u64);
    Ok(())
}

/// A file of the log that has only a spare name yet, synced, and open.
pub(super) struct PreparedFile {
    header: FileHeader,
    spare: PathBuf,
    path: PathBuf,
    /// Opened to write durably: for want of a descriptor nothing may fail once the file has its name.
    file: Box<dyn DiskFile>,
    len: u64,
}

/// Prepares a file of the log under a spare name, the last of `spares` if there is one.
///
/// On failure nothing of the log has changed.
pub(super) fn prepare_file(
    disk: &dyn Disk,
    dir: &Path,
    options: &WalOptions,
    header: FileHeader,
    spares: &mut Vec<PathBuf>,
) -> Result<PreparedFile, Error> {
    let recycled = spares.last().cloned();
    let is_new = recycled.is_none();
    let spare = recycled.unwrap_or_else(|| spare_path(dir, header.number));
    let file = files::open(disk, &spare, OpenMode::Create)?;
    let len = match prepare_spare(&*file, &spare, options, header) {
        Ok(len) => len,
        Err(error) => {
            let is_full = matches!(error, Error::Full { .. });
            if is_new || !is_full {
                // Gives the room back, or does without a file that cannot be written. If even that fails, the
                // next open finds the file and reuses it.
                disk.remove_file(&spare).ok();
                spares.pop_if(|last| *last == spare);
            }
            return Err(error);
        }
    };
    Ok(PreparedFile {
        header,
        path: wal_path(dir, header.number),
        file: files::open(disk, &spare, OpenMode::WriteDurably)?,
        spare,
        len,
    })
}

impl PreparedFile {
    /// Gives the file its real name.
    ///
    /// From the first step on the next start may find it, and reads the file before only up to where
    /// this one says that its own frames begin. So whatever fails, a full disk too, nothing may be appended
    /// to the file before: the error is never [`Error::Full`].
    pub(super) fn put_in_place(
        self,
        disk: &dyn Disk,
        names: &dyn DiskDir,
        spares: &mut Vec<PathBuf>,
    ) -> Result<ActiveFile, Error> {
        let failed = |action, source| Error::Io {
            action,
            file: self.path.clone(),
            source,
        };
        disk.rename(&self.spare, &self.path)
            .map_err(|error| failed("rename a file to", error))?;
        names
            .sync()
            .map_err(|error| failed("sync the name of", error))?;
        spares.pop_if(|spare| *spare == self.spare);
        Ok(ActiveFile {
            number: self.header.number,
            path: self.path,
            file: self.file,
            layout: self.header.layout,
            offset: FRAMES_START,
            len: self.len,
        })
    }
}

/// Writes the header and syncs it; returns the length of the file.
fn prepare_spare(
    file: &dyn DiskFile,
    spare: &Path,
    options: &WalOptions,
    header: FileHeader,
) -> Result<u64, Error> {
    let len = file
        .len()
        .map_err(|error| Error::io("measure", spare, error))?;
    let mut head = header.encode().to_vec();
    if len < options.grow_bytes {
        head.resize(
            usize::try_from(options.grow_bytes)
                .unwrap_or(0)
                .max(head.len()),
            0,
        );
    }
    file.write_at(&head, 0)
        .map_err(|error| Error::io("write", spare, error))?;
    file.sync_data()
        .map_err(|error| Error::io("sync", spare, error))?;
    Ok(len.max(head.len() as u64))
}
